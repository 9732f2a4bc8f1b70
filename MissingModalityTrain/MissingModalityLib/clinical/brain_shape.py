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
"""From a brain's center to its surface, for one of 1400 cm³: coefficients of the powers of the direction's
component to the back (rows) and up (columns), fitted by least squares; the brains are 3 mm off (RMS)."""

_VOLUME_MM3 = 1.4e6
_SIDE, _STEP_MM = 24, 8.0
_EDGE_MM = 4.0
"""Half the width over which the modeled surface fades, as that of a mask averaged over 8 mm."""

_STRETCHES = tuple(
    (1.0 + height, 1.0 - width, 1.0 + width)
    for width, height in product((0.0, -0.04, 0.04, -0.08, 0.08), (0.0, -0.08, 0.08))
)
"""Of the outline along z, y, x: skulls are long or broad, the width being 70 to 90 % of the length."""

_TILTS_DEGREES = (0, -10, 10, -20, 20, -30, 30)
"""As in nodding."""

_FITS = 0.93
"""Correlation with the outline, stretched and tilted as heads are, from which on a brain lies so.

The brains of 54 training patients, stretched by up to 7 % and tilted by up to 25 degrees, have 0.953 or more,
halves of them 0.904 or less, a ball 0.92; turned another way all have 0.91 or less, but 0.95 where y and z
are exchanged, which resembles a tilt.
"""

_BETTER, _BETTER_TILTED = 0.05, 0.005
"""By how much another way fits better than as the header says, without and with stretch and tilt, for what
resembles a tilt.

Of the 54 as they lie any other way fits at least 0.066 less. Tilted by 20 degrees another way is at most 0.03
better.
"""

Way = tuple[tuple[int, ...], int, int]
"""The order of the axes z, y, x; 1 or -1 for z and for y where they run the other way."""

_AS_STATED: Way = ((0, 1, 2), 1, 1)
_WAYS: tuple[Way, ...] = tuple(product(permutations(range(3)), (1, -1), (1, -1)))
"""As stated first."""

UPRIGHT = "upright"
_WORDS = {
    (1, 1): UPRIGHT,
    (-1, 1): "upside down",
    (-1, -1): "upside down and back to front",
    (1, -1): "back to front",
}


def how_it_lies(mask: sitk.Image) -> str | None:
    """How a brain lies in the patient's space, in words that follow "lies": :data:`UPRIGHT` or another way.

    Args:
        mask: nonzero in a whole brain.

    Returns:
        None where it has the outline of a brain in no way.
    """
    shape = _standardized(_shares(mask))
    plain = {way: float(shape @ _seen(_outline(), way)) for way in _WAYS}
    best = max(plain, key=lambda way: plain[way])
    outlines = [_outline(stretch, tilt) for stretch, tilt in product(_STRETCHES, _TILTS_DEGREES)]

    def fit(way: Way) -> float:
        return max(float(shape @ _seen(outline, way)) for outline in outlines)

    upright = fit(_AS_STATED)
    if plain[best] - plain[_AS_STATED] >= _BETTER and fit(best) >= max(_FITS, upright + _BETTER_TILTED):
        return _words(best)
    if upright >= _FITS:
        return UPRIGHT
    found = {way: fit(way) for way in _WAYS}
    best = max(found, key=lambda way: found[way])
    return _words(best) if found[best] >= _FITS else None


def _words(way: Way) -> str:
    order, *signs = way
    return _WORDS[tuple(signs)] if order == _AS_STATED[0] else "turned on its side, or with axes exchanged"


def _shares(mask: sitk.Image) -> np.ndarray:
    """(24, 24, 24) share of a mask in cubes about its center, 8 mm wide for a brain of 1400 cm³."""
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


def _outline(stretch: tuple[float, ...] = (1.0, 1.0, 1.0), tilt_degrees: float = 0.0) -> np.ndarray:
    """(24, 24, 24) share of the mean brain, stretched along its z, y, x, then tilted."""
    axis = (np.arange(_SIDE) - (_SIDE - 1) / 2) * _STEP_MM
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    cosine, sine = np.cos(np.radians(tilt_degrees)), np.sin(np.radians(tilt_degrees))
    z, y = cosine * z - sine * y, cosine * y + sine * z
    sides = np.array(stretch) / np.cbrt(np.prod(stretch))
    z, y, x = (part / side for part, side in zip((z, y, x), sides, strict=True))
    far = np.sqrt(x * x + y * y + z * z)
    radius = polynomial.polyval2d(y / far, z / far, _RADII_MM)
    return np.clip((radius - far) / (2 * _EDGE_MM) + 0.5, 0, 1)


def _seen(outline: np.ndarray, way: Way) -> np.ndarray:
    """An outline that lies another way, standardized."""
    order, up, back = way
    return _standardized(outline.transpose(order)[::up, ::back])


def _standardized(values: np.ndarray) -> np.ndarray:
    """Flat, of mean 0 and length 1."""
    off = values.ravel() - values.mean()
    return off / max(float(np.linalg.norm(off)), 1e-9)
