"""Volume nodes to images in the world frame, and back."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import SimpleITK as sitk
import vtk
from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy

from ..core.errors import ImageError
from ..imaging.grid import RAS_TO_LPS, straight_axes

RAS_TO_LPS_AFFINE = np.diag([*np.diag(RAS_TO_LPS), 1.0])
"""Its own inverse."""

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
    return placed_image(np.array(voxels_of(node)), lps_matrix(node), node.GetName())


def add_volume(scene: Node, image: sitk.Image, name: str) -> Node:
    """The inverse of :func:`image_of`: a new scalar volume node with default display in ``scene``."""
    voxels = sitk.GetArrayViewFromImage(image)
    data = vtk.vtkImageData()
    data.SetDimensions(*image.GetSize())
    # deep, because a view of an ITK image's memory is void once Python drops the image
    data.GetPointData().SetScalars(numpy_to_vtk(voxels.ravel(), deep=True))
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", scene.GenerateUniqueName(name))
    node.SetAndObserveImageData(data)
    node.SetIJKToRASMatrix(ras_matrix(image))
    node.CreateDefaultDisplayNodes()
    return node


def ras_matrix(image: sitk.Image) -> Node:
    """``vtkMatrix4x4`` from voxel indices (i, j, k) of an image to RAS (mm)."""
    lps = np.eye(4)
    lps[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    lps[:3, 3] = image.GetOrigin()
    return vtk_matrix(RAS_TO_LPS_AFFINE @ lps)


def vtk_matrix(matrix: np.ndarray) -> Node:
    """A (4, 4) matrix as ``vtkMatrix4x4``."""
    found = vtk.vtkMatrix4x4()
    found.DeepCopy(matrix.ravel().tolist())
    return found


def voxels_of(node: Node) -> np.ndarray:
    """The voxels (z, y, x) of a scalar volume node; a view, not a copy."""
    data = node.GetImageData()
    return vtk_to_numpy(data.GetPointData().GetScalars()).reshape(data.GetDimensions()[::-1])


def state_of(node: Node) -> tuple[str, tuple[float, ...]]:
    """A volume's voxels, as SHA-256, and its geometry: its own, and the size of its voxels in the world.

    What lies on its voxels still belongs there as long as both are the same; it may be moved meanwhile.

    Raises:
        ImageError: as :func:`lps_in_world`.
    """
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    sizes = np.linalg.norm(lps_matrix(node)[:3, :3], axis=0).round(6)
    geometry = (*lps_of(matrix).ravel().tolist(), *sizes.tolist())
    return hashlib.sha256(np.ascontiguousarray(voxels_of(node))).hexdigest(), geometry


def placed_image(voxels: np.ndarray, lps: np.ndarray, name: str) -> sitk.Image:
    """Voxels (z, y, x) as an image.

    Args:
        lps: (4, 4), from voxel indices (i, j, k) to world LPS (mm).
        name: of the node, for messages.

    Raises:
        ImageError: voxels without extent, or axes that are not at right angles.
    """
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    if not (spacing > 0).all():
        raise ImageError(f"'{name}' has a voxel size of zero. Correct its spacing in the Volumes module.")
    direction = straight_axes(lps[:3, :3] / spacing)
    if direction is None:
        raise ImageError(
            f"'{name}' has slanted voxel axes (scanner tilt or a transform that shears it). "
            "Resample it to straight axes first, e.g. with the Resample Scalar/Vector/DWI Volume module."
        )
    image = sitk.GetImageFromArray(voxels)
    image.SetSpacing(spacing.tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    image.SetDirection(direction.ravel().tolist())
    return image


def lps_matrix(node: Node) -> np.ndarray:
    """4x4 matrix from voxel indices (i, j, k) of a volume node to world LPS (mm)."""
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    return lps_in_world(node, matrix)


def lps_in_world(node: Node, matrix: Node) -> np.ndarray:
    """4x4 matrix to world LPS (mm) from whence a ``vtkMatrix4x4`` goes to the node's own RAS (mm).

    Raises:
        ImageError: the node's parent transform is not linear.
    """
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
    return lps_of(matrix)


def lps_of(matrix: Node) -> np.ndarray:
    """4x4 matrix to LPS from whence a ``vtkMatrix4x4`` goes to RAS (mm)."""
    ras = np.reshape([matrix.GetElement(*place) for place in np.ndindex(4, 4)], (4, 4))
    return RAS_TO_LPS_AFFINE @ ras
