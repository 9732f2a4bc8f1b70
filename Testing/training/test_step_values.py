"""Losses that are read from the device seldom: a run stays as it is, the host learns of its steps later."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from MissingModalityLib.core.errors import OptionError
from MissingModalityLib.core.progress import Event
from MissingModalityLib.imaging.cache import CachedCase
from MissingModalityLib.methods.supervised import Supervised
from MissingModalityLib.training import optimization, step_values
from MissingModalityLib.training.run import train
from MissingModalityLib.training.step_values import Step, StepValues
from tiny_run import TINY, assert_same, record, timeless, weights

CPU = torch.device("cpu")


@pytest.fixture
def seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read as from a GPU."""
    monkeypatch.setattr(step_values, "READ_INTERVAL", {})
    monkeypatch.setattr(optimization, "FUSED_ON", {"cpu"})


def step(total: float = 1.0, gradient: float = 1.0, scale: float | None = None) -> Step:
    return Step(1, (), {"total": total}, gradient, scale)


def test_a_loss_or_gradient_that_is_no_number_is_a_problem() -> None:
    assert step().problem is None
    assert step(total=math.nan).problem == "loss became nan"
    assert step(total=math.inf).problem == "loss became inf"
    assert step(gradient=math.inf).problem == "gradient became inf"


def test_a_step_that_the_scaler_skips_is_none_until_the_scale_is_below_one() -> None:
    assert step(gradient=math.inf, scale=2.0).problem is None
    assert step(gradient=math.inf, scale=0.5).problem == "gradient became inf"
    assert step(total=math.nan, scale=2.0).problem == "loss became nan"


@pytest.mark.parametrize(("interval", "due"), [(1, [True] * 5), (3, [False, False, True, False, False])])
def test_steps_are_read_in_order_whenever_they_are_due(
    interval: int, due: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(step_values, "READ_INTERVAL", {"cpu": interval})
    values, told, read = StepValues(CPU), [], []
    for number in range(1, 6):
        terms = {"dice": torch.tensor(number / 2), "total": torch.tensor(float(number))}
        values.add([number], terms, torch.tensor(0.5), None)
        told.append(values.due)
        if values.due:
            read += values.read()
    read += values.read()
    assert told == due and not list(values.read())
    assert read == [Step(n, [n], {"dice": n / 2, "total": float(n)}, 0.5) for n in range(1, 6)]
    assert values.sums == {"dice": 7.5, "total": 15.0} and values.loss == 5.0


def steps_of(events: list[Event]) -> list[Event]:
    """Those of the training, without those of its validation."""
    return [event for event in events if event.stage == "train" and "validating" not in event.message]


def test_reading_seldom_changes_no_weight_and_no_line_of_the_log(
    tiny_cases: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[Event] = []
    often = train(tiny_cases, tmp_path / "often", settings=TINY, on_progress=events.append)
    assert all("loss" in event.values for event in steps_of(events))
    assert "epoch 3 of 3, validating case 1 of 1" in [event.message for event in events]
    monkeypatch.setattr(step_values, "READ_INTERVAL", {})
    events.clear()
    seldom = train(tiny_cases, tmp_path / "seldom", settings=TINY, on_progress=events.append)
    steps = steps_of(events)
    assert [event.step for event in steps] == list(range(1, 7)) and "loss" not in steps[0].values
    assert timeless(often) == timeless(seldom)
    assert_same(weights(often), weights(seldom))


@pytest.mark.usefixtures("seldom")
def test_the_first_step_whose_loss_is_no_number_is_named_though_it_was_read_later(
    tiny_cases: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, original = [], Supervised.loss

    def spoiled(self: Supervised, *arguments: object) -> dict[str, Tensor]:
        made.append(original(self, *arguments))
        return {name: term * math.nan if len(made) == 6 else term for name, term in made[-1].items()}

    monkeypatch.setattr(Supervised, "loss", spoiled)
    settings = {**TINY, "iterations_per_epoch": 4, "epochs": 2}
    with pytest.raises(OptionError, match="loss became nan in stage train, epoch 2, step 2, on patient_"):
        train(tiny_cases, tmp_path / "run", settings=settings)
    assert len(made) == 8, "the epoch went on, for nobody knew"
    assert torch.load(tmp_path / "run" / "checkpoint.pt", weights_only=True)["epoch"] == 1
    assert all(value.isfinite().all() for value in weights(tmp_path / "run").values())


@pytest.mark.usefixtures("seldom")
def test_the_case_that_is_named_is_the_one_of_that_step(
    tiny_cases: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    crop = CachedCase.crop

    def spoiled(self: CachedCase, *arguments: object) -> tuple:
        image, label = crop(self, *arguments)
        image[list(self.subset), ::2] = math.nan if self.name == "patient_b" else 0
        return image, label

    settings = {**TINY, "validation_fraction": 0, "iterations_per_epoch": 3}
    with monkeypatch.context() as patched:
        patched.setattr(CachedCase, "crop", spoiled)
        with pytest.raises(OptionError, match="loss became nan") as caught:
            train(tiny_cases, tmp_path / "run", settings=settings)
    assert "on patient_b. " in str(caught.value) and "patient_b" in record(tmp_path / "run")["cases"]
