"""Whether two volumes show the same brain: folds, ventricles and tumor lie in the same places.

Sequences differ in what is bright, so edges and tissues are compared window by window: within a few
millimeters one sequence is nearly a linear function of another, whatever its sign. Of two patients laid over
each other only the common outlines agree, hardly better than after a shift.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from ..core.modalities import Modality
from ..imaging.grid import Grid
from ..imaging.reading import Study
from ..runtime.side_by_side import side_by_side
from .coarse import brain_center, deviations, middle_of, on_grid, own_grid

if TYPE_CHECKING:
    import SimpleITK as sitk

SPACING_MM = 3.0
_WINDOW_VOXELS = 5
_SHIFT_VOXELS = 4
"""12 mm: farther than volumes of a patient may lie apart, nearer than other anatomy."""

_TISSUE_SHARE = 0.9
_FEWEST_VOXELS = 2000
_LEAST_VARIANCE = 1e-4


@dataclass(frozen=True)
class View:
    """A volume as it is compared with another.

    Attributes:
        values: (D, H, W) float32, intensities.
        tissue: (D, H, W) bool, voxels that no background was averaged into.
        head: (D, H, W) bool, where the head or brain is.
        grid: of 3 mm, one for all volumes of a study.
    """

    values: np.ndarray
    tissue: np.ndarray
    head: np.ndarray
    grid: Grid


def views(study: Study) -> Mapping[Modality, View]:
    """All volumes of a study, which lie in one space, on a grid over the reference volume's extent."""
    grid = own_grid(study.images[study.reference], SPACING_MM)

    def view(image: sitk.Image) -> View:
        seen = on_grid(image, grid, study.brain)
        return View(seen.values, seen.share > _TISSUE_SHARE, seen.head, grid)

    return dict(zip(study.images, side_by_side(view, study.images.values()), strict=True))


def likeness(first: View, second: View) -> float | None:
    """How much better two volumes agree as they lie than moved by 12 mm.

    Returns:
        The mean squared correlation in windows of 15 mm over the same after a shift: 1 to 2.7 for different
        brains laid over each other, 1.9 to 9 for one; None where they share too little of the brain's middle.
    """
    center = brain_center(first.head, SPACING_MM)
    if center is None:
        return None
    both = first.tissue & second.tissue
    middle = middle_of(both.shape, center, SPACING_MM) & both
    if np.count_nonzero(middle) < _FEWEST_VOXELS:
        return None
    one, two = (np.where(both, deviations(v, v[middle]), 0) for v in (first.values, second.values))
    shifts = (step * np.eye(3, dtype=int)[axis] for axis, step in product(range(3), (-1, 1)))
    still = Windows(one)
    moved = [still.agreement(Windows(_moved(two, shift)), middle & _moved(both, shift)) for shift in shifts]
    return still.agreement(Windows(two), middle) / max(float(np.mean(moved)), 1e-6)


def _moved(values: np.ndarray, shift: np.ndarray) -> np.ndarray:
    return np.roll(values, tuple(_SHIFT_VOXELS * shift), (0, 1, 2))


class Windows:
    """A volume (D, H, W) with its mean and variance in the window about each voxel."""

    def __init__(self, values: np.ndarray) -> None:
        self._values, self._mean = values, _mean(values)
        self._variance = _mean(values * values) - self._mean**2

    def agreement(self, other: Windows, where: np.ndarray) -> float:
        """Mean squared correlation with another volume in the windows about some voxels; 0 without any."""
        covariance = _mean(self._values * other._values) - self._mean * other._mean
        variances = (self._variance, other._variance)
        squared = covariance**2 / np.prod([np.maximum(part, _LEAST_VARIANCE) for part in variances], 0)
        return float(np.minimum(squared[where], 1).mean()) if where.any() else 0.0


def _mean(values: np.ndarray) -> np.ndarray:
    return ndimage.uniform_filter(values, _WINDOW_VOXELS)
