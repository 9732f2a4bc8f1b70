"""The program of the child process that reads DICOM headers, see :mod:`.headers`.

Source of the attributes: DICOM PS3.3 C.7 (patient, study, series, image plane), C.8.3 (MR), C.8.13 (enhanced
MR) and C.7.6.16 (functional groups of multi-frame images); file format: PS3.10 Section 7.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import pydicom
from pydicom.datadict import tag_for_keyword
from pydicom.errors import InvalidDicomError
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    EnhancedMRImageStorage,
    MediaStorageDirectoryStorage,
    MRImageStorage,
)

from ..core import strict_json
from ..core.files import is_archive
from ..runtime.limited_child import Answer, memory_limit, serve
from .file_kind import COPY_AGAIN, EMPTY, START, begins_with_data, has_preamble

KEYWORDS = (
    *("SOPClassUID", "SOPInstanceUID", "Modality", "Manufacturer", "PatientID", "PatientName"),
    *("StudyInstanceUID", "StudyDate", "StudyTime", "StudyDescription", "FrameOfReferenceUID"),
    *("SeriesInstanceUID", "SeriesNumber", "SeriesTime", "SeriesDescription", "ProtocolName"),
    *("BodyPartExamined", "SequenceName", "PulseSequenceName", "ScanningSequence", "SequenceVariant"),
    *("MRAcquisitionType", "AcquisitionContrast", "ComplexImageComponent", "ImageType"),
    *("RepetitionTime", "EchoTime", "InversionTime", "FlipAngle"),
    *("ContrastBolusAgent", "ContrastBolusVolume", "ContrastBolusTotalDose", "AngioFlag"),
    *("AcquisitionDate", "AcquisitionTime", "AcquisitionDateTime", "ContentTime"),
    *("AcquisitionNumber", "InstanceNumber", "TemporalPositionIdentifier", "TriggerTime", "DiffusionBValue"),
    *("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness", "Rows", "Columns"),
    *("SamplesPerPixel", "PhotometricInterpretation", "NumberOfFrames"),
)
"""What is kept of a header."""

# of a functional group: the sequence, the attribute in it, and the classic attribute that says the same
_FRAME_ATTRIBUTES = (
    ("PlanePositionSequence", "ImagePositionPatient", "ImagePositionPatient"),
    ("PlaneOrientationSequence", "ImageOrientationPatient", "ImageOrientationPatient"),
    ("PixelMeasuresSequence", "PixelSpacing", "PixelSpacing"),
    ("PixelMeasuresSequence", "SliceThickness", "SliceThickness"),
    ("FrameContentSequence", "TemporalPositionIndex", "TemporalPositionIdentifier"),
    ("FrameContentSequence", "FrameAcquisitionNumber", "AcquisitionNumber"),
    ("FrameContentSequence", "FrameAcquisitionDateTime", "AcquisitionDateTime"),
    ("FrameContentSequence", "StackID", "StackID"),
    ("MRImageFrameTypeSequence", "FrameType", "ImageType"),
    ("MRImageFrameTypeSequence", "ComplexImageComponent", "ComplexImageComponent"),
    ("MRImageFrameTypeSequence", "AcquisitionContrast", "AcquisitionContrast"),
    ("MRTimingAndRelatedParametersSequence", "RepetitionTime", "RepetitionTime"),
    ("MRTimingAndRelatedParametersSequence", "FlipAngle", "FlipAngle"),
    ("MREchoSequence", "EffectiveEchoTime", "EchoTime"),
    ("MRModifierSequence", "InversionTimes", "InversionTime"),
    ("MRDiffusionSequence", "DiffusionBValue", "DiffusionBValue"),
)
_FRAME_TAGS = [
    (tag_for_keyword(sequence), tag_for_keyword(attribute), name)
    for sequence, attribute, name in _FRAME_ATTRIBUTES
]
_GROUPS = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")
_AGENTS = "ContrastBolusAgentSequence"
_KEYWORDS = {tag_for_keyword(keyword): keyword for keyword in KEYWORDS}
_TAGS = [tag_for_keyword(keyword) for keyword in (*KEYWORDS, *_GROUPS, _AGENTS)]

_ROOM = 512 << 20
"""Bytes for a batch: an enhanced file of ten thousand frames takes some 200 MB as pydicom's objects."""

_UNDEFINED = 0xFFFFFFFF
_LONG_FORM = (b"OB", b"OW", b"UN")
_MR_IMAGES = (MRImageStorage, EnhancedMRImageStorage)
_CUT = f"is damaged: it ends before its image begins; {COPY_AGAIN}"


class _Unusable(Exception):
    """A file with no header for us; the message says why."""


def answer(request: Mapping[str, Any]) -> Answer:
    """For each of ``paths`` its ``header`` and ``frames``, or a ``reason``; never an exception."""
    entries = []
    with memory_limit(_ROOM):
        for path in request["paths"]:
            try:
                entries.append(read(Path(path)))
            except _Unusable as error:
                entries.append({"reason": str(error)})
            except Exception as error:  # whatever a damaged file makes of the library
                entries.append({"reason": _failure(error)})
    return {"count": len(entries)}, strict_json.dumps(entries).encode()


