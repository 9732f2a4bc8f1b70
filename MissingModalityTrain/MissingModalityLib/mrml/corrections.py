"""What a person has corrected in segments that were computed; whole tumor and tumor core follow it."""

from __future__ import annotations

import numpy as np
import slicer
import vtk

from ..core.errors import ImageError
from ..core.segments import CAVITY_SEGMENT, REGION_SEGMENTS, SEGMENTS, Segment, disjoint_segments
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


def follow_parts(node: Node, reference: Node, classes: np.ndarray) -> None:
    """Make whole tumor and tumor core anew where their parts were corrected since.

    All measures and files go by the parts. So a region that somebody has drawn in, and that is not the sum of
    its parts, would be shown and not counted.

    Args:
        classes: of the parts, from :func:`.classes_of`.

    Raises:
        ImageError: there is such a region; nothing was changed.
    """
    sums = {}
    for region in REGION_SEGMENTS:
        entry = node.GetSegmentation().GetSegment(region.id)
        if entry is None:
            continue
        shown, now = mask_of(node, region.id, reference), np.isin(classes, region.classes)
        if np.array_equal(shown, now):
            continue
        if _tag(entry, VOXELS_TAG) != mask_sha256(own_image(reference, shown.astype(np.uint8))):
            raise _disagreeing(node, region)
        sums[entry] = now.astype(np.uint8)
    for entry, now in sums.items():
        _replace(node, entry, reference, now)


def _disagreeing(node: Node, region: Segment) -> ImageError:
    parts = ", ".join(segment.name for segment in SEGMENTS if segment.value in region.classes)
    return ImageError(
        f"The segment '{region.name}' of '{node.GetName()}' was changed by itself and is not the sum of its "
        f"parts any more ({parts}). Measures and files go by the parts: correct these, and delete "
        f"'{region.name}' or undo what was changed in it."
    )


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
