"""Label maps to segmentation nodes, on the voxels of the reference volume, and back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import slicer

from ..core.errors import ImageError
from ..core.labels import class_volumes, holds_cavity, region_mask
from ..core.segments import REGION_SEGMENTS, SEGMENTS, Segment, disjoint_segments
from ..dicom.source_frames import frames_below, frames_in, source_headers
from ..imaging.computed_segments import computed_tags
from .corrections import corrected_parts, follow_parts
from .inputs import input_problem
from .segment_voxels import BINARY, SURFACE, classes_of, image_on, own_image
from .volumes import Node, image_of, voxels_of


def build_segmentation(classes: np.ndarray, reference: Node, regions: bool = False) -> Node:
    """Tumor classes on the reference volume's voxels -> a ``vtkSegmentation`` that is in no scene yet.

    Args:
        classes: (z, y, x) uint8, values 0..3, and 4 in a resection cavity.
        reference: the volume node that the classes belong to.
        regions: add whole tumor and tumor core, which overlap the three disjoint segments.

    Returns:
        Binary label maps (the disjoint segments share one) and closed surfaces; a class without voxels is an
        empty segment.

    Raises:
        ImageError: the volume has lost or changed its voxels since.
    """
    if input_problem(reference) or voxels_of(reference).shape != classes.shape:
        raise ImageError(
            "The reference volume was changed or removed during the segmentation. Start it again."
        )
    segmentation = slicer.vtkSegmentation()
    segmentation.SetSourceRepresentationName(BINARY)
    # one image of all classes for all segments, as Slicer shares label maps: a third of the memory
    shared, labels = image_on(reference, classes), own_image(reference, classes)
    for segment in disjoint_segments(holds_cavity(classes)):
        tags = computed_tags(labels == segment.value)
        _add_segment(segmentation, segment, shared, segment.value, tags)
    for segment in REGION_SEGMENTS if regions else ():
        mask = np.isin(classes, segment.classes).astype(np.uint8)
        tags = computed_tags(own_image(reference, mask))
        _add_segment(segmentation, segment, image_on(reference, mask), 1, tags)
    segmentation.CreateRepresentation(SURFACE)
    return segmentation


def place_segmentation(segmentation: Node, reference: Node, output: Node = None) -> Node:
    """Put a built segmentation into the reference volume's scene.

    Args:
        segmentation: from :func:`build_segmentation`.
        reference: gives the geometry, parent transform and place in the subject hierarchy.
        output: segmentation node to overwrite; a new one named after the reference volume where None.

    Returns:
        The ``vtkMRMLSegmentationNode``, with closed surfaces shown in 3-D.
    """
    scene = reference.GetScene()
    node = output
    if node is None:
        name = scene.GenerateUniqueName(f"{reference.GetName()} tumor segmentation")
        node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
    node.CreateDefaultDisplayNodes()
    node.SetAndObserveTransformNodeID(reference.GetTransformNodeID())
    node.GetSegmentation().DeepCopy(segmentation)
    # by this reference label_map_of and the DICOM export find the volume again
    node.SetReferenceImageGeometryParameterFromVolumeNode(reference)
    display = node.GetDisplayNode()
    display.SetVisibility(True)  # an output that somebody has hidden would look like one without tumor
    display.SetPreferredDisplayRepresentationName3D(SURFACE)
    for region in REGION_SEGMENTS:
        if segmentation.GetSegment(region.id):
            # Filled, these would hide the disjoint segments that lie inside them.
            display.SetSegmentVisibility2DFill(region.id, False)
            display.SetSegmentVisibility3D(region.id, False)
    _join_study(node, reference)
    return node


def label_map_of(node: Node) -> sitk.Image:
    """The disjoint segments of a node as one image of classes on the grid of its reference volume.

    Raises:
        ImageError: the volume is gone, the node has none of our segments, or they reach beyond the volume.
    """
    reference = _reference_of(node)
    classes = classes_of(node, reference)
    labels = sitk.GetImageFromArray(classes)
    labels.CopyInformation(image_of(reference))
    return labels


def corrected_in(node: Node) -> list[str]:
    """IDs of the disjoint segments that a person has corrected, see :func:`.corrected_parts`.

    Raises:
        ImageError: as :func:`label_map_of`.
    """
    reference = _reference_of(node)
    return corrected_parts(node, reference, classes_of(node, reference))


def update_regions(node: Node, drawn: bool = False) -> list[str]:
    """Bring whole tumor and tumor core, where the node has them, up to date, see :func:`.follow_parts`.

    Args:
        drawn: those too whose own voxels were changed.

    Returns:
        Names of those that are left as they are, and are not the sum of their parts.

    Raises:
        ImageError: as :func:`label_map_of`.
    """
    reference = _reference_of(node)
    return follow_parts(node, reference, classes_of(node, reference), drawn)


def measures_of(node: Node) -> tuple[dict[str, float], dict[str, float]]:
    """Volumes in cm³ and longest axial diameters in mm of the segments as they are now, by segment ID.

    Of the same voxels as those of a report, see :func:`label_map_of`: what two segments share counts once,
    and a scaling parent transform counts. Of NCR, ED, ET, TC and WT, and of RC where there is such a cavity.

    Raises:
        ImageError: as :func:`label_map_of`.
    """
    from ..imaging.diameters import axial_diameters  # SciPy would delay each start of Slicer

    labels = label_map_of(node)
    volumes = class_volumes(sitk.GetArrayViewFromImage(labels), math.prod(labels.GetSpacing()))
    return volumes, axial_diameters(labels)


def tumor_center(classes: np.ndarray, reference: Node) -> tuple[float, float, float] | None:
    """Middle (r, a, s) in mm, in the world frame, of the largest connected part of a tumor.

    Args:
        classes: (z, y, x) uint8, values 0..4; a resection cavity is no tumor.
        reference: the volume node that the classes belong to.

    Returns:
        None where there is no tumor.

    Raises:
        ImageError: the volume cannot be used.
    """
    tumor = sitk.GetImageFromArray(region_mask(classes, "WT").astype(np.uint8))
    tumor.CopyInformation(image_of(reference))
    shapes = sitk.LabelShapeStatisticsImageFilter()
    shapes.Execute(sitk.ConnectedComponent(tumor))
    if not shapes.GetNumberOfLabels():
        return None
    x, y, z = shapes.GetCentroid(max(shapes.GetLabels(), key=shapes.GetNumberOfPixels))
    return -x, -y, z  # ITK's points are LPS


def dicom_label_map_of(node: Node) -> tuple[sitk.Image, list[Path]]:
    """:func:`label_map_of` where the DICOM slices of the reference volume lie, with the files of these.

    A parent transform, under which the volume is shown elsewhere, is left aside: a DICOM object belongs to
    the slices as they were acquired.

    Raises:
        ImageError: as there; or the volume did not come from DICOM, its files are gone or cannot be read, or
            it does not lie on their slices any more.
    """
    reference = _reference_of(node)
    database = getattr(slicer, "dicomDatabase", None)
    instances = (reference.GetAttribute("DICOM.instanceUIDs") or "").split()
    if not instances or not database:
        raise ImageError(
            f"'{node.GetName()}' cannot be written as DICOM SEG, since the volume it lies on, "
            f"'{reference.GetName()}', was not loaded from DICOM. Load that volume with the DICOM module and "
            "segment again."
        )
    files = [Path(database.fileForInstance(uid)) for uid in instances]
    if not all(file.is_file() for file in files):
        raise ImageError(
            f"'{node.GetName()}' cannot be written as DICOM SEG, since files of '{reference.GetName()}' are "
            "not in Slicer's DICOM database any more. Import the series again."
        )
    labels = own_image(reference, classes_of(node, reference))
    # all of them: a volume that was moved by whole slices lies on most of these still
    if not all(frames_below(labels, frames_in(source_headers(files), files))):
        raise ImageError(
            f"'{node.GetName()}' cannot be written as DICOM SEG, since '{reference.GetName()}' does not lie "
            "on the slices of its series any more: a transform was hardened on it, or it was resampled. Load "
            "the series again and segment it."
        )
    return labels, files


def _reference_of(node: Node) -> Node:
    """The volume that our segments lie on. Raises ImageError, see :func:`label_map_of`."""
    if not any(node.GetSegmentation().GetSegment(segment.id) for segment in SEGMENTS):
        raise ImageError(
            f"'{node.GetName()}' has none of the segments {', '.join(segment.name for segment in SEGMENTS)}. "
            "Choose a segmentation that was made here."
        )
    reference = node.GetNodeReference(node.GetReferenceImageGeometryReferenceRole())
    if reference is None:
        raise ImageError(
            f"The volume that '{node.GetName()}' was segmented on is not loaded any more. Load it, choose it "
            "as the segmentation's source volume in the Segment Editor, and try again."
        )
    return reference


def _add_segment(
    segmentation: Node, segment: Segment, image: Node, label_value: int, tags: Mapping[str, str]
) -> None:
    entry = slicer.vtkSegment()
    entry.SetName(segment.name)
    entry.SetColor(*segment.unit_color)
    entry.SetNameAutoGenerated(False)
    entry.SetColorAutoGenerated(False)
    entry.SetTerminology(segment.terminology)
    entry.SetLabelValue(label_value)
    for name, value in tags.items():
        entry.SetTag(name, value)
    entry.AddRepresentation(BINARY, image)
    segmentation.AddSegment(entry, segment.id)


def _join_study(node: Node, reference: Node) -> None:
    """Put the segmentation beside its reference volume in the subject hierarchy."""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(reference.GetScene())
    if hierarchy is None:
        return
    own, other = (hierarchy.GetItemByDataNode(item) for item in (node, reference))
    if own and other:  # 0 for nodes that the hierarchy does not know
        hierarchy.SetItemParent(own, hierarchy.GetItemParent(other))
