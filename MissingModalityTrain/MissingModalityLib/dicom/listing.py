"""The DICOM files of a folder as patients, studies and series."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..core.errors import CaseError
from ..core.files import IMAGE_SUFFIXES
from ..core.kinds import checked
from ..core.progress import Progress, reporter
from ..core.words import counted
from ..datasets.case import Skipped, relative
from ..datasets.discovery import walk
from ..imaging.volumes import MIN_VOXELS
from .contrast import settle_contrast
from .describing import describe
from .file_kind import COPY_AGAIN, EMPTY
from .headers import Frame, read_headers
from .parts import parts_of, with_parts_joined
from .series import Series
from .sessions import grouped, sessions, study_uids
from .splitting import Volume, volumes_of

_DOUBLED = "holds an image that another file holds too (the same SOP Instance UID)"
_MOST_CUT = 3
"""Files that were cut off that a sentence names."""

_NOTHING_FOUND = 5
"""Skipped files that a message names when no DICOM is found."""


@dataclass(frozen=True)
class DicomStudy:
    """One visit of one patient to the scanner.

    Attributes:
        patient: Patient ID, or a text that says there is none.
        uid: Study Instance UID, the first of several.
        date: ``YYYY-MM-DD``; empty where not stated.
        description: Study Description; may be empty.
        series: by series number.
        cut_off: files beside its own that are empty or end too early, one sentence; empty where none are.
        further_uids: Study Instance UIDs of the same session beside ``uid``, see :func:`.sessions.sessions`.
        as_asked: whether the user says that all images of the folder are of one visit.
        other_patients: how many the folder holds beside this one, of whom none was asked for or can be used.
    """

    patient: str
    uid: str
    date: str
    description: str
    series: tuple[Series, ...]
    cut_off: str = ""
    further_uids: tuple[str, ...] = ()
    as_asked: bool = False
    other_patients: int = 0

    @property
    def title(self) -> str:
        """How sentences name it."""
        return f"patient {self.patient}, study of {self.date or 'an unknown date'}"

    @property
    def doubts(self) -> tuple[str, ...]:
        """Sentences on the folder for the user; they name no patient, for reports keep them."""
        more = counted(self.other_patients, "other patient")
        others = (
            f"The folder holds images of {more} too, none with a series to segment. Check that the study "
            f"used, of {self.date or 'an unknown date'}, is of the patient that you mean."
        )
        return tuple(filter(None, [others if self.other_patients else "", self.cut_off]))


@dataclass(frozen=True)
class DicomListing:
    """The outcome of a search.

    Attributes:
        folder: where the search began.
        studies: by patient and date.
        skipped: files that are not DICOM, damaged, or hold an image a second time.
    """

    folder: Path
    studies: tuple[DicomStudy, ...]
    skipped: tuple[Skipped, ...]

    def skipped_json(self) -> list[dict[str, Any]]:
        """Plain values of the skipped files."""
        return [{"path": relative(entry.path, self.folder), "reason": entry.reason} for entry in self.skipped]


@checked
def find_studies(
    folder: Path | str, on_progress: Progress | None = None, one_visit: bool = False
) -> DicomListing:
    """All series in a folder and its subfolders, as a PACS or a CD hands them over; no pixel is read.

    Files are known by what they hold: they need no suffix, and a DICOMDIR is not used. Headers are read by a
    child process under limits of memory and time, so that a damaged file costs itself alone.

    Args:
        folder: any folder.
        on_progress: called after each batch of files.
        one_visit: all images are of one patient and visit, whatever their headers say; for folders whose
            series were each given another patient or study as names were removed.

    Raises:
        CaseError: the folder is absent or holds no DICOM image.
        OptionError: ``on_progress`` cannot be called.
    """
    report = reporter(on_progress)
    folder = Path(folder)
    if not folder.is_dir():
        problem = "is a file, not a folder" if folder.exists() else "does not exist"
        raise CaseError(f"{folder} {problem}. Give the folder that holds the DICOM files.")
    paths = [parent / name for parent, _, files in walk(folder) for name in files]
    frames, skipped = read_headers(paths, report)
    frames, doubled = _without_doubles(frames)
    if not frames:
        raise CaseError(_nothing_found(folder, skipped))
    studies = [_study(images) for images in ([frames] if one_visit else sessions(frames))]
    studies = [replace(one, cut_off=_cut_off(one, skipped), as_asked=one_visit) for one in studies]
    studies.sort(key=lambda study: (study.patient, study.date, study.uid))
    return DicomListing(folder, tuple(studies), (*skipped, *doubled))


def _nothing_found(folder: Path, skipped: Sequence[Skipped]) -> str:
    volumes = [entry.path for entry in skipped if entry.path.name.lower().endswith(IMAGE_SUFFIXES)]
    if volumes:
        return (
            f"No DICOM image found in '{folder}', but {counted(len(volumes), 'volume')} such as "
            f"{relative(volumes[0], folder)}. Name the files, as by --flair FILE, or give a folder of cases "
            "to segment-folder."
        )
    named = "; ".join(f"{relative(entry.path, folder)} {entry.reason}" for entry in skipped[:_NOTHING_FOUND])
    more = len(skipped) - _NOTHING_FOUND
    detail = f"In it: {named}{f'; and {more} more' if more > 0 else ''}." if named else "It is empty."
    return f"No DICOM image found in '{folder}'. Give the folder exported from the PACS or CD. {detail}"


def _without_doubles(frames: Iterable[Frame]) -> tuple[list[Frame], list[Skipped]]:
    """Each image once.

    Some programs that remove names give all images one UID: those lie at other places, and are kept.
    """
    keys = (
        *("SOPInstanceUID", "PatientID", "PatientName", "InstanceNumber", "EchoTime"),
        *("ImagePositionPatient", "ImageOrientationPatient"),
    )
    seen: dict[Hashable, Path] = {}
    kept, doubled = [], []
    for frame in frames:
        uid = frame.text("SOPInstanceUID")
        key = (frame.index, *map(frame.text, keys))
        if uid and seen.setdefault(key, frame.path) != frame.path:
            if frame.index in (None, 0):
                doubled.append(Skipped(frame.path, _DOUBLED))
        else:
            kept.append(frame)
    return kept, doubled


def _series_key(frame: Frame) -> Hashable:
    return frame.text("SeriesInstanceUID") or (frame.path.parent, frame.text("SeriesNumber"))


def _joined(groups: list[list[Frame]]) -> list[list[Frame]]:
    """Groups by series; single images of one number and name are one series, scrubbed into a UID for each."""
    single = [group[0] for group in groups if len(group) == 1 and group[0].text("SeriesNumber")]
    joined = grouped(single, lambda frame: (frame.text("SeriesNumber"), frame.text("SeriesDescription")))
    whole = [images for images in joined if len(images) >= MIN_VOXELS]
    alone = {id(frame) for images in whole for frame in images}
    return [group for group in groups if id(group[0]) not in alone] + whole


def _study(frames: list[Frame]) -> DicomStudy:
    frame = frames[0]
    patient, date = frame.text("PatientID") or "without an ID", _date(frame)
    frames = sorted(frames, key=lambda one: (one.number("InstanceNumber") or 0, one.path, one.index or 0))
    series = [
        one
        for images in with_parts_joined(_joined(grouped(frames, _series_key)))
        for one in _folded([_described(volume, patient, date) for volume in volumes_of(images)])
    ]
    series.sort(key=lambda one: (one.number is None, one.number or 0, one.time, one.uid))
    series = _told_apart(series)
    uid, *further = study_uids(frames)
    return DicomStudy(
        patient,
        uid,
        date,
        next((" ".join(text.split()) for one in frames if (text := one.text("StudyDescription"))), ""),
        tuple(settle_contrast(series)),
        further_uids=tuple(further),
    )


def _described(volume: Volume, patient: str, date: str) -> Series:
    series, parts = describe(volume, patient, date), parts_of(volume.frames)
    return series if parts == 1 else replace(series, description=f"{series.description}, of {parts} series")


def _folded(volumes: list[Series]) -> list[Series]:
    """The volumes of one series, of which those that cannot be used for one reason become one entry."""
    if len(volumes) < 2 or volumes[0].problem is None or len({one.problem for one in volumes}) > 1:
        return volumes
    slices = tuple(image for one in volumes for image in one.slices)
    first = volumes[0]
    return [
        replace(
            first,
            description=first.description.removesuffix(f", {first.part}"),
            part="",
            slices=slices,
            size=(*first.size[:2], len(slices)),
            spacing=None,
            plane="" if len({one.plane for one in volumes}) > 1 else first.plane,
        )
    ]


def _told_apart(series: list[Series]) -> list[Series]:
    """The same series; those of one name and number are named by their times, too, or counted."""
    named: dict[str, list[Series]] = defaultdict(list)
    for one in series:
        named[one.title].append(one)
    told = []
    for one in series:
        alike = named[one.title]
        times = {other.time for other in alike}
        if len(alike) == 1:
            own = ""
        elif len(times) == len(alike) and "" not in times:
            own = f", at {one.time}"
        else:
            own = f", {next(n for n, other in enumerate(alike, 1) if other is one)} of {len(alike)}"
        told.append(replace(one, description=one.description + own))
    return told


def _cut_off(study: DicomStudy, skipped: Sequence[Skipped]) -> str:
    files = {file for one in study.series for file in one.files}
    folders, suffixes = {file.parent for file in files}, {file.suffix for file in files}
    cut = [
        entry.path.name
        for entry in skipped
        if entry.path.parent in folders
        and not entry.path.name.startswith(".")
        and (entry.reason.endswith(COPY_AGAIN) or (entry.reason == EMPTY and entry.path.suffix in suffixes))
    ]
    if not cut:
        return ""
    more = f" and {len(cut) - _MOST_CUT} more" if len(cut) > _MOST_CUT else ""
    what = "1 file beside the images is" if len(cut) == 1 else f"{len(cut)} files beside the images are"
    return (
        f"{what} empty or cut off, as after an interrupted copy ({', '.join(cut[:_MOST_CUT])}{more}). Copy "
        "them again from the PACS or CD."
    )


def _date(frame: Frame) -> str:
    digits = frame.text("StudyDate") or frame.text("AcquisitionDate")
    return f"{digits[:4]}-{digits[4:6]}-{digits[6:]}" if len(digits) == 8 and digits.isdigit() else ""
