"""Who lies in a folder: cases of volumes and visits of DICOM, each with what segmenting one asks of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ..core.errors import CaseError, ImageError
from ..core.file_names import name_key, portable_name
from ..datasets.case import Case, Skipped
from ..datasets.discovery import find_cases, walk
from ..dicom.file_kind import is_dicom
from ..dicom.listing import DicomListing, DicomStudy, find_studies
from ..dicom.reading import files_facts as visit_facts
from ..dicom.reading import read_visit
from ..imaging.file_facts import files_facts
from ..imaging.reading import read_study
from .segment_files import Segmenter
from .silent_series import read_visit_by_voxels

Report = dict[str, Any]


class Patient(Protocol):
    """One patient at one time point.

    Attributes:
        name: unique in its folder, and fit for names of files.
        beside: volumes beside its own that are not used, and why, one sentence each.
    """

    @property
    def name(self) -> str: ...

    @property
    def beside(self) -> tuple[str, ...]: ...

    def files(self) -> set[Path]:
        """All that is read, or that belongs to what is read."""

    def facts(self) -> Mapping[str, Any]:
        """What the files hold. Raises ImageError where one cannot be read."""

    def is_from(self, report: Report, facts: Mapping[str, Any]) -> bool:
        """Whether a report of an earlier run is about just these files. Raises KeyError for a damaged one."""

    def segment(self, segmenter: Segmenter, output: Path, labels: str, facts: Mapping[str, Any]) -> Report:
        """Segment; raises what :func:`.segment_files.segment_files` raises."""


@dataclass(frozen=True)
class FilesPatient:
    """A case whose volumes are files."""

    case: Case

    @property
    def name(self) -> str:
        """Of the case."""
        return self.case.name

    @property
    def beside(self) -> tuple[str, ...]:
        """As the search for cases tells it."""
        return self.case.beside

    def files(self) -> set[Path]:
        """Volumes and label."""
        found = {file.path for file in self.case.images.values()}
        return found | {self.case.label} if self.case.label else found

    def facts(self) -> Mapping[str, Any]:
        """By modality."""
        try:
            return files_facts(self.case.images)
        except OSError as error:
            raise ImageError(
                f"{error.filename}: cannot be read ({error.strerror}). Check that the file is there and that "
                "you may read it."
            ) from error

    def is_from(self, report: Report, facts: Mapping[str, Any]) -> bool:
        """The same files of the same content; reports of older versions lack part of it."""
        inputs = {modality.name: str(file) for modality, file in self.case.images.items()}
        contents = {
            name: {key: held.get(key) for key in ("bytes", "sha256")}
            for name, held in report.get("contents", {}).items()
        }
        return report["inputs"] == inputs and contents == facts

    def segment(self, segmenter: Segmenter, output: Path, labels: str, facts: Mapping[str, Any]) -> Report:
        """From the files."""
        return segmenter.segment(read_study(self.case), output, labels, files=facts)


@dataclass(frozen=True)
class DicomPatient:
    """A visit whose volumes are series of DICOM."""

    name: str
    visit: DicomStudy
    beside: tuple[str, ...] = ()

    def files(self) -> set[Path]:
        """Those of all series."""
        return {file for series in self.visit.series for file in series.files}

    def facts(self) -> Mapping[str, Any]:
        """Of all usable series together."""
        return visit_facts(self.visit)

    def is_from(self, report: Report, facts: Mapping[str, Any]) -> bool:
        """The same images, wherever they lie."""
        return report["dicom"]["study_uid"] == self.visit.uid and report["dicom"]["files"] == facts

    def segment(self, segmenter: Segmenter, output: Path, labels: str, facts: Mapping[str, Any]) -> Report:
        """From the best series of each sequence."""
        read = read_visit_by_voxels if segmenter.steps.content_check else read_visit
        volumes, chosen = read(self.visit)
        told = {**chosen.to_json(), "files": facts}
        return segmenter.segment(volumes, output, labels, dicom=told, sources=chosen.files)


@dataclass(frozen=True)
class Patients:
    """The outcome of a search.

    Attributes:
        patients: cases by name, then visits by patient and date.
        skipped: every other file, and why.
        warnings: about names of cases, one sentence each.
    """

    patients: tuple[Patient, ...]
    skipped: tuple[Skipped, ...]
    warnings: tuple[str, ...] = ()


def find_patients(folder: Path) -> Patients:
    """Cases of volumes, by their names, and visits of DICOM, by what files hold, in all of a folder.

    Raises:
        CaseError: the folder is absent or holds neither.
    """
    cases, skipped, warnings, nothing = (), (), (), None
    try:
        listing = find_cases(folder)
        cases, skipped, warnings = listing.cases, listing.skipped, listing.warnings
    except CaseError as error:
        nothing = error
    dicom = _dicom_in(folder)
    if dicom is None:
        if nothing:
            raise nothing
        return Patients(tuple(map(FilesPatient, cases)), skipped, warnings)
    patients = (*map(FilesPatient, cases), *_named(dicom.studies, [case.name for case in cases]))
    return Patients(patients, _left_over(patients, skipped, dicom), warnings)


def _dicom_in(folder: Path) -> DicomListing | None:
    """All DICOM of a folder; folders without any need no program that reads it."""
    if not any(is_dicom(parent / name) for parent, _, files in walk(folder) for name in files):
        return None
    try:
        return find_studies(folder)
    except CaseError:  # the index of a CD alone, or damaged files
        return None


def _named(visits: Sequence[DicomStudy], others: Sequence[str]) -> list[DicomPatient]:
    """Visits by patient and date, several on one day with a number, in the order of their UIDs."""
    taken, named = set(map(name_key, others)), []
    for visit in visits:
        own = portable_name(f"{visit.patient}__{visit.date or 'undated'}")
        name, number = own, 1
        while name_key(name) in taken:
            number += 1
            name = f"{own}__{number}"
        taken.add(name_key(name))
        named.append(DicomPatient(name, visit))
    return named


def _left_over(
    patients: Sequence[Patient], skipped: Sequence[Skipped], dicom: DicomListing
) -> tuple[Skipped, ...]:
    """Files that belong to nobody; what is wrong with damaged DICOM is not its name."""
    used = set().union(*(patient.files() for patient in patients))
    reasons = {entry.path: entry.reason for entry in dicom.skipped}
    for entry in skipped:
        if not is_dicom(entry.path):
            reasons[entry.path] = entry.reason
    return tuple(Skipped(path, reason) for path, reason in sorted(reasons.items()) if path not in used)
