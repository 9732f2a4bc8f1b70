"""What heads compute with: targets, weights of channels from those of regions, class maps."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import numpy as np
import torch
from torch import Tensor

from ..core.labels import REGIONS, TUMOR_CLASSES, TumorClass

THRESHOLD = 0.5
"""Probability above which a sigmoid claims a voxel."""

# The later overwrites the earlier: each region lies within the one before, and a voxel claimed as enhancing
# is enhancing whatever else claims it. So WT, TC and ET hold every voxel that one of their classes claims.
PAINTED = (TumorClass.ED, TumorClass.NCR, TumorClass.ET)


def one_hot(classes: Tensor, count: int, dtype: torch.dtype) -> Tensor:
    """(B, D, H, W) integer classes -> (B, count, D, H, W) of ``dtype``, without an int64 copy."""
    numbers = torch.arange(count, device=classes.device, dtype=classes.dtype).view(1, -1, 1, 1, 1)
    return (classes.unsqueeze(1) == numbers).to(dtype)


def region_target(classes: Tensor, dtype: torch.dtype) -> Tensor:
    """(B, D, H, W) integer classes -> (B, 3, D, H, W) masks of WT, TC, ET."""
    # compared class by class, which costs the CPU much less time than torch.isin
    masks = [reduce(torch.logical_or, (classes == n for n in numbers)) for numbers in REGIONS.values()]
    return torch.stack(masks, 1).to(dtype)


def with_mean_one(weights: Sequence[float]) -> list[float]:
    """Weights in the same proportions whose mean is 1."""
    return [weight * len(weights) / sum(weights) for weight in weights]


def class_weights(regions: Sequence[float]) -> list[float]:
    """Weights of WT, TC and ET -> of background, NCR, ED and ET."""
    holding = [
        [weight for weight, members in zip(regions, REGIONS.values(), strict=True) if cls in members]
        for cls in TUMOR_CLASSES
    ]
    return [1.0, *with_mean_one([sum(weights) / len(weights) for weights in holding])]


def painted(maps: np.ndarray, thresholds: Sequence[float] | None = None) -> np.ndarray:
    """(3, D, H, W) probabilities in the order of :data:`PAINTED` -> class map."""
    classes = np.zeros(maps.shape[1:], np.uint8)
    for found, cls, threshold in zip(maps, PAINTED, thresholds or (THRESHOLD,) * len(maps), strict=True):
        classes[found > threshold] = cls
    return classes


def scale(probabilities: np.ndarray, factors: Sequence[float]) -> None:
    """Multiply each channel (K, D, H, W) by its factor, in place."""
    for channel, factor in zip(probabilities, factors, strict=True):
        channel *= factor
