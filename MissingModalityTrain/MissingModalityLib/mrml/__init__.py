"""MRML nodes to images and label maps to segmentation nodes: the only room that imports ``slicer``.

Everything that leaves here is in the world frame (parent transforms applied); results go back to the voxels
of the reference volume and under its parent transform, so both stay together when the transform changes.
"""

from .detection import are_of_several_visits, assign_inputs, detect_inputs
from .inputs import check_nodes, input_problem, write_inputs
from .segment_voxels import classes_of
from .segments import (
    build_segmentation,
    corrected_in,
    dicom_label_map_of,
    label_map_of,
    measures_of,
    place_segmentation,
    tumor_center,
    update_regions,
)
from .steps import add_brain_mask, add_transform, brain_mask_of, world_matrix, write_brain_mask
from .volumes import add_volume, image_of, state_of, voxels_of

__all__ = [
    "add_brain_mask",
    "add_transform",
    "add_volume",
    "are_of_several_visits",
    "assign_inputs",
    "brain_mask_of",
    "build_segmentation",
    "check_nodes",
    "classes_of",
    "corrected_in",
    "detect_inputs",
    "dicom_label_map_of",
    "image_of",
    "input_problem",
    "label_map_of",
    "measures_of",
    "place_segmentation",
    "state_of",
    "tumor_center",
    "update_regions",
    "voxels_of",
    "world_matrix",
    "write_brain_mask",
    "write_inputs",
]
