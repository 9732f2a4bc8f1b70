"""Marks of segments that were computed, by which it shows later whether a person has corrected them.

DICOM tells the two apart (PS3.3 C.8.20, Segment Algorithm Type). In a node of 3D Slicer, and in its files,
the marks are tags of each segment, so they last as long as the segment does.
"""

from __future__ import annotations

import hashlib

import numpy as np
import SimpleITK as sitk

AUTOMATIC, SEMIAUTOMATIC = "AUTOMATIC", "SEMIAUTOMATIC"
"""Segment Algorithm Type of what a program has found alone, and of what a person has corrected since."""

TYPE_TAG = "DICOM.SegmentAlgorithmType"
"""Where programs of Slicer that write DICOM look for it; without the tag they take a segment for drawn."""

VOXELS_TAG = "MissingModality.VoxelsSHA256"
"""See :func:`mask_sha256`: of the voxels that a segment had when it was computed."""

_NAME_TAG = "DICOM.SegmentAlgorithmName"
_NAME = "MissingModality"


def computed_tags(mask: sitk.Image) -> dict[str, str]:
    """Tags of a segment that has just been computed; ``mask`` is nonzero inside, on the result's grid."""
    return {TYPE_TAG: AUTOMATIC, _NAME_TAG: _NAME, VOXELS_TAG: mask_sha256(mask)}


def mask_sha256(mask: sitk.Image) -> str:
    """SHA-256 of which voxels are inside, hexadecimal.

    Programs store the slices of one volume upward or downward, so voxels are taken in one order of space.
    """
    ordered = sitk.DICOMOrient(mask, "LPS")  # held, for the array is a view into it
    inside = sitk.GetArrayViewFromImage(ordered) != 0
    return hashlib.sha256(np.packbits(inside).tobytes()).hexdigest()
