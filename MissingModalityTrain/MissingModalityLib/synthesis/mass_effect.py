"""Tissue pushed aside by a tumor's core: a smooth displacement that fades with the distance."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from ..imaging.boxes import tightest_box
from .distances import depth_in, distance_to
from .texture import part_of

REACH_MM = 10.0
"""Distance over which it falls to 1/e; no less than its largest, so that no tissue is folded."""

MARGIN = 22
"""Voxels from the core at which the displacement ends."""

_ANCHORED_MM = 12.0
"""Below the brain's surface, where the displacement ends: the skull does not give way."""

_SLOPE_WIDTH, _SLOPE_REACH = 2.0, 9
"""Voxels of the Gaussian that smooths distances, and around a place that its slope there depends on."""

_LEAST_MM = 0.1
"""Displacements that no voxel shows."""


def push(image: np.ndarray, brain: np.ndarray, core: np.ndarray, largest_mm: float) -> np.ndarray:
    """Displace tissue away from a core.

    What was at the border of the core lies up to ``largest_mm`` further out; what was inside is squeezed into
    the core, which a tumor fills.

    Args:
        image: (n, d, h, w), 0 outside the brain.
        brain: (d, h, w) bool.
        core: (d, h, w) bool.
        largest_mm: at the border of the core; less where the core is small or the skull near.

    Returns:
        (n, d, h, w), the same brain mask.
    """
    result = image.copy()
    if largest_mm <= 0 or not core.any():
        return result
    away = distance_to(core)
    radius = np.cbrt(3 * core.sum() / (4 * np.pi))
    fading = np.exp(-away / REACH_MM) - np.exp(-MARGIN / REACH_MM)
    amount = min(largest_mm, radius / 3) * fading * np.minimum(1, depth_in(brain) / _ANCHORED_MM)
    moved = (amount > _LEAST_MM) & brain & ~core
    box = tightest_box(moved)
    if box is None:
        return result
    part = part_of(box, _SLOPE_REACH, core.shape)
    slope = np.stack(np.gradient(ndimage.gaussian_filter(away[part], _SLOPE_WIDTH)))[:, moved[part]]
    slope /= np.sqrt((slope**2).sum(axis=0)) + 1e-3
    points = np.argwhere(moved).T - amount[moved] * slope
    for channel, volume in enumerate(image):
        own = volume != 0
        # nothing is taken from beyond the surface, but a spline would swing there
        filled = np.where(own, volume, np.median(volume[own][::7])) if own.any() else volume
        result[channel, moved] = ndimage.map_coordinates(filled, points, order=3, mode="nearest")
        result[channel, ~own] = 0
    return result
