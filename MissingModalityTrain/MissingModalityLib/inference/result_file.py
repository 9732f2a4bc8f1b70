"""The file that a result goes to: a segmentation of 3D Slicer, a volume of numbers, or a DICOM object."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import SimpleITK as sitk

from ..core.errors import OptionError
from ..core.file_names import require_text
from ..core.labels import convention
from ..core.segments import disjoint_segments
from ..dicom import segmentation_object
from ..dicom.segmentation_object import Algorithm, placing_dicom_seg, require_highdicom
from ..imaging import segmentation_file
from ..imaging.segmentation_file import segmentation_image, split_suffix
from ..imaging.volumes import placing_image

SUFFIXES = (*segmentation_file.SUFFIXES, segmentation_object.SUFFIX)
"""Kinds of file that a result can be."""


def is_dicom_seg(output: Path) -> bool:
    """Whether a file is to be a DICOM object, by its name."""
    return output.suffix.lower() == segmentation_object.SUFFIX


def check_form(output: Path, labels: str, regions: bool) -> None:
    """Refuse a kind of file that does not exist, or that cannot hold what is asked for.

    Args:
        output: the file.
        labels: convention of its numbers, a key of :data:`~..core.labels.CONVENTIONS`.
        regions: whether whole tumor and tumor core are to be segments too.

    Raises:
        OptionError: one of these is wrong, or a package is missing.
    """
    convention(labels)
    require_text(output, OptionError, "Choose another folder or name.")
    if not is_dicom_seg(output):
        try:
            split_suffix(output)
        except OptionError:
            known = ", ".join(SUFFIXES)
            raise OptionError(
                f"{output}: unknown kind of output file. Let its name end in {known}."
            ) from None
        if regions:
            raise OptionError(
                f"{output}: whole tumor and tumor core lie over the other segments, which only DICOM SEG can "
                f"hold. Let the output's name end in {segmentation_object.SUFFIX}, or leave out the regions."
            )
        return
    require_highdicom()
    if labels != "classes":
        raise OptionError(
            f"{output}: the segments of a DICOM object have codes in place of numbers. Leave out "
            f"labels={labels}."
        )


def check_source(output: Path, source: Sequence[Path]) -> None:
    """Raise OptionError where a DICOM object has no series to refer to."""
    if is_dicom_seg(output) and not source:
        raise OptionError(
            f"{output}: a DICOM object belongs to the series that it was found on, and these volumes are no "
            "DICOM. Give the patient's folder of DICOM, or let the output's name end in .seg.nrrd."
        )


def placing_result(
    classes: sitk.Image,
    output: Path,
    labels: str,
    regions: bool,
    source: Sequence[Path],
    made_by: Mapping[str, str],
) -> AbstractContextManager[Path]:
    """A block at whose good end the complete file, whose path it gets, is put in place.

    Args:
        classes: uint8 classes 0..3.
        output, labels, regions: as :func:`check_form` has let them pass.
        source: files of the series that a DICOM object refers to.
        made_by: what a DICOM object tells of the network, by name.
    """
    if is_dicom_seg(output):
        return placing_dicom_seg(classes, source, output, regions, Algorithm(parameters=made_by))
    computed = [segment.id for segment in disjoint_segments(cavity=True)]
    return placing_image(segmentation_image(classes, output, labels, computed), output)
