"""What a step of the training loop does, where a short run shows it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from MissingModalityLib.training import loop
from MissingModalityLib.training.optimization import clip_gradients
from MissingModalityLib.training.run import train
from tiny_run import TINY


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
