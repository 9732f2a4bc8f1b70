"""From the images of a volume to what it is: which sequence, where it lies, and whether it can be used.

Source of the classes of objects: DICOM PS3.4 Annex B.5, PS3.6 Annex A.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from ..core.words import counted
from ..datasets.detection import Guess, detect_modality
from ..datasets.sequence_words import is_reformat, without_accents, words_of
from ..imaging.volumes import MIN_VOXELS
from .headers import Frame
from .series import Series, SeriesKind, Slice
from .slices import Placement, placement
from .splitting import Volume, cosines, position

_STORAGE = "1.2.840.10008.5.1.4.1.1"
_MR_IMAGES = (f"{_STORAGE}.4", f"{_STORAGE}.4.1", f"{_STORAGE}.4.4")
_SEGMENTATIONS = (f"{_STORAGE}.66.4", f"{_STORAGE}.66.7", f"{_STORAGE}.481.3")
_CAPTURE = f"{_STORAGE}.7"

_WITHOUT_IMAGES = ("SR", "KO", "PR", "DOC", "REG", "PLAN", "AU", "ECG")
"""Values of Modality: reports, key images, presentation states, documents, registrations ..."""

_OTHER_PARTS = re.compile(
    r"spine|abdomen|liver|pelvis|prostate|breast|knee|shoulder|hip|ankle|wrist|elbow|foot|heart|chest|extremity|phantom",
    re.IGNORECASE,
)
"""As Body Part Examined has them, whose values are terms (DICOM PS3.16 Annex L)."""

_NAMED_PARTS = re.compile(
    r"\b(?:[clt]?spine|[clt] spine|lumbar|lumbal|thoracic|[hbl]ws|wirbels\w*|"
    r"rachi[sd]\w*|columna|coluna|colonna|cerv(?:ic\w*)?|lomba\w*|"
    r"abdom\w*|liver|leber|foie|higado|fegato|mrcp|pelvi\w*|becken|bassin|prostat\w*|breast|mamma\w*|sein|"
    r"knees?|knie|kniegelenk|genou|rodilla|ginocchio|shoulders?|schulter\w*|epaule|hombro|spalla|"
    r"hips?|hue?fte?|hanche|ankles?|sprunggelenk\w*|cheville|wrists?|handgelenk\w*|poignet|"
    r"elbows?|ellenbogen\w*|coude|foot|fuss|heart|cardiac|herz|coeur|chest|thorax)\b"
    r"|позвоноч|колен|[腰頸頚颈胸脊]椎|脊[柱髄髓]|膝|肩|[股手足]関節|肘|骨盤|盆腔|腹部|肝|乳[腺房]|前立腺|前列腺|心[臓脏]"
)
"""As people name them in the languages of :mod:`..datasets.sequence_words`, without accents."""

_HEAD = re.compile(
    r"head|brain|skull|crani|cerebr|encephal|encefal|neuro|kopf|schae?del|hirn|tete|crane|cerveau|cabeza|testa|"
    r"cabeca|cervello|stroke|tumou?r|gli(?:oma|om|o)|pituit|hypophys|sella|orbit|голов|мозг|[頭头脳脑颅]"
)
"""In the name of an examination: it shows the head, whatever else."""
_NAMES = {
    "SeriesDescription": "the name",
    "ProtocolName": "the protocol's name",
    "StudyDescription": "the name of the examination",
}
_PROBLEMS = {
    SeriesKind.LOCALIZER: "is a localizer",
    SeriesKind.MAP: "is a map or image computed from others",
    SeriesKind.PROJECTION: "is a projection through a volume",
    SeriesKind.CAPTURE: "is a screen capture or a report",
    SeriesKind.SEGMENTATION: "is a segmentation",
    SeriesKind.OTHER_SEQUENCE: "is another sequence",
}


def describe(volume: Volume, patient: str, date: str) -> Series:
    """The series that a volume is.

    Args:
        volume: its images.
        patient: as listings name the patient.
        date: of the study, ``YYYY-MM-DD``, or empty.
    """
    frame = volume.frames[0]
    guess = detect_modality(header=frame.header)
    place = placement(volume.frames) if volume.repeats == 1 else None
    kind, problem = _kind(volume, guess, place)
    usable = problem is None
    # a few slices of something are not worth a word
    meant = usable or (kind is SeriesKind.INCOMPLETE and (place is None or place.gap is not None))
    number = frame.number("SeriesNumber")
    return Series(
        uid=frame.text("SeriesInstanceUID"),
        number=int(number) if number is not None else None,
        description=_description(frame, volume.part),
        patient=patient,
        study_uid=frame.text("StudyInstanceUID"),
        date=date,
        time=min(filter(None, (time_of(one.header) for one in volume.frames)), default=""),
        slices=tuple(
            Slice(one.path, one.index, position(one), one.text("SOPInstanceUID")) for one in volume.frames
        ),
        orientation=cosines(frame),
        size=(int(frame.number("Columns") or 0), int(frame.number("Rows") or 0), len(volume.frames)),
        spacing=place.spacing if place else None,
        thickness=frame.number("SliceThickness"),
        plane=place.plane if place else "",
        kind=kind,
        modality=guess.modality if meant else None,
        confidence=guess.confidence if meant else 0.0,
        reason=guess.reason,
        part=volume.part,
        contrast=guess.contrast,
        problem=problem,
        gap=place.gap if place and usable else None,
        header=frame.header,
    )


def _description(frame: Frame, part: str) -> str:
    names = (frame.text(key) for key in ("SeriesDescription", "ProtocolName", "SequenceName"))
    name = " ".join(next(filter(None, names), "without a description").split())
    return f"{name}, {part}" if part else name


def time_of(header: Mapping[str, str]) -> str:
    """``HH:MM:SS`` of an image's acquisition; empty where it is not stated."""
    for keyword, begin in (("AcquisitionDateTime", 8), ("AcquisitionTime", 0), ("SeriesTime", 0)):
        digits = header.get(keyword, "")[begin : begin + 6]
        if len(digits) == 6 and digits.isdigit():
            return f"{digits[:2]}:{digits[2:4]}:{digits[4:]}"
    return ""


