"""The outline of a brain against that of people: whether it lies as its header says, and is one at all.

Brains are alike in shape: longer than high, flat below, narrow in front. The mean outline of 54 adults with
gliomas (BraTS training patients) is kept as 15 numbers. Left and right are alike, so that nothing is said of
them.
"""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import SimpleITK as sitk
from numpy.polynomial import polynomial

from ..imaging.grid import Grid

_RADII_MM = (
    (65.4, -4.6, 4.8, 8.1, -10.5),
    (-1.1, 10.1, 27.7, -37.7, 0.0),
    (24.8, 15.7, -38.0, 0.0, 0.0),
    (-2.2, -34.0, 0.0, 0.0, 0.0),
    (-12.3, 0.0, 0.0, 0.0, 0.0),
)
"""From a brain's center to its surface, for one of 1400 cm3: coefficients of the powers of the direction's
component to the back (rows) and up (columns), fitted by least squares; the brains are 3 mm off (RMS)."""

_VOLUME_MM3 = 1.4e6
_SIDE, _STEP_MM = 24, 8.0
_EDGE_MM = 4.0
"""Half the width over which the modeled surface fades, as that of a mask averaged over 8 mm."""

_FITS, _BETTER = 0.92, 0.05
"""Correlation with the outline from which on a brain lies so, and by how much more than as its header says.

Of 54 training patients as they lie all have 0.934 or more, turned any other way 0.891 or less, at least 0.066
less. Turned 20 degrees about the axis of nodding another way is at most 0.03 better.
"""

LEAST_LIKE = 0.90
"""Of the best of all ways to lie; a ball has 0.87, halves of the 54 brains up to 0.89."""

Way = tuple[tuple[int, ...], int, int]
"""The order of the axes z, y, x; 1 or -1 for z and for y where they run the other way."""

_AS_STATED: Way = ((0, 1, 2), 1, 1)
_WORDS = {(-1, 1): "upside down", (-1, -1): "upside down and back to front", (1, -1): "back to front"}


def turned(mask: sitk.Image) -> str | None:
    """How a brain lies in the patient's space where that is not upright, in words that follow "lies".

    Args:
        mask: nonzero in a whole brain.
    """
    fits = _fits(mask)
    best = max(fits, key=lambda way: fits[way])
    if fits[best] < _FITS or fits[best] - fits[_AS_STATED] < _BETTER:
        return None
    order, *signs = best
    return _WORDS[tuple(signs)] if order == _AS_STATED[0] else "turned on its side, or with axes exchanged"


def likeness_to_brains(mask: sitk.Image) -> float:
    """The largest correlation of a mask, nonzero inside, with a brain's outline, however turned."""
    return max(_fits(mask).values())


def _fits(mask: sitk.Image) -> dict[Way, float]:
    """Correlation of a mask with the outline for each way to lie."""
    shape = _standardized(_shares(mask))
    return {way: float(shape @ model) for way, model in _models().items()}


def _shares(mask: sitk.Image) -> np.ndarray:
    """(24, 24, 24) share of a mask in cubes about its center, 8 mm wide for a brain of 1400 cm3."""
    array = sitk.GetArrayViewFromImage(mask) > 0
    voxels = np.argwhere(array)[:, ::-1]
    center = Grid.from_image(mask).points(voxels.mean(axis=0, keepdims=True))[0]
    volume = len(voxels) * float(np.prod(mask.GetSpacing()))
    step = _STEP_MM * np.cbrt(volume / _VOLUME_MM3) / 2
    origin = center - (_SIDE - 0.5) * step
    fine = Grid(
        (2 * _SIDE,) * 3, (float(step),) * 3, tuple(origin.tolist()), tuple(np.eye(3).ravel().tolist())
    )
    inside = Grid.from_image(mask).to_image(array.astype(np.float32))
    found = sitk.BinShrink(fine.resample(inside, sitk.sitkLinear, 0), (2, 2, 2))
    return sitk.GetArrayFromImage(found)


def _models() -> dict[Way, np.ndarray]:
    """By way to lie: the standardized outline, flat."""
    axis = (np.arange(_SIDE) - (_SIDE - 1) / 2) * _STEP_MM
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    far = np.sqrt(x * x + y * y + z * z)
    radius = polynomial.polyval2d(y / far, z / far, _RADII_MM)
    upright = np.clip((radius - far) / (2 * _EDGE_MM) + 0.5, 0, 1)
    return {
        (order, up, back): _standardized(upright.transpose(order)[::up, ::back])
        for order, up, back in product(permutations(range(3)), (1, -1), (1, -1))
    }


def _standardized(values: np.ndarray) -> np.ndarray:
    """Flat, of mean 0 and length 1."""
    off = values.ravel() - values.mean()
    return off / max(float(np.linalg.norm(off)), 1e-9)
