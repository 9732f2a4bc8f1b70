"""Levels that runs were trained with draw and compute what they did when these runs began."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import default_collate

from MissingModalityLib.training.augmentation import apply, draw

FIXTURE = Path(__file__).resolve().parents[1] / "fixtures" / "augmentation_frozen.npz"


@pytest.mark.parametrize("level", ["paper", "strong"])
def test_draws_and_results_equal_the_frozen_ones(level):
    frozen = np.load(FIXTURE)
    drawn = default_collate([draw(level, np.random.default_rng(seed)) for seed in frozen["seeds"]])
    names = {name.removeprefix(f"{level} drawn ") for name in frozen if name.startswith(f"{level} drawn ")}
    assert names == set(drawn)
    for name, values in drawn.items():
        np.testing.assert_allclose(values, frozen[f"{level} drawn {name}"], rtol=1e-6, atol=1e-7)
    image, label = torch.from_numpy(frozen["image"]).float(), torch.from_numpy(frozen["label"])
    changed, target = apply(image, label, drawn)
    # processors differ in the last bits of exponentials, and so on which side of a border a voxel falls
    differs = np.abs(changed.numpy() - frozen[f"{level} image"]) > 1e-5
    assert differs.mean() < 1e-3 and (target.numpy() != frozen[f"{level} label"]).mean() < 1e-3
