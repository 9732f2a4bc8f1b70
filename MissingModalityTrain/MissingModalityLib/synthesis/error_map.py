"""Asymmetry error maps: what one side of a brain has beyond the other (AEM+KD, Eq. 2).

The mirror image comes from one plane for all modalities and slices of a case. Where the mirror side has no
brain, because the head is not quite symmetric, the difference is taken against 0. That is right for z-scored
images: 0 is the mean of the brain, so the map tells how far the voxel is from average tissue, and a tumor at
the surface loses nothing. Where the mirror side has tumor too (across the midline, or on both sides) the map
is about 0, as in the paper: there the two sides do not tell what healthy tissue looks like.
"""

from __future__ import annotations

from torch import Tensor

from ..imaging.boxes import Box
from .midsagittal_plane import Plane


def error_map(image: Tensor, plane: Plane, box: Box | None = None, difference: str = "absolute") -> Tensor:
    """D = |X - mirror(X)| of every modality (Eq. 2).

    Args:
        image: (C, D, H, W) floating point, z-scored, 0 outside the brain; the modalities that there are.
        plane: of the case, in voxels of ``image``.
        box: compute only this part; None for everything.
        difference: "absolute" as in the paper, "signed" as in its public code, or "none" for X itself.

    Returns:
        (C, D, H, W), or (C, d, h, w) of the box; same dtype and device.
    """
    box = box or tuple(slice(0, size) for size in image.shape[1:])
    own = image[(slice(None), *box)]
    if difference == "none":
        return own.clone()
    # the whole image goes in: the mirror image of the box may come from anywhere in it
    error = own - plane.reflect(image, box)
    return error.abs_() if difference == "absolute" else error


def tumor_part(image: Tensor, label: Tensor, plane: Plane, box: Box, difference: str = "absolute") -> Tensor:
    """T = D * (Y > 0), the intensities that the tumor brings (Eq. 2), inside ``box``.

    Args:
        image: as for :func:`error_map`.
        label: (D, H, W) classes.
        plane: of the case.
        box: around the tumor; the rest is 0 anyway.
        difference: as for :func:`error_map`.

    Returns:
        (C, d, h, w), 0 outside the tumor.
    """
    return error_map(image, plane, box, difference).mul_(label[box] > 0)
