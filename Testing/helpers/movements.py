"""Volumes that lie elsewhere by a known movement, and how far a registration is from it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import SimpleITK as sitk
from scipy.spatial.transform import Rotation

_HALF_HEAD_MM = np.array([70.0, 85.0, 65.0])
"""Half the sides of the box that a brain fills."""

Way = Callable[[np.ndarray], np.ndarray]
"""Points (n, 3), mm, LPS, to where a movement takes them."""


def moved(image: sitk.Image, shift_mm: Sequence[float], degrees: Sequence[float]) -> tuple[sitk.Image, Way]:
    """The same voxels under another header, and the way from old places to new ones.

    Args:
        image: 3-D.
        shift_mm: along x, y, z.
        degrees: of turns about x, y, z (one turn, about their common axis) through the middle of the volume.
    """
    turn = Rotation.from_rotvec(np.radians(degrees)).as_matrix()
    middle = image.TransformContinuousIndexToPhysicalPoint([(side - 1) / 2 for side in image.GetSize()])

    def way(points: np.ndarray) -> np.ndarray:
        return (np.asarray(points) - middle) @ turn.T + middle + shift_mm

    result = sitk.Image(image)
    result.SetOrigin(way(image.GetOrigin()).tolist())
    result.SetDirection((turn @ np.reshape(image.GetDirection(), (3, 3))).ravel().tolist())
    return result, way


def head_corners(center: Sequence[float]) -> np.ndarray:
    """(8, 3) corners of the box around a brain whose middle is at ``center``, mm."""
    return center + _HALF_HEAD_MM * (2 * np.array(list(np.ndindex(2, 2, 2))) - 1)


def corner_error(transform: sitk.Transform, way: Way, center: Sequence[float]) -> float:
    """How far the worst corner of the head is from where it should be, mm."""
    points = head_corners(center)
    found = np.array([transform.TransformPoint(point.tolist()) for point in points])
    return float(np.linalg.norm(found - way(points), axis=1).max())


def thick_slices(image: sitk.Image, thickness_mm: float, axis: int) -> sitk.Image:
    """The volume in slices of that thickness across an axis (0, 1, 2), each the mean of its voxels."""
    factors = [1, 1, 1]
    factors[axis] = round(thickness_mm / image.GetSpacing()[axis])
    return sitk.BinShrink(sitk.Cast(image, sitk.sitkFloat32), factors)
