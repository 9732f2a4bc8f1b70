"""Volume nodes to images in the world frame, and back."""

from __future__ import annotations

from typing import Any

import numpy as np
import SimpleITK as sitk
import vtk
from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy

from ..core.errors import ImageError
from ..imaging.grid import RAS_TO_LPS, straight_axes

_RAS_TO_LPS_AFFINE = np.diag([*np.diag(RAS_TO_LPS), 1.0])

Node = Any
"""A MRML node; slicer's classes are known to no type checker."""


def image_of(node: Node) -> sitk.Image:
    """A volume node as an image in the world frame.

    Args:
        node: scalar volume; linear parent transforms without shear are applied to its geometry.

    Returns:
        Own copy of the voxels with spacing (mm), origin and direction (LPS).

    Raises:
        ImageError: a parent transform bends or shears the volume.
    """
    image = sitk.GetImageFromArray(np.array(voxels_of(node)))
    lps = lps_matrix(node)
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    if not (spacing > 0).all():
        raise ImageError(
            f"'{node.GetName()}' has a voxel size of zero. Correct its spacing in the Volumes module."
        )
    direction = straight_axes(lps[:3, :3] / spacing)
    if direction is None:
        raise ImageError(
            f"'{node.GetName()}' has slanted voxel axes (scanner tilt or a transform that shears it). "
            "Resample it to straight axes first, e.g. with the Resample Scalar/Vector/DWI Volume module."
        )
    image.SetSpacing(spacing.tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    image.SetDirection(direction.ravel().tolist())
    return image


def add_volume(scene: Node, image: sitk.Image, name: str) -> Node:
    """The inverse of :func:`image_of`: a new scalar volume node with default display in ``scene``."""
    lps = np.eye(4)
    lps[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    lps[:3, 3] = image.GetOrigin()
    matrix = vtk.vtkMatrix4x4()
    matrix.DeepCopy((_RAS_TO_LPS_AFFINE @ lps).ravel().tolist())
    voxels = sitk.GetArrayViewFromImage(image)
    data = vtk.vtkImageData()
    data.SetDimensions(*image.GetSize())
    # deep, because a view of an ITK image's memory is void once Python drops the image
    data.GetPointData().SetScalars(numpy_to_vtk(voxels.ravel(), deep=True))
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", scene.GenerateUniqueName(name))
    node.SetAndObserveImageData(data)
    node.SetIJKToRASMatrix(matrix)
    node.CreateDefaultDisplayNodes()
    return node


def voxels_of(node: Node) -> np.ndarray:
    """The voxels (z, y, x) of a scalar volume node; a view, not a copy."""
    data = node.GetImageData()
    return vtk_to_numpy(data.GetPointData().GetScalars()).reshape(data.GetDimensions()[::-1])


def lps_matrix(node: Node) -> np.ndarray:
    """4x4 matrix from voxel indices (i, j, k) to world LPS (mm)."""
    return _RAS_TO_LPS_AFFINE @ _ijk_to_world(node)


def _ijk_to_world(node: Node) -> np.ndarray:
    """4x4 matrix from voxel indices (i, j, k) to world RAS (mm)."""
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    transform = node.GetParentTransformNode()
    if transform is not None:
        if not transform.IsTransformToWorldLinear():
            raise ImageError(
                f"'{node.GetName()}' is under the non-linear transform '{transform.GetName()}'. Harden the "
                "transform on the volume first (Transforms module), or take the volume out of it."
            )
        world = vtk.vtkMatrix4x4()
        transform.GetMatrixTransformToWorld(world)
        vtk.vtkMatrix4x4.Multiply4x4(world, matrix, matrix)
    return np.reshape([matrix.GetElement(*place) for place in np.ndindex(4, 4)], (4, 4))
