"""Writes label maps as DICOM segmentation objects (SEG), which archives keep beside the series they lie on.

Patient, study, frame of reference and the place of each slice are those of the series itself, so that every
viewer lays the segments over it. Source: DICOM PS3.3 A.51, Segmentation IOD, and C.8.20.
"""

from __future__ import annotations

import importlib.util
import logging
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import SimpleITK as sitk

from .. import __version__
from ..core.errors import ImageError, OptionError
from ..core.files import atomic_write, explain_write_errors, sync
from ..core.kinds import checked
from ..core.labels import holds_cavity, require_classes
from ..core.segments import REGION_SEGMENTS, Code, Segment, disjoint_segments, segment_of
from ..core.words import unknown_name
from ..imaging.computed_segments import AUTOMATIC, SEMIAUTOMATIC
from .source_frames import Frame, frames_below, frames_in, source_headers

if TYPE_CHECKING:  # brought by the extra "dicom", and asked for only when a file is written
    from highdicom.seg import Segmentation, SegmentDescription
    from highdicom.sr import CodedConcept
    from pydicom import Dataset

SUFFIX = ".dcm"
NAME = "MissingModality"
SERIES_DESCRIPTION = "Brain tumor segmentation"

_LABEL = "TUMOR"
_PURPOSE = "Made automatically, for research only"
_CORRECTED_PURPOSE = "Made automatically, corrected by hand, for research only"

_IDENTITY = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")
_FILED = ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")
_DATES = ("PatientBirthDate", "StudyDate", "StudyTime")
_MAY_BE_EMPTY = ("PatientID", "PatientName", "PatientSex", "AccessionNumber", "StudyID", *_DATES)

_FIRST_SERIES_NUMBER = 1000
"""Added to the number of the source series, so that both stand in order and apart in lists of series."""


@dataclass(frozen=True)
class Algorithm:
    """What made the segments, as the object tells it.

    Attributes:
        version: of the program.
        parameters: what else decides the result, for instance the student's name and SHA-256.
    """

    version: str = __version__
    parameters: Mapping[str, str] = field(default_factory=dict)


def require_highdicom() -> None:
    """Raise OptionError where DICOM SEG cannot be written, so that nobody waits for a result in vain."""
    missing = [name for name in ("pydicom", "highdicom") if importlib.util.find_spec(name) is None]
    if missing:
        raise OptionError(
            f"DICOM SEG needs {' and '.join(missing)}, which is not installed. Install it with "
            "pip install missing-modality[dicom], or let the output's name end in .seg.nrrd."
        )


@checked
def write_dicom_seg(
    labels: sitk.Image,
    source: Sequence[Path | str],
    output: Path | str,
    regions: bool = False,
    algorithm: Algorithm | None = None,
    description: str = SERIES_DESCRIPTION,
    corrected: Sequence[str] = (),
) -> None:
    """Write a label map as one DICOM file; an existing file is replaced in one step.

    Args:
        labels: 3-D uint8, values 0..3 as in :class:`~..core.labels.TumorClass` and 4 in a resection cavity,
            in the patient's space. Each slice refers to that of the series below it, as long as there is one
            below each.
        source: files of the series that the segments belong to, in any order, classic or enhanced.
        output: the file.
        regions: add whole tumor and tumor core, which overlap the three disjoint segments.
        algorithm: what made the segments.
        description: of the new series, at most 64 characters.
        corrected: names of the segments that a person has corrected: NCR, ED, ET or RC. They, and whole tumor
            and tumor core where they hold one of them, are written as semiautomatic, all others as automatic.

    Raises:
        OptionError: pydicom or highdicom are not installed, there is no source, or no segment of such a name.
        LabelError: other values in ``labels``.
        ImageError: the files cannot be read, they lack what an object of DICOM has to refer to, or the output
            cannot be written.
    """
    files, output = [Path(file) for file in source], Path(output)
    with placing_dicom_seg(labels, files, output, regions, algorithm, description, corrected):
        pass


@contextmanager
def placing_dicom_seg(
    labels: sitk.Image,
    source: Sequence[Path],
    output: Path,
    regions: bool = False,
    algorithm: Algorithm | None = None,
    description: str = SERIES_DESCRIPTION,
    corrected: Collection[str] = (),
) -> Iterator[Path]:
    """:func:`write_dicom_seg`, but the complete file is put in place as the block, which gets it, ends."""
    require_highdicom()
    segmentation = dicom_seg(labels, source, regions, algorithm or Algorithm(), description, corrected)
    remedy = "Check that the folder is writable and the disk is not full."
    with explain_write_errors(output, remedy, ImageError), atomic_write(output) as temporary:
        segmentation.save_as(temporary)
        sync(temporary)
        yield temporary


