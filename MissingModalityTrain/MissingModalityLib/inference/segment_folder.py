"""Segments every patient under a folder; what was done before is not done again."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import torch

from ..clinical.steps import Steps
from ..core.errors import CaseError, OptionError
from ..core.failures import note_failure
from ..core.files import explain_write_errors, file_sha256, remove_stale_temporaries, write_text
from ..core.kinds import checked
from ..core.modalities import Modality, modality_named
from ..core.progress import Event, Progress, ProgressStage, reporter
from ..core.words import counted, unknown_name
from .earlier_result import done_before, keep_work, left_there
from .folder_patients import Patient, find_patients
from .locations import bundled_student
from .result_file import SUFFIXES, check_form
from .segment_files import Segmenter
from .segmentation_report import report_path
from .volumes_table import TABLE_FILE, refuse_foreign_table, table_text

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
    refuse_foreign_table(table)
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
        return table_text(self.cases, self.reports, self.failed)


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
            keep_work(paths[case.name])
            outcome.reports[case.name] = case.segment(segmenter, paths[case.name], labels, case.facts())
        except Exception as error:  # of whatever kind: the other cases are not to wait for a repair
            failure = note_failure(error, case.name, table.parent)
            outcome.failed[case.name] = failure.reason + left_there(paths[case.name])
            if failure.unforeseen:
                outcome.unforeseen.append(case.name)
        with suppress(OSError):  # a table program may hold the file; the last write tells the user
            write_text(outcome.table(), table)
    notify(Event(ProgressStage.CASES, total, total))


def _keep(outcome: _Outcome, case: Patient, path: Path, segmenter: Segmenter, labels: str) -> None:
    """Take up an earlier result; what goes wrong here is told where the case is segmented."""
    with suppress(Exception):
        done = done_before(case, path, segmenter, labels)
        if done:
            outcome.reports[case.name] = outcome.told(done, path)
            outcome.kept.append(case.name)


def _refuse_overwriting(cases: tuple[Patient, ...], student: Path, outputs: list[Path]) -> None:
    read = {os.path.realpath(path) for path in (student, *(file for case in cases for file in case.files()))}
    for path in outputs:
        if os.path.realpath(path) in read or os.path.realpath(report_path(path)) in read:
            raise OptionError(f"{path}: the output would overwrite an input. Choose another output folder.")


def _make_folder(output: Path) -> None:
    with explain_write_errors(output, "Choose another output folder.", OptionError):
        output.mkdir(parents=True, exist_ok=True)
        remove_stale_temporaries(output)
        TemporaryFile(dir=output).close()  # a folder without write permission shows now, not after a case
