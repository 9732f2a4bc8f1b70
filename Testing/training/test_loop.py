"""What a step of the training loop does, where a short run shows it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from MissingModalityLib.core.progress import Event
from MissingModalityLib.methods.supervised import Supervised
from MissingModalityLib.training import loop
from MissingModalityLib.training.optimization import clip_gradients
from MissingModalityLib.training.run import train
from tiny_run import TINY, log


def test_the_largest_norm_limits_gradients_as_they_are_without_the_scale_of_half_precision(
    tiny_cases: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    norms: list[float] = []

    def clipped(*arguments: object) -> torch.Tensor:
        norm = clip_gradients(*arguments)
        norms.append(norm.item())
        return norm

    monkeypatch.setattr(loop, "clip_gradients", clipped)
    for precision in ("float32", "float16"):
        settings = {
            **TINY,
            "epochs": 1,
            "iterations_per_epoch": 1,
            "precision": precision,
            "max_grad_norm": 1,
        }
        train(tiny_cases, tmp_path / precision, settings=settings)
    assert norms[1] == pytest.approx(norms[0], rel=0.05)


def test_every_second_epoch_is_validated_and_the_last(tiny_cases: Path, tmp_path: Path) -> None:
    settings = {**TINY, "iterations_per_epoch": 1, "validation_interval": 2, "validation_subsets": "T1ce"}
    run = train(tiny_cases, tmp_path / "run", settings=settings)
    assert ["dice" in line for line in log(run)] == [False, True, True]


def test_each_epoch_trains_with_dropout_from_a_seed_of_its_own(
    tiny_cases: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training, places, outcome, seed = [], [], Supervised._outcome, loop.epoch_seed

    def watched(method: Supervised, network: torch.nn.Module, *arguments: object) -> tuple:
        training.append(network.training)
        return outcome(method, network, *arguments)

    def seeded(rule: int, *place: int) -> int:
        places.append(place)
        return seed(rule, *place)

    monkeypatch.setattr(Supervised, "_outcome", watched)
    monkeypatch.setattr(loop, "epoch_seed", seeded)
    settings = {**TINY, "iterations_per_epoch": 1, "validation_interval": 1, "validation_subsets": "T1ce"}
    train(tiny_cases, tmp_path / "run", seed=7, settings=settings)
    assert training == [True] * 3, "after a validation too"
    assert places == [(7, 0, epoch, 0) for epoch in range(3)]


def test_a_step_has_its_own_gradient_ends_with_the_method_and_counts_in_the_mean(
    tiny_cases: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    norms, finished, losses = [], [], []

    def clipped(*arguments: object) -> torch.Tensor:
        norms.append(clip_gradients(*arguments).item())
        return torch.tensor(norms[-1])

    def watch(event: Event) -> None:
        losses.extend([event.values["loss"]] if "loss" in event.values else [])

    monkeypatch.setattr(loop, "clip_gradients", clipped)
    monkeypatch.setattr(Supervised, "finish_step", lambda method: finished.append(1))
    # the same large crop of the same subset at every step, and hardly a change of the weights
    settings = {**TINY, "epochs": 1, "iterations_per_epoch": 4, "patch_size": 32, "augmentation": "none"}
    settings |= {"learning_rate": 1e-12, "training_subsets": "FLAIR+T1ce", "validation_fraction": 0}
    run = train(tiny_cases, tmp_path / "run", settings=settings, on_progress=watch)
    assert len(finished) == len(losses) == 4
    assert max(norms) < 1.5 * min(norms), "no gradient of steps before is in it"
    assert log(run)[0]["loss"]["total"] == pytest.approx(sum(losses) / 4)
