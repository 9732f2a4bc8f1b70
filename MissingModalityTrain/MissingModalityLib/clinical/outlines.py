"""Whether volumes lie in one space for sure: skulls stripped, one grid, one outline of the brain."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk

from ..imaging.grid import ORIENTATION, Grid
from ..imaging.intensities import find_background
from .stripping import needs_stripping

SAME_OUTLINE = 0.98
"""Dice of two brains.

Of 17 patients of BraTS 2013 to 2021 none has less than 0.983; a brain that is moved by 1 mm has 0.987 with
itself, one that is moved by 2 mm 0.975.
"""


def share_outline(reference: sitk.Image, moving: sitk.Image) -> bool:
    """Whether both are stripped, on one grid, with the same brain in it: then one was laid on the other."""
    if not Grid.from_image(reference).matches(Grid.from_image(moving)):
        return False
    if needs_stripping(reference) or needs_stripping(moving):
        return False
    one, other = _brain(reference), _brain(moving)
    return bool(2 * np.count_nonzero(one & other) >= SAME_OUTLINE * (one.sum() + other.sum()))


def _brain(image: sitk.Image) -> np.ndarray:
    oriented = sitk.DICOMOrient(image, ORIENTATION)
    array = sitk.GetArrayViewFromImage(oriented)
    return find_background(array).brain(array)