def dicom_seg(
    labels: sitk.Image,
    source: Sequence[Path],
    regions: bool,
    algorithm: Algorithm,
    description: str,
    corrected: Collection[str] = (),
) -> Segmentation:
    """What :func:`write_dicom_seg` writes.

    Raises:
        OptionError, LabelError, ImageError: as there.
    """
    from pydicom import config

    require_classes(sitk.GetArrayViewFromImage(labels))
    if not source:
        raise OptionError("A DICOM SEG belongs to a series. Give the files of that series as source.")
    headers = source_headers(source)
    for header, path in zip(headers, source, strict=True):
        _complete(header, path)
    frames = frames_in(headers, source)
    touched = _classes_of(corrected)
    try:
        # values of the series that break DICOM's rules go over as they are: archives compare them
        with config.disable_value_validation(), _quiet():
            return _segmentation(
                labels, headers, frames_below(labels, frames), regions, algorithm, description, touched
            )
    except (AttributeError, TypeError, ValueError) as error:
        said = " ".join(str(error).split())
        raise ImageError(
            f"{source[0].parent}: no DICOM SEG can refer to this series ({said}). Let the output's name end "
            "in .seg.nrrd instead."
        ) from error


def _segmentation(
    labels: sitk.Image,
    source: Sequence[Dataset],
    frames: Sequence[Frame | None],
    regions: bool,
    algorithm: Algorithm,
    description: str,
    touched: frozenset[int],
) -> Segmentation:
    from highdicom.seg import Segmentation
    from pydicom.uid import generate_uid

    source, filed = _as_one_series(source)
    # highdicom reads dates, and scrubbing puts words there: they go over untouched in the end
    dates = {keyword: source[0].get(keyword) for keyword in _DATES}
    for keyword in _DATES:
        setattr(source[0], keyword, None)
    classes = sitk.GetArrayViewFromImage(labels)
    segments = (*disjoint_segments(holds_cavity(classes)), *(REGION_SEGMENTS if regions else ()))
    enhanced = "NumberOfFrames" in source[0]
    result = Segmentation(
        source_images=source[:1] if enhanced else source,
        further_source_images=source[1:] if enhanced else None,
        pixel_array=np.stack([np.isin(classes, segment.classes) for segment in segments], axis=-1),
        segmentation_type="BINARY",
        segment_descriptions=[
            _described(number, segment, algorithm, not touched.isdisjoint(segment.classes))
            for number, segment in enumerate(segments, 1)
        ],
        series_instance_uid=generate_uid(),
        series_number=_FIRST_SERIES_NUMBER + int(source[0].get("SeriesNumber") or 0),
        sop_instance_uid=generate_uid(),
        instance_number=1,
        manufacturer=NAME,
        manufacturer_model_name=NAME,
        software_versions=algorithm.version,
        device_serial_number=algorithm.version,  # programs have no other, and an empty one is not allowed
        content_description=_CORRECTED_PURPOSE if touched else _PURPOSE,
        content_label=_LABEL,
        series_description=description,
        **_places(labels, frames),
    )
    for keyword, value in dates.items():
        setattr(result, keyword, value)
    _refer_as_filed(result, filed)
    return result


def _places(labels: sitk.Image, frames: Sequence[Frame | None]) -> dict[str, Any]:
    """Where the slices of the label map lie, as highdicom takes it."""
    from highdicom import PixelMeasuresSequence, PlaneOrientationSequence, PlanePositionSequence

    x, y, z = labels.GetSpacing()
    axes = np.reshape(labels.GetDirection(), (3, 3)).T[:2].ravel()
    # where a slice of the series lies below, its own numbers: by these it is found again for the frame
    positions = [
        frame.position if frame else labels.TransformIndexToPhysicalPoint((0, 0, index))
        for index, frame in enumerate(frames)
    ]
    first = next(filter(None, frames), None)
    return {
        "plane_positions": [PlanePositionSequence("PATIENT", position) for position in positions],
        "plane_orientation": PlaneOrientationSequence("PATIENT", first.axes if first else axes),
        "pixel_measures": PixelMeasuresSequence(first.spacing if first else (y, x), z, z),
    }