def _failure(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"cannot be read ({error.strerror})"
    return f"is damaged ({type(error).__name__}: {' '.join(str(error).split())})"


def read(path: Path) -> dict[str, Any]:
    """The header of one file.

    Returns:
        ``header``: text of each attribute that is there, several values joined by backslashes as in the
        file; ``frames``: of a multi-frame file what its functional groups add or replace, frame by frame.

    Raises:
        _Unusable: no DICOM, a directory of a CD, or a file that ends too early.
        OSError: it cannot be opened.
    """
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise _Unusable("is not a regular file")
    with path.open("rb") as file:
        force = _has_no_preamble(file, path)
        file.seek(0)
        try:
            dataset = pydicom.dcmread(file, stop_before_pixels=True, force=force, specific_tags=_TAGS)
        except (InvalidDicomError, EOFError) as error:
            raise _Unusable("is damaged: its DICOM header cannot be read") from error
        if dataset.file_meta.get("MediaStorageSOPClassUID") == MediaStorageDirectoryStorage:
            raise _Unusable(f"is the index of a CD{_absent(path)}; its images are found without it")
        present = dataset.keys()
        known = ((keyword, tag) for tag, keyword in _KEYWORDS.items() if tag in present)
        header = {keyword: text for keyword, tag in known if (text := _text(dataset, tag))}
        if not header.get("SOPClassUID"):
            raise _Unusable("is damaged: its DICOM header does not say what it is")
        if agent := _agent(dataset):
            header.setdefault("ContrastBolusAgent", agent)
        classes = {header["SOPClassUID"], dataset.file_meta.get("MediaStorageSOPClassUID")}
        if not classes.isdisjoint(_MR_IMAGES) and "Rows" not in header:
            raise _Unusable(_CUT)
        if "Rows" in header and dataset.file_meta.get("TransferSyntaxUID") != DeflatedExplicitVRLittleEndian:
            _check_pixels(file, dataset, header)
    return {"header": header, "frames": list(_frames(dataset))}


def _has_no_preamble(file: BinaryIO, path: Path) -> bool:
    """Whether a data set begins at the first byte, as archives of the last century wrote them.

    Raises:
        _Unusable: it is no DICOM file of either kind.
    """
    start = file.read(START)
    if has_preamble(start):
        return False
    if not start:
        raise _Unusable(EMPTY)
    if begins_with_data(start):
        return True
    if is_archive(path):
        raise _Unusable("is an archive; unpack it first")
    raise _Unusable("is not a DICOM file")


def _absent(index: Path) -> str:
    """How many files an index lists that are not beside it; names may be in small letters on other disks."""
    records = pydicom.dcmread(index).get("DirectoryRecordSequence") or ()
    names = [record.ReferencedFileID for record in records if record.get("ReferencedFileID")]
    parts = [[name] if isinstance(name, str) else list(name) for name in names]
    lost = sum(
        not index.parent.joinpath(*name).exists()
        and not index.parent.joinpath(*map(str.lower, name)).exists()
        for name in parts
    )
    are = "is" if lost == 1 else "are"
    return f", of whose {len(parts)} files {lost} {are} not there" if lost else ""


def _text(dataset: pydicom.Dataset, tag: int) -> str:
    """One attribute that is there as text; empty where it is empty or cannot be decoded."""
    try:
        value = dataset[tag].value
    except Exception:  # one value that breaks its rules costs that attribute alone
        return ""
    if value is None:
        return ""
    if isinstance(value, (list, pydicom.multival.MultiValue)):
        text = "\\".join(str(part).strip() for part in value)
    else:
        text = str(value).strip()
    # a terminal would obey control characters in a description
    return text if text.isprintable() else "".join(filter(str.isprintable, text)).strip()


def _agent(dataset: pydicom.Dataset) -> str:
    """The contrast agent of an enhanced file."""
    agents = dataset.get(_AGENTS) or ()
    return next((str(agent.CodeMeaning) for agent in agents if "CodeMeaning" in agent), "")


def _frames(dataset: pydicom.Dataset) -> Iterator[dict[str, str]]:
    """What the functional groups say of each frame, in terms of classic attributes."""
    shared = (dataset.get(_GROUPS[0]) or [pydicom.Dataset()])[0]
    common = dict(_group(shared))
    for frame in dataset.get(_GROUPS[1]) or ():
        yield common | dict(_group(frame))


def _group(group: pydicom.Dataset) -> Iterator[tuple[str, str]]:
    for sequence, attribute, name in _FRAME_TAGS:
        items = group[sequence].value if sequence in group else None
        if items and attribute in items[0] and (text := _text(items[0], attribute)):
            yield name, text


def _check_pixels(file: BinaryIO, dataset: pydicom.Dataset, header: Mapping[str, str]) -> None:
    """Hold the stated length of the pixels against the file; none of them is read.

    Raises:
        _Unusable: the file ends before its pixels do.
    """
    implicit, little = dataset.original_encoding
    start = file.read(12)
    size = os.fstat(file.fileno()).st_size
    if len(start) < 8:
        raise _Unusable(_CUT)
    order = "little" if little else "big"
    long_form = not implicit and start[4:6] in _LONG_FORM
    length = int.from_bytes(start[8:12] if long_form else start[4:8], order)
    begin = file.tell() - (0 if long_form else 4)
    if length == _UNDEFINED:
        return  # compressed: its decoder finds the end
    if begin + length > size:
        raise _Unusable(f"is damaged: it ends inside its image; {COPY_AGAIN}")


if __name__ == "__main__":
    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
    serve(answer)
