"""What a person has corrected in segments that were computed; whole tumor and tumor core follow it."""

from __future__ import annotations

import numpy as np
import slicer
import vtk

from ..core.segments import CAVITY_SEGMENT, REGION_SEGMENTS, disjoint_segments
from ..imaging.computed_segments import AUTOMATIC, SEMIAUTOMATIC, TYPE_TAG, VOXELS_TAG, mask_sha256
from .segment_voxels import image_on, mask_of, own_image
from .volumes import Node


def corrected_parts(node: Node, reference: Node, classes: np.ndarray) -> list[str]:
    """IDs of the disjoint segments that are not as they were computed, or of which nothing says so.

    The tag that programs of Slicer read for DICOM is corrected too.

    Args:
        classes: from :func:`.classes_of`: what is exported, in which a later segment takes the voxels that an
            earlier one shares with it.
    """
    segmentation, labels = node.GetSegmentation(), own_image(reference, classes)
    found = []
    for segment in disjoint_segments(segmentation.GetSegment(CAVITY_SEGMENT.id) is not None):
        entry = segmentation.GetSegment(segment.id)
        made = "" if entry is None else _tag(entry, VOXELS_TAG)
        if made:
            same = made == mask_sha256(labels == segment.value)
            entry.SetTag(TYPE_TAG, AUTOMATIC if same else SEMIAUTOMATIC)
        else:  # deleted, of an earlier version, or of another origin
            same = entry is not None and _tag(entry, TYPE_TAG) == AUTOMATIC
        if not same:
            found.append(segment.id)
    return found


def follow_parts(node: Node, reference: Node, classes: np.ndarray, drawn: bool = False) -> list[str]:
    """Make whole tumor and tumor core anew where their parts were corrected since.

    All measures and files go by the parts. A region whose own voxels were changed stays as it is, for that
    may be somebody's work; but Slicer's Segment Editor too takes from it what is painted into a part.

    Args:
        classes: of the parts, from :func:`.classes_of`.
        drawn: make those anew too.

    Returns:
        Names of regions that are shown and are not the sum of their parts.
    """
    apart = []
    for region in REGION_SEGMENTS:
        entry = node.GetSegmentation().GetSegment(region.id)
        if entry is None:
            continue
        shown, now = mask_of(node, region.id, reference), np.isin(classes, region.classes)
        if np.array_equal(shown, now):
            continue
        own = _tag(entry, VOXELS_TAG) != mask_sha256(own_image(reference, shown.astype(np.uint8)))
        if own and not drawn:
            apart.append(entry.GetName())
        else:
            _replace(node, entry, reference, now.astype(np.uint8))
    return apart


def _replace(node: Node, entry: Node, reference: Node, mask: np.ndarray) -> None:
    """Give a segment other voxels, and its surface where it has one."""
    segment_id = node.GetSegmentation().GetSegmentIdBySegment(entry)
    slicer.vtkSlicerSegmentationsModuleLogic.SetBinaryLabelmapToSegment(
        image_on(reference, mask), node, segment_id
    )
    entry.SetTag(VOXELS_TAG, mask_sha256(own_image(reference, mask)))


def _tag(entry: Node, name: str) -> str:
    """A tag of a segment; empty where it has none of that name."""
    value = vtk.reference("")
    return str(value) if entry.GetTag(name, value) else ""
