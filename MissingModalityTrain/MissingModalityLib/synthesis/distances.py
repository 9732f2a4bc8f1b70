"""Distances to the border of a mask, by ITK, which is the faster, or by SciPy where ITK is not there."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import distance_transform_edt

from ..imaging.boxes import tightest_box
from .texture import part_of


def distance_to(mask: np.ndarray) -> np.ndarray:
    """Voxels (d, h, w) float32 from each voxel to the nearest one of a mask; infinite without one."""
    if not mask.any():
        return np.full(mask.shape, np.inf, np.float32)
    try:
        import SimpleITK as sitk
    except ModuleNotFoundError:  # a training from prepared cases can do without
        return distance_transform_edt(~mask).astype(np.float32)
    image = sitk.GetImageFromArray(mask.astype(np.uint8))
    # (Maurer et al., IEEE TPAMI 25, 2003); negative inside
    signed = sitk.SignedMaurerDistanceMap(image, squaredDistance=False, useImageSpacing=False)
    return np.maximum(sitk.GetArrayFromImage(signed), 0)


def distance_near(mask: np.ndarray, reach: int) -> np.ndarray:
    """As :func:`distance_to`; infinite outside the mask's box with a margin of ``reach`` voxels."""
    found = np.full(mask.shape, np.inf, np.float32)
    box = tightest_box(mask)
    if box is not None:
        part = part_of(box, reach, mask.shape)
        found[part] = distance_to(mask[part])
    return found


def depth_in(mask: np.ndarray) -> np.ndarray:
    """Voxels (d, h, w) float32 from each voxel of a mask to the nearest one outside, 0 there.

    What lies beyond the array is outside.
    """
    found = np.zeros(mask.shape, np.float32)
    box = tightest_box(mask)
    if box is not None:  # the voxels around it are outside, and none beyond them is nearer
        found[box] = distance_to(np.pad(~mask[box], 1, constant_values=True))[1:-1, 1:-1, 1:-1]
    return found
