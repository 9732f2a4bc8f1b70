"""Segments every patient under a folder; what was done before is not done again."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import torch

from .. import __version__
from ..clinical.steps import Steps
from ..core import strict_json
from ..core.errors import CaseError, ImageError, OptionError
from ..core.failures import note_failure
from ..core.files import (
    explain_write_errors,
    file_sha256,
    image_suffix,
    read_text,
    remove_stale_temporaries,
    write_text,
)
from ..core.kinds import checked
from ..core.labels import CAVITY_REGION, REGIONS, TUMOR_CLASSES
from ..core.modalities import Modality, modality_named
from ..core.progress import Event, Progress, ProgressStage, reporter
from ..core.words import counted, unknown_name
from ..imaging.integrity import check_file
from ..imaging.prepared import VERSION
from .card import PRECISIONS
from .folder_patients import Patient, find_patients
from .locations import bundled_student
from .result_file import SUFFIXES, check_form
from .segment_files import Segmenter
from .segmentation_report import is_as_written, is_of_before, is_unchanged, report_path

TABLE_FILE = "volumes.csv"
_FIRST_COLUMNS, _LAST_COLUMNS = ("case", "modalities"), ("warnings", "error")
_MEASURES = {"volumes_cm3": "cm3", "axial_diameters_mm": "mm"}
_CLASSES = tuple(cls.name for cls in TUMOR_CLASSES)
_COLUMN_NAMES = (*REGIONS, *(name for name in _CLASSES if name not in REGIONS))
_REMEDY = "Free some space, or close it in other programs, and start again; what is segmented is kept."


@checked
def segment_folder(
    data: Path | str,
    output: Path | str,
    student: Path | str | None = None,
    device: str | torch.device = "auto",
    labels: str = "classes",
    suffix: str = ".seg.nrrd",
    on_progress: Progress | None = None,
    steps: Steps | None = None,
    grid: Modality | str | None = None,
    regions: bool = False,
    precision: str = "auto",
) -> dict[str, Any]:
    """Segment all cases under a folder from whatever modalities each has.

    A case that cannot be segmented is reported and does not stop the others. Called again, only cases are
    segmented that have no result of this very student from these very files, by what these hold, made by
    this version of the library and of its preparation, that is still whole.

    Args:
        data: folder of cases in any layout that :func:`~..datasets.discovery.find_cases` knows, of DICOM as a
            PACS or a CD hands it over, or of both; labels are not read. A visit of DICOM is one case, named
            by patient and date.
        output: folder, made if absent, for ``CASE.seg.nrrd`` with its report (see
            :func:`.segment_files.segment_files`) and for ``volumes.csv``: per case the modalities, volumes
            (cm³), longest axial diameters (mm), where the student knows them the Dice to expect of these
            sequences, the presence of the classes and
            the estimated Dice of WT, TC and ET with its grade, and warnings, also of volumes beside its files
            that are not used, or why there is no result.
        student, device, labels: as in :func:`.segment_files.segment_files`.
        suffix: kind of file, one of :data:`.result_file.SUFFIXES`; .dcm, a DICOM object, for visits of DICOM.
        on_progress: called for each case begun, stage ``cases``.
        steps: what is done to raw volumes first, the same for all cases; all that they need where None.
        grid: the modality, or its name, on whose grid results lie; the first volume's where None.
        regions: add whole tumor and tumor core to DICOM objects.
        precision: as in :func:`.segment_files.segment_files`.

    Returns:
        ``output``, ``table`` (its path), lists of names ``segmented`` and ``kept`` (done before), reasons by
        name ``failed``, ``unforeseen`` (names of those that a fault of the program kept out;
        ``failures.log`` in ``output`` has the tracebacks), ``skipped``: ``path`` inside ``data`` and
        ``reason`` of files that belong to no case, and ``warnings``: sentences about names of cases,
        and about results that were changed since.

    Raises:
        CaseError: no case was found, or none could be segmented.
        StudentError, OptionError: as in :func:`.segment_files.segment_files`; or ``output`` has a
            ``volumes.csv`` of other columns.
    """
    data, output, student = Path(data), Path(output), Path(student or bundled_student())
    notify = reporter(on_progress)
    if suffix not in SUFFIXES:
        raise OptionError(unknown_name("kind of output file", suffix, SUFFIXES))
    check_form(output / f"case{suffix}", labels, regions)
    chosen = None if grid is None else modality_named(grid)
    if steps is not None and steps.brain_mask is not None:
        raise OptionError(f"{steps.brain_mask}: one brain mask cannot fit many patients. Leave it out.")
    listing = find_patients(data)
    table = output / TABLE_FILE
    paths = {patient.name: output / f"{patient.name}{suffix}" for patient in listing.patients}
    # results may lie beside the cases, so a result's name can be that of an input
    _refuse_overwriting(listing.patients, student, [*paths.values(), table])
    _refuse_foreign_table(table)
    _make_folder(output)
    outcome = _Outcome(listing.patients)
    segmenter = Segmenter(student, device, steps, chosen, regions, precision)
    _segment_cases(outcome, paths, segmenter, labels, table, notify)
    if not outcome.reports:
        name, reason = next(iter(outcome.failed.items()))
        raise CaseError(f"{data}: none of {counted(len(paths), 'case')} could be segmented. {name}: {reason}")
    with explain_write_errors(table, _REMEDY, OptionError):
        write_text(outcome.table(), table)
    return {
        "output": str(output),
        "table": str(table),
        "segmented": [name for name in outcome.reports if name not in outcome.kept],
        "kept": outcome.kept,
        "failed": outcome.failed,
        "unforeseen": outcome.unforeseen,
        "skipped": [
            {"path": str(entry.path.relative_to(data)), "reason": entry.reason} for entry in listing.skipped
        ],
        "warnings": [*listing.warnings, *outcome.changed],
    }


@dataclass(frozen=True)
class _Outcome:
    """How far a folder has come: reports and reasons by name of the case."""

    cases: tuple[Patient, ...]
    reports: dict[str, dict[str, Any]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    kept: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    unforeseen: list[str] = field(default_factory=list)

    def told(self, report: dict[str, Any], path: Path) -> dict[str, Any]:
        """The report on a result that is kept, with a warning where somebody has changed the file since."""
        # those of older versions do not tell; what was corrected by hand is not written over
        if report.get("output_sha256") in (None, file_sha256(path)):
            return report
        self.changed.append(
            f"{path.name} was changed after it was written, and is kept; the numbers in {TABLE_FILE} are "
            "those of before. Delete it to have it made anew."
        )
        return {**report, "warnings": [*report["warnings"], self.changed[-1]]}

    def table(self) -> str:
        """One line as CSV for each case that is done or failed."""
        cavity = any(CAVITY_REGION in report["volumes_cm3"] for report in self.reports.values())
        measured = (*_COLUMN_NAMES, CAVITY_REGION) if cavity else _COLUMN_NAMES
        columns = [f"{name}_{unit}" for unit in _MEASURES.values() for name in measured]
        present = _CLASSES if any("presence" in report for report in self.reports.values()) else ()
        columns += [f"{name}_present" for name in present]
        expected = REGIONS if any("expectation" in report for report in self.reports.values()) else ()
        columns += [f"{name}_expected_dice" for name in expected]
        judged = REGIONS if any("grades" in report for report in self.reports.values()) else ()
        columns += [f"{name}_{what}" for name in judged for what in ("estimated_dice", "grade")]
        text = io.StringIO()
        lines = csv.writer(text, lineterminator="\n")
        lines.writerow([*_FIRST_COLUMNS, *columns, *_LAST_COLUMNS])
        for case in self.cases:
            report = self.reports.get(case.name)
            if report:
                # a result without a cavity has none of its volume
                numbers = [report[measure].get(name, 0) for measure in _MEASURES for name in measured]
                numbers += [report.get("presence", {}).get(name, "") for name in present]
                dice = report.get("expectation", {}).get("dice", {})
                numbers += [dice.get(name, "") for name in expected]
                for name in judged:
                    numbers += [report.get(key, {}).get(name, "") for key in ("estimated_dice", "grades")]
                warnings = " ".join([*report["warnings"], *case.beside])
                lines.writerow([case.name, report["modalities"], *numbers, warnings, ""])
            elif case.name in self.failed:
                warnings = " ".join(case.beside)
                lines.writerow([case.name, "", *[""] * len(columns), warnings, self.failed[case.name]])
        return text.getvalue()


def _segment_cases(
    outcome: _Outcome,
    paths: Mapping[str, Path],
    segmenter: Segmenter,
    labels: str,
    table: Path,
    notify: Progress,
) -> None:
    """Fill in the outcome case by case, with its table written anew after each: a stopped run leaves both."""
    total = len(outcome.cases)
    # first, since a run that is stopped leaves a table without what it has not come to
    for case in outcome.cases:
        if report_path(paths[case.name]).exists():
            notify(Event(ProgressStage.CASES, 0, total, case.name))
            _keep(outcome, case, paths[case.name], segmenter, labels)
    for index, case in enumerate(outcome.cases):
        if case.name in outcome.kept:
            continue
        notify(Event(ProgressStage.CASES, index, total, case.name))
        try:
            _refuse_replacing(paths[case.name])
            outcome.reports[case.name] = case.segment(segmenter, paths[case.name], labels, case.facts())
        except Exception as error:  # of whatever kind: the other cases are not to wait for a repair
            failure = note_failure(error, case.name, table.parent)
            outcome.failed[case.name] = failure.reason + _left_there(paths[case.name])
            if failure.unforeseen:
                outcome.unforeseen.append(case.name)
        with suppress(OSError):  # a table program may hold the file; the last write tells the user
            write_text(outcome.table(), table)
    notify(Event(ProgressStage.CASES, total, total))


def _keep(outcome: _Outcome, case: Patient, path: Path, segmenter: Segmenter, labels: str) -> None:
    """Take up an earlier result; what goes wrong here is told where the case is segmented."""
    with suppress(Exception):
        done = _done_before(case, path, segmenter, labels)
        if done:
            outcome.reports[case.name] = outcome.told(done, path)
            outcome.kept.append(case.name)


def _done_before(case: Patient, path: Path, segmenter: Segmenter, labels: str) -> dict[str, Any] | None:
    """The report of an earlier run that would come out the same."""
    try:
        report = strict_json.loads(read_text(report_path(path)))
        same = _origin(report) == {
            "student": segmenter.student["sha256"],
            "labels": labels,
            "steps": segmenter.steps.to_json(),
            "grid": segmenter.grid_name,
            "regions": segmenter.regions,
            "precision": segmenter.precision,
            "preparation": VERSION,
            "library": __version__,
        }
        if not (same and is_unchanged(report) and case.is_from(report, case.facts()) and path.is_file()):
            return None
        if image_suffix(path):
            check_file(path)
        return None if is_of_before(path, report) else report
    # no report, one that somebody has changed, or a result that is damaged
    except (OSError, ValueError, KeyError, TypeError, ImageError):
        return None


def _origin(report: Mapping[str, Any]) -> dict[str, Any]:
    """What a result depends on beside files and device; reports of older versions lack part of it."""
    return {
        "student": report["student"]["sha256"],
        "labels": report["labels"],
        "steps": report.get("input_steps", {}).get("asked"),
        "grid": report.get("grid"),
        "regions": report.get("regions", False),
        "precision": report.get("computation", {}).get("asked", PRECISIONS[0]),
        "preparation": report.get("preparation"),
        "library": report["versions"]["MissingModality"],
    }


def _refuse_replacing(path: Path) -> None:
    """Raise OptionError where a file is no result as it was written, but somebody's work.

    One with a report that is cut off is nobody's.
    """
    if not path.exists() or is_as_written(path):
        return
    told = report_path(path).exists()
    if told and image_suffix(path):
        try:
            check_file(path)
        except ImageError:
            return
    what = "was changed after it was written" if told else "is there, and no report says that it is a result"
    raise OptionError(f"{path.name} {what}. It is kept; move it elsewhere to have the case segmented.")


def _left_there(path: Path) -> str:
    """A sentence where a case that failed has a result of before, which could pass for one of this run."""
    if not path.exists() or not is_as_written(path):
        return ""
    return f" {path.name} is the result of an earlier run, of other files or made otherwise."


def _refuse_overwriting(cases: tuple[Patient, ...], student: Path, outputs: list[Path]) -> None:
    read = {os.path.realpath(path) for path in (student, *(file for case in cases for file in case.files()))}
    for path in outputs:
        if os.path.realpath(path) in read or os.path.realpath(report_path(path)) in read:
            raise OptionError(f"{path}: the output would overwrite an input. Choose another output folder.")


def _refuse_foreign_table(table: Path) -> None:
    """Raise OptionError where a table of other columns would be replaced: somebody's own, or annotated."""
    try:
        with table.open(encoding="utf-8-sig") as file:
            columns = next(csv.reader(file), [])
    except OSError:  # it is not there, or it is told where the table is written
        return
    except (ValueError, csv.Error):  # not UTF-8, or no lines
        columns = []
    if (*columns[:2], *columns[-2:]) != (*_FIRST_COLUMNS, *_LAST_COLUMNS):
        raise OptionError(
            f"{table} has other columns than the table that would replace it, so it is somebody's own. Move "
            "it elsewhere, or choose another output folder."
        )


def _make_folder(output: Path) -> None:
    with explain_write_errors(output, "Choose another output folder.", OptionError):
        output.mkdir(parents=True, exist_ok=True)
        remove_stale_temporaries(output)
        TemporaryFile(dir=output).close()  # a folder without write permission shows now, not after a case