def _as_one_series(source: Sequence[Dataset]) -> tuple[list[Dataset], dict[str, tuple[str, ...]]]:
    """The slices as of one series, for highdicom takes no others, and where each is filed.

    A volume may have been joined from several series, or each slice got other UIDs as names were removed. The
    object is filed with the series that has most of the slices, the first of equals; its slices come first.
    """
    filed = {
        str(header.SOPInstanceUID): tuple(str(header.get(keyword)) for keyword in _FILED) for header in source
    }
    home = Counter(filed.values()).most_common(1)[0][0]
    ordered = sorted(source, key=lambda header: filed[str(header.SOPInstanceUID)] != home)
    for header in ordered:
        for keyword, value in zip(_FILED, home, strict=True):
            setattr(header, keyword, value)
    return ordered, filed


def _refer_as_filed(result: Segmentation, filed: Mapping[str, tuple[str, ...]]) -> None:
    """Name series and study of each slice as they are (PS3.3 C.12.2), where there is more than one."""
    from pydicom import Dataset

    if len(set(filed.values())) == 1:
        return
    studies: dict[str, dict[str, list[Dataset]]] = defaultdict(lambda: defaultdict(list))
    for item in result.ReferencedSeriesSequence[0].ReferencedInstanceSequence:
        study, series, _ = filed[str(item.ReferencedSOPInstanceUID)]
        studies[study][series].append(item)
    listed = {}
    for study, members in studies.items():
        listed[study] = [Dataset() for _ in members]
        for entry, (series, items) in zip(listed[study], members.items(), strict=True):
            entry.SeriesInstanceUID, entry.ReferencedInstanceSequence = series, items
    result.ReferencedSeriesSequence = listed.pop(str(result.StudyInstanceUID))
    others = []
    for study, entries in listed.items():
        other = Dataset()
        other.StudyInstanceUID, other.ReferencedSeriesSequence = study, entries
        others.append(other)
    if others:
        result.StudiesContainingOtherReferencedInstancesSequence = others


def _classes_of(names: Collection[str]) -> frozenset[int]:
    """The classes of segments by their names. Raises OptionError for one that is none."""
    known = [segment.id for segment in disjoint_segments(cavity=True)]
    for name in names:
        if name not in known:
            raise OptionError(unknown_name("segment", name, known))
    return frozenset(segment_of(name).value for name in names)


def _described(number: int, segment: Segment, algorithm: Algorithm, corrected: bool) -> SegmentDescription:
    from highdicom import AlgorithmIdentificationSequence
    from highdicom.color import CIELabColor
    from highdicom.seg import SegmentDescription
    from pydicom.sr.codedict import codes
    from pydicom.uid import generate_uid

    made_by = AlgorithmIdentificationSequence(
        NAME,
        codes.cid7162.ArtificialIntelligence,
        algorithm.version,
        parameters=dict(algorithm.parameters) or None,
    )
    return SegmentDescription(
        segment_number=number,
        segment_label=segment.name,
        segmented_property_category=_coded(segment.property_category),
        segmented_property_type=_coded(segment.property_type),
        algorithm_type=SEMIAUTOMATIC if corrected else AUTOMATIC,
        algorithm_identification=made_by,
        tracking_uid=generate_uid(),
        tracking_id=segment.id,
        anatomic_regions=[_coded(segment.anatomic_region)],
        display_color=CIELabColor.from_rgb(*segment.color),
    )


def _coded(code: Code) -> CodedConcept:
    from highdicom.sr import CodedConcept

    return CodedConcept(code.value, code.scheme, code.meaning)


def _complete(header: Dataset, path: Path) -> None:
    """Give a header the attributes that may be empty but not absent, which scrubbing often takes away.

    Raises:
        ImageError: one is absent without which nothing can refer to the instance.
    """
    absent = [keyword for keyword in _IDENTITY if not header.get(keyword)]
    if absent:
        raise ImageError(
            f"{path} lacks {', '.join(absent)}, so no DICOM object can refer to it. Export the series again, "
            "or let the output's name end in .seg.nrrd."
        )
    for keyword in _MAY_BE_EMPTY:
        if keyword not in header:
            setattr(header, keyword, None)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep highdicom's remarks off the terminal, of empty segmentations above all."""
    logger = logging.getLogger("highdicom")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
