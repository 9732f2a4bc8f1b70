"""Voxels in which nothing was measured, as programs fill them up: a border of -32768 around a head."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk

from .grid import Grid
from .plausibility import LARGEST_BRAIN_MM3

_PADDED_SHARE = 1e-3
"""Of the voxels, from which on they are no few hot or dead ones."""


def without_padding(image: sitk.Image, name: str) -> tuple[sitk.Image, list[str]]:
    """A volume whose padding is as dark as its darkest measured voxels.

    A value far off all others would be all the contrast that there is. What surrounds a stripped brain stays
    as it is, for it tells where the brain ends.

    Args:
        image: 3-D scalar of several finite values.
        name: of the volume, for the sentence.

    Returns:
        The volume, and a sentence where it was padded.
    """
    array = sitk.GetArrayViewFromImage(image)
    for value in (array.min(), array.max()):
        padded = array == value
        share = padded.mean()
        measured = array[~padded] if share > _PADDED_SHARE else None
        if measured is None or measured.size * np.prod(image.GetSpacing()) <= LARGEST_BRAIN_MM3:
            continue
        low, high = float(measured.min()), float(measured.max())
        if max(low - float(value), float(value) - high) > high - low:
            filled = np.where(padded, measured.min(), array)
            told = (
                f"{name}: {share:.0%} of its voxels hold {value:g}, far off all others, as padding does; they"
            )
            return Grid.from_image(image).to_image(filled), [f"{told} count as air."]
    return image, []
