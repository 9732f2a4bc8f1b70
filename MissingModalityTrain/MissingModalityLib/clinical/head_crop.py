"""The part of a volume that shows the head, where the field of view reaches neck, shoulders or chest."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk

from ..imaging.boxes import tightest_box
from ..imaging.grid import ORIENTATION
from .brain_mask import largest_part
from .coarse import SPACING_MM, brighter_than_air, on_coarse_grid

_CROWN_MM2 = 4000.0
"""Cross-section from which on a slice is of the head, seen from above; a few centimeters below the crown."""

_BRAIN_SLAB_MM, _HEAD_MM = 110.0, 190.0
"""Below the crown: where a head is narrower than shoulders, and its height to the upper neck. Adults' brains
reach 160 mm below it."""

_MARGIN_MM = 20.0
"""On all sides; the crown lies above the first such slice."""

_LESS = 0.8
"""Share of the volume from which on nothing worth it is left out."""


def crop_to_head(image: sitk.Image) -> sitk.Image | None:
    """What a volume shows of the head, its uppermost part.

    Args:
        image: 3-D, in the patient's space.

    Returns:
        Part of the volume, axes near LPS, the voxels themselves; None where the head is all that it shows.
    """
    oriented = sitk.DICOMOrient(image, ORIENTATION)
    head = largest_part(brighter_than_air(on_coarse_grid(oriented).values))
    slices = np.flatnonzero(head.sum((1, 2)) * SPACING_MM**2 > _CROWN_MM2)
    if not len(slices):
        return None
    top = int(slices[-1])
    bottom = max(0, top - round(_HEAD_MM / SPACING_MM))
    slab = head[max(0, top - round(_BRAIN_SLAB_MM / SPACING_MM)) : top + 1]
    _, back, left = tightest_box(slab)
    box = []
    for part, spacing, length in zip(
        (slice(bottom, top + 1), back, left),
        oriented.GetSpacing()[::-1],
        oriented.GetSize()[::-1],
        strict=True,
    ):
        start, stop = part.start * SPACING_MM - _MARGIN_MM, part.stop * SPACING_MM + _MARGIN_MM
        box.append(slice(max(0, int(start / spacing)), min(length, int(stop / spacing) + 1)))
    part = oriented[tuple(reversed(box))]
    return part if part.GetNumberOfPixels() < _LESS * oriented.GetNumberOfPixels() else None
