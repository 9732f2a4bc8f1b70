"""Segments every patient under a folder; what was done before is not done again."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from ..core.errors import CaseError, MissingModalityError, OptionError
from ..core.files import atomic_write
from ..core.labels import convention
from ..core.progress import Event, Progress, ProgressStage
from ..datasets.case import Case
from ..datasets.discovery import find_cases
from ..imaging.reading import read_study
from ..imaging.segmentation_file import SUFFIXES
from ..networks.output import TUMOR_CLASSES
from .locations import bundled_student
from .segment_files import Segmenter, report_path

TABLE_FILE = "volumes.csv"
_MEASURES = {"volumes_cm3": "cm3", "axial_diameters_mm": "mm"}
_NAMES = ("WT", "TC", "ET", "NCR", "ED")


def segment_folder(
    data: Path | str,
    output: Path | str,
    student: Path | str | None = None,
    device: str = "auto",
    labels: str = "classes",
    suffix: str = ".seg.nrrd",
    on_progress: Progress | None = None,
) -> dict[str, Any]:
    """Segment all cases under a folder from whatever modalities each has.

    A case that cannot be segmented is told of and does not stop the others. Called again, only cases are
    segmented that have no result of this very student from these very files.

    Args:
        data: folder of cases in any layout that :func:`.datasets.find_cases` knows; labels are not read.
        output: folder, made if absent, for ``CASE.seg.nrrd`` with its report (see
            :func:`.segment_files.segment_files`) and for ``volumes.csv``: per case the modalities, volumes
            (cm3), longest axial diameters (mm), where the student tells it the presence of the classes, and
            warnings, or why there is no result.
        student, device, labels: as in :func:`.segment_files.segment_files`.
        suffix: kind of file, one of :data:`.segmentation_file.SUFFIXES`.
        on_progress: told of each case begun, stage ``cases``.

    Returns:
        ``output``, ``table`` (its path), lists of names ``segmented`` and ``kept`` (done before), reasons by
        name ``failed``, and ``skipped``: ``path`` inside ``data`` and ``reason`` of files that belong to no
        case.

    Raises:
        CaseError: no case was found, or none could be segmented.
        StudentError, OptionError: as in :func:`.segment_files.segment_files`.
    """
    data, output, student = Path(data), Path(output), Path(student or bundled_student())
    if suffix not in SUFFIXES:
        raise OptionError(f"Unknown kind of output file '{suffix}'. Choose one of {', '.join(SUFFIXES)}.")
    convention(labels)
    listing = find_cases(data)
    cases = listing.cases
    paths = {case.name: output / f"{case.name}{suffix}" for case in cases}
    _refuse_overwriting(cases, student, [*paths.values(), output / TABLE_FILE])
    _make_folder(output)
    segmenter = Segmenter(student, device)
    reports: dict[str, dict[str, Any]] = {}
    kept, failed = [], {}
    for index, case in enumerate(cases):
        if on_progress:
            on_progress(Event(ProgressStage.CASES, index, len(cases), case.name))
        path = paths[case.name]
        done = _done_before(case, path, segmenter, labels)
        try:
            reports[case.name] = done or segmenter.segment(read_study(case), path, labels)
        except MissingModalityError as error:
            failed[case.name] = str(error)
        if done:
            kept.append(case.name)
        with suppress(OSError):  # somebody may be looking at it in a program that locks it
            _write_table(cases, reports, failed, output / TABLE_FILE)
    if on_progress:
        on_progress(Event(ProgressStage.CASES, len(cases), len(cases)))
    if not reports:
        name, reason = next(iter(failed.items()))
        raise CaseError(f"{data}: none of {len(failed)} cases could be segmented. {name}: {reason}")
    try:
        _write_table(cases, reports, failed, output / TABLE_FILE)
    except OSError as error:
        raise OptionError(
            f"{output / TABLE_FILE}: the table cannot be written ({error.strerror or error}). Close it in "
            "other programs and start again; what is segmented is kept."
        ) from error
    return {
        "output": str(output),
        "table": str(output / TABLE_FILE),
        "segmented": [name for name in reports if name not in kept],
        "kept": kept,
        "failed": failed,
        "skipped": [
            {"path": str(entry.path.relative_to(data)), "reason": entry.reason} for entry in listing.skipped
        ],
    }


def _done_before(case: Case, path: Path, segmenter: Segmenter, labels: str) -> dict[str, Any] | None:
    """The report of an earlier run that would come out the same."""
    try:
        report = json.loads(report_path(path).read_text(encoding="utf-8"))
        same = (report["student"]["sha256"], report["labels"], report["inputs"]) == (
            segmenter.student["sha256"],
            labels,
            {modality.name: str(file) for modality, file in case.images.items()},
        )
        newest = max(file.path.stat().st_mtime for file in case.images.values())
        return report if same and path.stat().st_mtime >= newest else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write_table(
    cases: tuple[Case, ...], reports: Mapping[str, Any], failed: Mapping[str, str], path: Path
) -> None:
    """Written anew after each case, so that an interrupted run leaves what it has."""
    columns = [f"{name}_{unit}" for unit in _MEASURES.values() for name in _NAMES]
    told = TUMOR_CLASSES if any("presence" in report for report in reports.values()) else ()
    columns += [f"{name}_present" for name in told]
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["case", "modalities", *columns, "warnings", "error"])
    for case in cases:
        report = reports.get(case.name)
        if report:
            numbers = [report[measure][name] for measure in _MEASURES for name in _NAMES]
            numbers += [report.get("presence", {}).get(name, "") for name in told]
            table.writerow([case.name, report["modalities"], *numbers, " ".join(report["warnings"]), ""])
        elif case.name in failed:
            table.writerow([case.name, "", *[""] * len(columns), "", failed[case.name]])
    with atomic_write(path) as unfinished:
        unfinished.write_text(text.getvalue(), encoding="utf-8")


def _refuse_overwriting(cases: tuple[Case, ...], student: Path, outputs: list[Path]) -> None:
    read = {student.resolve(), *(case.label.resolve() for case in cases if case.label)}
    read |= {file.path.resolve() for case in cases for file in case.images.values()}
    for path in outputs:
        if path.resolve() in read or report_path(path).resolve() in read:
            raise OptionError(f"{path}: the output would overwrite an input. Choose another output folder.")


def _make_folder(output: Path) -> None:
    try:
        output.mkdir(parents=True, exist_ok=True)
        TemporaryFile(dir=output).close()  # whether it can be written to shows now, not after the first case
    except OSError as error:
        raise OptionError(
            f"{output}: the output folder cannot be made or written to ({error.strerror or error}). Choose "
            "another one."
        ) from error
