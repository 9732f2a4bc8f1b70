"""Losses and gradients that are no numbers stop a run, and those of half precision alone do not."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from MissingModalityLib.core.errors import OptionError
from MissingModalityLib.methods.supervised import Supervised
from MissingModalityLib.training.run import train
from tiny_run import TINY, weights


def stop_with(loss: Callable[[torch.Tensor], torch.Tensor], monkeypatch: pytest.MonkeyPatch) -> None:
    """Change the total of the loss of a supervised stage."""
    original = Supervised.loss

    def changed(self: Supervised, *arguments: Any) -> dict[str, torch.Tensor]:
        terms = original(self, *arguments)
        return {**terms, "total": loss(terms["total"])}

    monkeypatch.setattr(Supervised, "loss", changed)


def no_gradient(total: torch.Tensor) -> torch.Tensor:
    """The same value with a gradient that is NaN."""
    return total + 0 * (total - total.detach()).sqrt()


def test_an_infinite_loss_stops_a_run(
    tiny_cases: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop_with(lambda total: total + math.inf, monkeypatch)
    with pytest.raises(OptionError, match="loss became inf in stage train, epoch 1, step 1, on patient_"):
        train(tiny_cases, tmp_path / "run", settings=TINY)


@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_a_gradient_that_is_no_number_stops_a_run_though_the_loss_is_one(
    precision: str, tiny_cases: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop_with(no_gradient, monkeypatch)
    settings = {**TINY, "precision": precision, "iterations_per_epoch": 30}
    with pytest.raises(OptionError, match="gradient became nan in stage train, epoch 1, step") as caught:
        train(tiny_cases, tmp_path / "run", settings=settings)
    assert ("step 1," in str(caught.value)) == (precision == "float32")
    assert all(torch.isfinite(value).all() for value in weights(tmp_path / "run").values())


def test_gradients_that_overflow_in_half_precision_alone_stop_nothing(
    tiny_cases: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop_with(lambda total: 1000 * total, monkeypatch)
    settings = {**TINY, "precision": "float16", "iterations_per_epoch": 12, "epochs": 1}
    run = train(tiny_cases, tmp_path / "run", settings=settings)
    state = torch.load(run / "checkpoint.pt", weights_only=True)
    assert state["scaler"]["scale"] < 2**16 and state["optimizer"]["state"], "steps were skipped, not all"
