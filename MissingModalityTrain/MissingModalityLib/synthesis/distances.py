"""Distances to the border of a mask, by ITK, which is the faster, or by SciPy where ITK is not there."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import binary_erosion, distance_transform_edt

from ..imaging.boxes import tightest_box


def distance_to(mask: np.ndarray) -> np.ndarray:
    """Voxels (d, h, w) float32 from each voxel to the nearest one of a mask; infinite without one."""
    if not mask.any():
        return np.full(mask.shape, np.inf, np.float32)
    return np.maximum(_signed(mask), 0)


def border_depth(mask: np.ndarray) -> np.ndarray:
    """Voxels (d, h, w) float32 from the border of a mask: positive inside, negative outside.

    The border runs between voxels. Beyond the array the mask goes on as at its edge.

    Args:
        mask: (d, h, w) bool, with a voxel inside.
    """
    return np.float32(0.5) - _signed(mask)


def depth_in(mask: np.ndarray) -> np.ndarray:
    """Voxels (d, h, w) float32 from each voxel of a mask to the nearest one outside, 0 there.

    What lies beyond the array is outside.
    """
    found = np.zeros(mask.shape, np.float32)
    box = tightest_box(mask)
    if box is not None:  # the voxels around it are outside, and none beyond them is nearer
        found[box] = distance_to(np.pad(~mask[box], 1, constant_values=True))[1:-1, 1:-1, 1:-1]
    return found


def _signed(mask: np.ndarray) -> np.ndarray:
    """Voxels (d, h, w) float32 to the nearest one of a mask; inside, less than 0, to its outermost ones."""
    try:
        import SimpleITK as sitk
    except ModuleNotFoundError:  # a training from prepared cases can do without
        outermost = mask & ~binary_erosion(mask, np.ones((3,) * mask.ndim), border_value=1)
        inside = distance_transform_edt(~outermost) if outermost.any() else np.zeros(mask.shape)
        return np.where(mask, -inside, distance_transform_edt(~mask)).astype(np.float32)
    image = sitk.GetImageFromArray(mask.astype(np.uint8))
    # (Maurer et al., IEEE TPAMI 25, 2003)
    signed = sitk.SignedMaurerDistanceMap(image, squaredDistance=False, useImageSpacing=False)
    return sitk.GetArrayFromImage(signed)
