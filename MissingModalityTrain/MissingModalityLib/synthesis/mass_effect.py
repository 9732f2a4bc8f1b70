"""Tissue pushed aside by a tumor's core: a smooth displacement that fades with the distance."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

REACH_MM = 14.0
"""Distance over which the displacement falls to 1/e; more than its size, so that no tissue is folded."""

_ANCHORED_MM = 10.0
"""Below the brain's surface, where the displacement ends: the skull does not give way."""

_LEAST_MM = 0.1
"""Displacements that no voxel shows."""


def push(image: np.ndarray, brain: np.ndarray, core: np.ndarray, largest_mm: float) -> np.ndarray:
    """Displace tissue away from a core.

    What was at the border of the core lies ``largest_mm`` further out; what was inside is squeezed into the
    core, which a tumor fills.

    Args:
        image: (n, d, h, w), 0 outside the brain.
        brain: (d, h, w) bool.
        core: (d, h, w) bool.
        largest_mm: at the border of the core; less where the core is small or the skull near.

    Returns:
        (n, d, h, w) float32, the same brain mask.
    """
    if largest_mm <= 0 or not core.any():
        return image.copy()
    outside = ndimage.distance_transform_edt(~core)
    depth = ndimage.distance_transform_edt(np.pad(brain, 1))[1:-1, 1:-1, 1:-1]
    radius = np.cbrt(3 * core.sum() / (4 * np.pi))
    amount = min(largest_mm, radius / 3) * np.exp(-outside / REACH_MM) * np.minimum(1, depth / _ANCHORED_MM)
    smooth = ndimage.gaussian_filter(np.where(core, -1.0, outside), 3.0)
    slope = np.stack(np.gradient(smooth))
    slope /= np.sqrt((slope**2).sum(axis=0)) + 1e-3
    moved = (amount > _LEAST_MM) & brain & ~core
    points = np.argwhere(moved).T - amount[moved] * slope[:, moved]
    result = image.copy()
    for channel, volume in enumerate(image):
        own = volume != 0
        filled = _beyond_the_brain(volume, own)
        result[channel, moved] = ndimage.map_coordinates(filled, points, order=3, mode="nearest")
        result[channel, ~own] = 0
    return result


def _beyond_the_brain(volume: np.ndarray, own: np.ndarray) -> np.ndarray:
    """The nearest brain in place of the background, so that a spline does not swing at the surface."""
    if own.all() or not own.any():
        return volume
    nearest = ndimage.distance_transform_edt(~own, return_distances=False, return_indices=True)
    return volume[tuple(nearest)]
