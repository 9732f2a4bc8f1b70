"""Voxels of segments on the grid of their reference volume, and images of segments from voxels."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk
import slicer
import vtk
from vtk.util.numpy_support import vtk_to_numpy

from ..core.errors import ImageError
from ..core.segments import CAVITY_SEGMENT, SEGMENTS
from .volumes import Node, lps_in_world, lps_of, placed_image, voxels_of, vtk_matrix

_MOST_OUTSIDE = 0.01
"""Share of a segment outside of its volume from which on it is refused; the border of a slice takes less."""

BINARY, SURFACE = "Binary labelmap", "Closed surface"


def classes_of(node: Node, reference: Node) -> np.ndarray:
    """The disjoint segments of a node as classes (z, y, x) uint8 on the reference volume's voxels.

    They lie on the voxels over which they are shown, also where one of both was moved since.

    Raises:
        ImageError: one of both is under a transform that is not linear, and the other is not; or segments are
            surfaces that cannot be turned into voxels, or reach beyond the volume.
    """
    classes = np.zeros(voxels_of(reference).shape, np.uint8)
    for segment in (*SEGMENTS, CAVITY_SEGMENT):
        if node.GetSegmentation().GetSegment(segment.id) is not None:
            classes[mask_of(node, segment.id, reference)] = segment.value
    return classes


def mask_of(node: Node, segment_id: str, reference: Node) -> np.ndarray:
    """One segment of a node as (z, y, x) bool on the reference volume's voxels.

    Raises:
        ImageError: as :func:`classes_of`.
    """
    inside = np.zeros(voxels_of(reference).shape, np.uint8)
    way, mask = _way_to(reference, node), image_of_segment(node, segment_id)
    if mask.IsEmpty():
        return inside.astype(bool)
    if way is not None:
        matrix = vtk.vtkMatrix4x4()
        mask.GetImageToWorldMatrix(matrix)
        vtk.vtkMatrix4x4.Multiply4x4(way, matrix, matrix)
        mask.SetImageToWorldMatrix(matrix)
    if _share_outside(mask, reference) > _MOST_OUTSIDE:
        raise ImageError(
            f"'{node.GetName()}' reaches beyond '{reference.GetName()}', on whose voxels it is measured and "
            "written. Move both together, or choose the volume that it was drawn on as its source volume in "
            "the Segment Editor."
        )
    grid = image_on(reference, inside)
    slicer.vtkOrientedImageDataResample.ResampleOrientedImageToReferenceOrientedImage(mask, grid, mask)
    return vtk_to_numpy(mask.GetPointData().GetScalars()).reshape(inside.shape) != 0


def image_of_segment(node: Node, segment_id: str) -> Node:
    """A copy of a segment's voxels in the node's own frame, as image data; empty for an empty segment.

    Segments that are surfaces alone, as whoever edits these leaves them, are turned into voxels.

    Raises:
        ImageError: they cannot be.
    """
    segmentation, image = node.GetSegmentation(), slicer.vtkOrientedImageData()
    segment = segmentation.GetSegment(segment_id)
    if segment.GetRepresentation(BINARY) is None and segment.GetRepresentation(SURFACE) is not None:
        segmentation.CreateRepresentation(BINARY)
        if segment.GetRepresentation(BINARY) is None:
            raise ImageError(
                f"The segments of '{node.GetName()}' are surfaces that cannot be turned into voxels. Create "
                "their binary labelmaps in the Segmentations module."
            )
    node.GetBinaryLabelmapRepresentation(segment_id, image)
    return image


def own_image(reference: Node, values: np.ndarray) -> sitk.Image:
    """``values`` (z, y, x) in the reference volume's own geometry, without what transforms do to it.

    Raises:
        ImageError: the volume's axes are not at right angles.
    """
    return placed_image(values, lps_of(_ras_of(reference)), reference.GetName())


def image_on(reference: Node, values: np.ndarray) -> Node:
    """``values`` (z, y, x) uint8 as image data in the reference volume's own (untransformed) geometry."""
    return oriented_image(values, _ras_of(reference))


def oriented_image(values: np.ndarray, matrix: Node) -> Node:
    """``values`` (z, y, x) uint8 as image data with a ``vtkMatrix4x4`` from voxel indices to RAS (mm)."""
    image = slicer.vtkOrientedImageData()
    image.SetDimensions(*values.shape[::-1])
    image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 1)
    vtk_to_numpy(image.GetPointData().GetScalars())[:] = values.ravel()
    image.SetImageToWorldMatrix(matrix)
    return image


def _ras_of(reference: Node) -> Node:
    matrix = vtk.vtkMatrix4x4()
    reference.GetIJKToRASMatrix(matrix)
    return matrix


def _way_to(reference: Node, node: Node) -> Node | None:
    """``vtkMatrix4x4`` from a node's own RAS to the volume's own; None where one transform holds both."""
    if node.GetTransformNodeID() == reference.GetTransformNodeID():
        return None
    own, other = (lps_in_world(each, vtk.vtkMatrix4x4()) for each in (node, reference))
    return vtk_matrix(np.linalg.inv(other) @ own)


def _share_outside(mask: Node, reference: Node) -> float:
    """Share of the voxels of a segment, in the volume's own frame, that lie outside of the volume."""
    values = vtk_to_numpy(mask.GetPointData().GetScalars()).reshape(mask.GetDimensions()[::-1])
    found = np.argwhere(values)[:, ::-1] + mask.GetExtent()[::2]
    if not len(found):
        return 0.0
    matrix = vtk.vtkMatrix4x4()
    mask.GetImageToWorldMatrix(matrix)
    way = np.linalg.inv(lps_of(_ras_of(reference))) @ lps_of(matrix)
    places = found @ way[:3, :3].T + way[:3, 3]
    size = np.array(reference.GetImageData().GetDimensions())
    return 1 - float(((places > -0.5) & (places < size - 0.5)).all(axis=1).mean())
