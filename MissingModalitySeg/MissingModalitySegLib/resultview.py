"""A result brought into view: the slices through the tumor, and the camera onto it."""

import slicer

from MissingModalityLib.core.segments import REGION_SEGMENTS, disjoint_segments

ALL_SEGMENTS = (*disjoint_segments(cavity=True), *REGION_SEGMENTS)

SHOWN_IN_3D = ("vtkMRMLModelNode", "vtkMRMLSegmentationNode", "vtkMRMLMarkupsNode")
"""Kinds of nodes that a 3-D view shows by themselves; volumes are shown by nodes of their rendering."""


def bringIntoView(node, reference, center, isNew):
    """Show a segmentation on its volume, the slices through the middle of the largest part of the tumor.

    The camera of the 3-D views moves only for a new result with nothing else to be seen: whoever has turned
    the view to something may want to stay there.

    Args:
        node: the segmentation.
        reference: volume node that it lies on.
        center: (r, a, s) of that part; None where there is no tumor.
        isNew: whether the node was made by this run.
    """
    slicer.util.setSliceViewerLayers(background=reference, fit=True)
    if center is not None:
        mode = slicer.vtkMRMLSliceNode.OffsetJumpSlice  # not centered: the whole slice stays in view
        slicer.vtkMRMLSliceNode.JumpAllSlices(node.GetScene(), *center, mode)
    if isNew and slicer.app.layoutManager() is not None and not _isElseShown(node):
        slicer.util.resetThreeDViews()


def segmentsOf(node):
    """The segments of a segmentation node."""
    segmentation = node.GetSegmentation()
    return [segmentation.GetSegment(name) for name in segmentation.GetSegmentIDs()]


def otherSegments(node):
    """Names of the segments of a node that are none of a result: no measure and no file counts them."""
    segmentation, own = node.GetSegmentation(), {segment.id for segment in ALL_SEGMENTS}
    return [
        segmentation.GetSegment(name).GetName() for name in segmentation.GetSegmentIDs() if name not in own
    ]


def stampOf(node):
    """Names and times of the last change of all segments; looks, such as color and opacity, do not count."""
    images = [(segment, segment.GetRepresentation("Binary labelmap")) for segment in segmentsOf(node)]
    return [(segment.GetName(), image.GetMTime() if image else None) for segment, image in images]


def _isElseShown(node):
    """Whether 3-D views show anything but a node."""
    nodes = [other for kind in SHOWN_IN_3D for other in slicer.util.getNodesByClass(kind)]
    shown = [other for other in nodes if other is not node and not other.GetHideFromEditors()]
    renderings = slicer.util.getNodesByClass("vtkMRMLVolumeRenderingDisplayNode")
    return any(
        other.GetDisplayNode() and other.GetDisplayVisibility() and other.GetDisplayNode().GetVisibility3D()
        for other in shown
    ) or any(rendering.GetVisibility() for rendering in renderings)
