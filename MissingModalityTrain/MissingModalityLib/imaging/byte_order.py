"""Whether the voxels of a volume were read in the wrong byte order, which headers of MRI files can state."""

from __future__ import annotations

import numpy as np

_NOISE, _IMAGE = 0.5, 0.8
"""Correlations of voxels with their neighbors below and above which an array is noise and an image.

Of 18 patients of BraTS and of raw volumes it is 0.94 and more, and with bytes exchanged 0.75 and less.
"""


def is_byte_swapped(array: np.ndarray) -> bool:
    """Whether whole numbers (D, H, W) of two bytes or more are noise, and an image with bytes exchanged.

    Numbers with fractions need no such look: most of them leave every range that is read.
    """
    if array.dtype.kind not in "iu" or array.dtype.itemsize == 1:
        return False
    # with signs, for without them zero air and bright noise alone make neighbors alike
    slices = np.ascontiguousarray(array[::8, ::2]).view(f"i{array.dtype.itemsize}")
    return _of_neighbors(slices) < _NOISE and _of_neighbors(slices.byteswap()) > _IMAGE


def _of_neighbors(array: np.ndarray) -> float:
    values = array.astype(np.float64)
    values -= values.mean()
    norm = float((values * values).mean())
    return float((values[..., 1:] * values[..., :-1]).mean()) / norm if norm > 0 else 0.0
