"""Whether two volumes show the same brain: folds, ventricles and tumor lie in the same places.

Sequences differ in what is bright, so edges and tissues are compared window by window: within a few
millimeters one sequence is nearly a linear function of another, whatever its sign. Of two patients laid over
each other only the common outlines agree, hardly better than after a shift.
"""

from __future__ import annotations

from itertools import product

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from .coarse import brain_center, deviations, head_of, middle_of, on_grid, own_grid

SPACING_MM = 3.0
_WINDOW_VOXELS = 5
_SHIFT_VOXELS = 4
"""12 mm: farther than volumes of a patient may lie apart, nearer than other anatomy."""

_TISSUE_SHARE = 0.9
_FEWEST_VOXELS = 2000
_LEAST_VARIANCE = 1e-4


def likeness(first: sitk.Image, second: sitk.Image, brain: sitk.Image | None = None) -> float | None:
    """How much better two volumes agree as they lie than moved by 12 mm.

    Args:
        first, second: volumes in one space, of any sequences.
        brain: mask in the same space, where there is one.

    Returns:
        The mean squared correlation in windows of 15 mm over the same after a shift: 1 to 2.7 for different
        brains laid over each other, 1.9 to 9 for one; None where they share too little of the brain's middle.
    """
    grid = own_grid(first, SPACING_MM)
    (one, share), (two, other) = (on_grid(image, grid, brain) for image in (first, second))
    center = brain_center(head_of(one, share), SPACING_MM)
    if center is None:
        return None
    both = (share > _TISSUE_SHARE) & (other > _TISSUE_SHARE)
    middle = middle_of(one.shape, center, SPACING_MM) & both
    if np.count_nonzero(middle) < _FEWEST_VOXELS:
        return None
    one, two = (np.where(both, deviations(part, part[middle]), 0) for part in (one, two))
    shifts = (step * np.eye(3, dtype=int)[axis] for axis, step in product(range(3), (-1, 1)))
    moved = [_agreement(one, _moved(two, shift), middle & _moved(both, shift)) for shift in shifts]
    return _agreement(one, two, middle) / max(float(np.mean(moved)), 1e-6)


def _moved(values: np.ndarray, shift: np.ndarray) -> np.ndarray:
    return np.roll(values, tuple(_SHIFT_VOXELS * shift), (0, 1, 2))


def _agreement(one: np.ndarray, two: np.ndarray, where: np.ndarray) -> float:
    """Mean squared correlation of the windows about some voxels; 0 without any."""

    def mean(values: np.ndarray) -> np.ndarray:
        return ndimage.uniform_filter(values, _WINDOW_VOXELS)

    covariance = mean(one * two) - mean(one) * mean(two)
    variances = (mean(part * part) - mean(part) ** 2 for part in (one, two))
    squared = covariance**2 / np.prod([np.maximum(part, _LEAST_VARIANCE) for part in variances], 0)
    return float(np.minimum(squared[where], 1).mean()) if where.any() else 0.0