def _kind(volume: Volume, guess: Guess, place: Placement | None) -> tuple[SeriesKind, str | None]:
    """What the images are, and why they cannot be used."""
    frame = volume.frames[0]
    if foreign := _foreign(frame):
        return foreign
    if part := _other_part(frame):
        return SeriesKind.OTHER_SEQUENCE, f"shows another part of the body ({part})"
    if guess.excluded:
        kind = SeriesKind(guess.excluded)
        return kind, f"{_PROBLEMS[kind]} ({guess.evidence})"
    if volume.repeats > 1:
        return (
            SeriesKind.TIME_SERIES,
            f"has {volume.repeats} images at one place (perfusion, diffusion or another series over time)",
        )
    if place is None:
        return SeriesKind.INCOMPLETE, _why_nowhere(frame)
    count = len(volume.frames)
    if count < MIN_VOXELS:
        return SeriesKind.INCOMPLETE, f"has only {counted(count, 'slice')}"
    if place.gap and not place.mendable:
        gap = place.gap[0].lower() + place.gap[1:].rstrip(".")
        return SeriesKind.INCOMPLETE, f"makes no even volume: {gap}"
    return (SeriesKind.REFORMAT if is_cut_anew(frame.header) else SeriesKind.VOLUME), None


def _why_nowhere(frame: Frame) -> str:
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"):
        if "," in frame.text(keyword):
            return f"states numbers with commas, which DICOM does not allow ({keyword} {frame.text(keyword)})"
    return "does not state where its slices lie"


def _other_part(frame: Frame) -> str:
    """A part of the body other than the head that an image is said to show; empty where none is.

    An examination may be of several parts: its name counts where it names no head.
    """
    if _OTHER_PARTS.search(frame.text("BodyPartExamined")):
        return frame.text("BodyPartExamined")
    for keyword in ("SeriesDescription", "ProtocolName", "StudyDescription"):
        text = without_accents(frame.text(keyword)).replace("_", " ")
        found = _NAMED_PARTS.search(text)
        if found and not _HEAD.search(text):
            return f"'{found[0]}' in {_NAMES[keyword]}"
    return ""


def _foreign(frame: Frame) -> tuple[SeriesKind, str] | None:
    """Objects that are no gray MR images."""
    object_class, modality = frame.text("SOPClassUID"), frame.text("Modality")
    if object_class in _SEGMENTATIONS or modality in ("SEG", "RTSTRUCT"):
        return SeriesKind.SEGMENTATION, "is a segmentation"
    if modality in _WITHOUT_IMAGES or not frame.text("Rows"):
        return SeriesKind.DOCUMENT, f"holds no image ({modality or 'a document'})"
    if modality != "MR":
        return SeriesKind.NOT_MR, f"is {modality or 'of unknown kind'} and not MR"
    if frame.number("SamplesPerPixel") not in (None, 1) or "RGB" in frame.text("PhotometricInterpretation"):
        return SeriesKind.CAPTURE, "is in color: a screen capture or a map"
    if object_class == _CAPTURE or object_class.startswith(f"{_CAPTURE}."):
        return SeriesKind.CAPTURE, "is a secondary capture, which does not hold the scanner's values"
    if object_class not in _MR_IMAGES:
        return SeriesKind.OTHER_SEQUENCE, "is no MR image but another object of MR (spectroscopy, raw data)"
    return None


def is_cut_anew(header: Mapping[str, str]) -> bool:
    """Whether images are a reformat of another volume, by what they are declared to be, or by their name."""
    values = {value.strip().upper() for value in header.get("ImageType", "").split("\\")}
    if values & {"MPR", "REFORMATTED", "CSA MPR", "CSA RESAMPLED", "AVERAGE"}:
        return True
    return is_reformat(words_of(header.get("SeriesDescription", "")))
