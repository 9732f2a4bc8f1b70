"""What the steps before a segmentation take and leave: brain masks, and transforms of moved volumes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK as sitk
import slicer
import vtk
from vtk.util.numpy_support import vtk_to_numpy

from ..core.errors import ImageError
from ..imaging.label_likeness import not_a_mask
from .segment_voxels import BINARY, image_of_segment, oriented_image
from .volumes import RAS_TO_LPS_AFFINE, Node, image_of, lps_in_world, placed_image, ras_matrix, vtk_matrix

BRAIN = "Brain"
"""Name and ID of the segment with the mask of the brain."""

_BRAIN_COLOR = (0.98, 0.98, 0.88)


def brain_mask_of(node: Node) -> sitk.Image:
    """A mask of the brain that the user has loaded or drawn, as an image in the world frame.

    Args:
        node: a label map volume of 0 outside the brain and one other value inside, or a segmentation with
            one segment, or with one that is called Brain.

    Returns:
        uint8, 1 inside the brain.

    Raises:
        ImageError: the node is of another kind or empty, holds no brain, other values or several segments,
            or a parent transform bends or shears it.
    """
    if node.IsA("vtkMRMLSegmentationNode"):
        image = _image_of_segment(node, _brain_segment(node))
    elif node.IsA("vtkMRMLLabelMapVolumeNode") and node.GetImageData() is not None:
        image = image_of(node)
        array = sitk.GetArrayViewFromImage(image)
        fault = not_a_mask(array) if array.any() else None
        if fault:
            raise ImageError(
                f"'{node.GetName()}' is no mask: {fault}. Choose a label map or a segmentation of the brain "
                "alone."
            )
    else:
        raise ImageError(
            f"'{node.GetName()}' is no brain mask. Choose a segmentation or a label map volume of the brain."
        )
    mask = sitk.Cast(image != 0, sitk.sitkUInt8)
    if not sitk.GetArrayViewFromImage(mask).any():
        raise _empty(node)
    return mask


def write_brain_mask(node: Node, path: Path) -> None:
    """:func:`brain_mask_of` as a file for a child process."""
    # read once and deleted: compressing takes longer than writing
    sitk.WriteImage(brain_mask_of(node), str(path), useCompression=False)


def add_brain_mask(scene: Node, mask: sitk.Image, name: str) -> Node:
    """A mask of the brain, nonzero inside, as a new segmentation node that is shown by its outline."""
    segment = slicer.vtkSegment()
    segment.SetName(BRAIN)
    segment.SetColor(*_BRAIN_COLOR)
    inside = (sitk.GetArrayViewFromImage(mask) != 0).astype(np.uint8)
    segment.AddRepresentation(BINARY, oriented_image(inside, ras_matrix(mask)))
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", scene.GenerateUniqueName(name))
    node.CreateDefaultDisplayNodes()
    node.GetSegmentation().SetSourceRepresentationName(BINARY)
    node.GetSegmentation().AddSegment(segment, BRAIN)
    # filled, it would cover the volume whose brain is to be looked at
    node.GetDisplayNode().SetVisibility2DFill(False)
    return node


def world_matrix(node: Node) -> np.ndarray:
    """(4, 4) from a node's own RAS (mm) to that of the world, by its linear parent transforms."""
    return RAS_TO_LPS_AFFINE @ lps_in_world(node, vtk.vtkMatrix4x4())


def add_transform(
    scene: Node, transform: sitk.Transform, name: str, parent: np.ndarray | None = None
) -> Node:
    """The movement of a volume as a new linear transform node; no volume is put under it.

    Args:
        transform: linear, takes points (LPS, mm) of the volume that stays to those of the volume that moves,
            as ITK registers. A volume under the node is moved the other way, onto the one that stays.
        parent: :func:`world_matrix` that the volume had as it was registered: the node takes the place of
            the transform that the volume lay under.
    """
    origin = np.array(transform.TransformPoint((0.0, 0.0, 0.0)))
    lps = np.eye(4)
    lps[:3, :3] = np.transpose([np.array(transform.TransformPoint(axis)) - origin for axis in np.eye(3)])
    lps[:3, 3] = origin
    movement = RAS_TO_LPS_AFFINE @ np.linalg.inv(lps) @ RAS_TO_LPS_AFFINE
    matrix = vtk_matrix(movement if parent is None else movement @ parent)
    node = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", scene.GenerateUniqueName(name))
    node.SetMatrixTransformToParent(matrix)
    return node


def _brain_segment(node: Node) -> str:
    """ID of the segment that is the brain."""
    segmentation = node.GetSegmentation()
    ids = segmentation.GetSegmentIDs()
    named = [one for one in ids if segmentation.GetSegment(one).GetName().strip().lower() == BRAIN.lower()]
    found = named or ids
    if not found:
        raise _empty(node)
    if len(found) > 1:
        raise ImageError(
            f"'{node.GetName()}' has {len(ids)} segments. Choose a segmentation of the brain alone, or name "
            f"its segment '{BRAIN}' in the Segment Editor."
        )
    return found[0]


def _image_of_segment(node: Node, segment_id: str) -> sitk.Image:
    oriented = image_of_segment(node, segment_id)
    if oriented.IsEmpty():
        raise _empty(node)
    matrix = vtk.vtkMatrix4x4()
    oriented.GetImageToWorldMatrix(matrix)
    lps = lps_in_world(node, matrix)
    # the first voxel of a segment's image need not have the indices 0, 0, 0
    lps[:3, 3] = (lps @ [*oriented.GetExtent()[::2], 1])[:3]
    voxels = vtk_to_numpy(oriented.GetPointData().GetScalars()).reshape(oriented.GetDimensions()[::-1])
    return placed_image(np.array(voxels), lps, node.GetName())


def _empty(node: Node) -> ImageError:
    return ImageError(f"'{node.GetName()}' holds no brain. Choose another mask, or None.")
