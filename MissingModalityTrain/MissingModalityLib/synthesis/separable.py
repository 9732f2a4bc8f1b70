"""Smooth fields in boxes: Gaussians, interpolation and random bumps as a matrix along each axis.

A box of a tumor is about 80 voxels wide, and a processor multiplies matrices of that size at the highest rate
it has: such a Gaussian takes 3 ms of half a million voxels, whatever its width.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_CUT = 3.0
"""Widths of a Gaussian beyond which its bumps are left out."""


def along_axes(values: np.ndarray, matrices: Sequence[np.ndarray | None]) -> np.ndarray:
    """Values (..., d, h, w) times matrices (d', d), (h', h) and (w', w): (..., d', h', w').

    Along an axis without a matrix they stay as they are.
    """
    along_z, along_y, along_x = matrices
    if along_x is not None:
        values = values @ along_x.T
    if along_y is not None:
        values = along_y @ values
    if along_z is not None:
        flat = along_z @ values.reshape(*values.shape[:-2], -1)
        values = flat.reshape(*flat.shape[:-1], *values.shape[-2:])
    return values


def smoothed(values: np.ndarray, width: float | Sequence[float]) -> np.ndarray:
    """Volumes (..., d, h, w) float32 under a Gaussian.

    Beyond the borders there is nothing: weights inside add up to 1.

    Args:
        values: float32.
        width: in voxels, one or one for each axis; 0 leaves it as it is.
    """
    shape = values.shape[-3:]
    widths = np.broadcast_to(width, len(shape))
    return along_axes(
        values, [_gaussian(*one) if one[1] > 0 else None for one in zip(shape, widths, strict=True)]
    )


def between(places: np.ndarray, count: int) -> np.ndarray:
    """Matrix (len(places), count) of linear interpolation at places among nodes 0 to count - 1.

    Beyond the first and the last node their values go on.
    """
    places = places.clip(0, count - 1)
    return np.maximum(0, 1 - np.abs(places[:, None] - np.arange(count))).astype(np.float32)


def bumps(length: int, width: float) -> np.ndarray:
    """Matrix (length, nodes) that makes a smooth field of unit variance of noise at nodes.

    The field is white noise under a Gaussian, which is drawn as coarsely as its width allows: with nodes one
    width apart its variance is even to 1e-4.
    """
    step = max(1, int(width))
    nodes = np.arange(-_CUT * width, length + _CUT * width, step)
    weights = np.exp(-0.5 * ((np.arange(length)[:, None] - nodes) / width) ** 2)
    return (weights / np.sqrt((weights**2).sum(axis=1, keepdims=True))).astype(np.float32)


def _gaussian(length: int, width: float) -> np.ndarray:
    places = np.arange(length)
    weights = np.exp(-0.5 * ((places[:, None] - places) / width) ** 2)
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
