"""Tissue pushed aside by a tumor's core: a smooth displacement that fades with the distance."""

from __future__ import annotations

from math import ceil

import numpy as np
import torch
import torch.nn.functional as F

from ..imaging.boxes import tightest_box
from .distances import border_depth
from .separable import along_axes, between, smoothed
from .texture import part_of

REACH_MM = 10.0
"""Distance over which it falls to 1/e; no less than its largest, so that no tissue is folded."""

MARGIN = 22
"""Voxels from the core at which the displacement ends."""

STEP = 2
"""Voxels between the places at which displacements are computed; linear in between."""

_ANCHORED_MM = 12.0
"""Below the brain's surface, where the displacement ends: the skull does not give way."""

_SLOPE_WIDTH = 2.0
"""Voxels of the Gaussian that smooths distances."""

_LEAST_MM = 0.2
"""Displacements that no voxel shows."""

_TAPS = 4
"""Voxels along each axis that a cubic interpolation looks at."""

_AT_ONCE = 1 << 14
"""Points whose voxels and weights, 8 MB, stay in the cache."""


def push(image: np.ndarray, core: np.ndarray, depth: np.ndarray, largest_mm: float) -> np.ndarray:
    """Displace tissue away from a core.

    What was at the border of the core lies up to ``largest_mm`` further out; what was inside is squeezed into
    the core, which a tumor fills.

    Args:
        image: (n, d, h, w) float32, 0 outside the brain.
        core: (d, h, w) bool.
        depth: voxels below the brain's surface, at every ``STEP``-th voxel along each axis.
        largest_mm: at the border of the core; less where the core is small or the skull near.

    Returns:
        (n, d, h, w), the same brain mask.
    """
    result = image.copy()
    if largest_mm <= 0 or not core[::STEP, ::STEP, ::STEP].any():
        return result
    ways = _displacement(core, depth, largest_mm)
    brain = (image != 0).any(axis=0)
    moved = (np.square(ways).sum(axis=0) > _LEAST_MM**2) & brain & ~core
    box = tightest_box(moved)
    if box is None:
        return result
    box = part_of(box, ceil(largest_mm) + _TAPS, core.shape)
    place, where = (slice(None), *box), np.flatnonzero(moved[box])
    part = image[place].copy()
    points = np.array(np.unravel_index(where, moved[box].shape), np.float32)
    points -= ways[place].reshape(len(ways), -1).take(where, axis=-1)
    inside = part.reshape(len(part), -1)
    inside[:, where] = np.where(inside.take(where, axis=-1) != 0, _cubic(_filled(part), points), 0)
    result[place] = part
    return result


def _displacement(core: np.ndarray, depth: np.ndarray, largest_mm: float) -> np.ndarray:
    """(3, d, h, w) voxels along z, y, x away from the core."""
    away = np.float32(STEP) * -border_depth(core[::STEP, ::STEP, ::STEP])
    radius = np.cbrt(3 * core.sum() / (4 * np.pi))
    fading = np.exp(-np.maximum(away, 0) / REACH_MM) - np.exp(-MARGIN / REACH_MM)
    amount = min(largest_mm, radius / 3) * np.maximum(fading, 0) * np.minimum(1, depth / _ANCHORED_MM)
    slope = np.stack(np.gradient(smoothed(away, _SLOPE_WIDTH / STEP)))
    slope *= amount / (np.sqrt((slope**2).sum(axis=0)) + 1e-3)
    rows = [
        between(np.arange(size) / STEP, count) for size, count in zip(core.shape, away.shape, strict=True)
    ]
    return along_axes(slope.astype(np.float32), rows)


def _filled(image: np.ndarray) -> np.ndarray:
    """The image with the median of its brain around it, since a cubic would swing at the surface."""
    filled = np.empty_like(image)
    for volume, target in zip(image, filled, strict=True):
        own = volume != 0
        target[:] = np.where(own, volume, np.median(volume[own][::7]) if own.any() else 0)
    return filled


def _cubic(image: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Values (n, m) of volumes (n, d, h, w) at points (3, m), by cubic convolution.

    A linear interpolation would average the noise of the tissue away (R. Keys, IEEE TASSP 29, 1981). The 64
    weights of a point serve all sequences, so that it takes a third of the time of splines.
    """
    image = np.pad(image, ((0, 0), *((_TAPS // 2,) * 2,) * len(points)), mode="edge")
    table = torch.from_numpy(np.ascontiguousarray(image.reshape(len(image), -1).T))
    found = np.empty((points.shape[1], len(image)), np.float32)
    for first in range(0, len(found), _AT_ONCE):
        part = slice(first, first + _AT_ONCE)
        voxels, weights = _around(points[:, part] + _TAPS // 2, image.shape[1:])
        found[part] = F.embedding_bag(
            torch.from_numpy(voxels), table, per_sample_weights=torch.from_numpy(weights), mode="sum"
        )
    return found.T


def _around(points: np.ndarray, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Numbers (m, 64) of the voxels around points (3, m) in a volume of a shape, and their weights."""
    low = np.floor(points)
    strides = np.array([shape[1] * shape[2], shape[2], 1])
    first = strides @ (low.astype(np.int64) - 1)
    taps = np.indices((_TAPS,) * len(shape)).reshape(len(shape), -1)
    # products with 0 and 1 repeat the weights of an axis for all taps, which is quicker than broadcasting
    z, y, x = (
        along @ (np.arange(_TAPS)[:, None] == tap).astype(np.float32)
        for along, tap in zip(_keys(points - low), taps, strict=True)
    )
    return first.astype(np.int32)[:, None] + (strides @ taps).astype(np.int32), z * y * x


def _keys(share: np.ndarray) -> np.ndarray:
    """Weights (3, m, 4) of the voxels around ``share`` (3, m) of the way from the second to the third."""
    away = np.abs(share[..., None] - np.arange(-1, _TAPS - 1, dtype=np.float32))
    near = (1.5 * away - 2.5) * away * away + 1
    far = ((-0.5 * away + 2.5) * away - 4) * away + 2
    return np.where(away <= 1, near, far)
