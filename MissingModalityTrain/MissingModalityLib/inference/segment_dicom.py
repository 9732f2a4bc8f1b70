"""Segments one visit of a patient from a folder of DICOM to a file, and reports on it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ..clinical.steps import Steps
from ..clinical.steps_output import check_steps_output
from ..core.errors import OptionError
from ..core.kinds import checked
from ..core.modalities import Modality, by_modality
from ..core.progress import Event, Progress, ProgressStage, reporter
from ..dicom.listing import find_studies
from ..dicom.naming import with_named
from ..dicom.reading import files_facts, read_visit
from ..dicom.visits import only_visit
from .locations import bundled_student
from .request_checks import check_output, check_replaced, read_beside
from .segment_files import Segmenter
from .segmentation_report import report_path
from .silent_series import read_visit_by_voxels
from .target_grid import grid_told, parse_grid


@checked
def segment_dicom(
    folder: Path | str,
    output: Path | str,
    student: Path | str | None = None,
    device: str | torch.device = "auto",
    labels: str = "classes",
    patient: str | None = None,
    study: str | None = None,
    on_progress: Progress | None = None,
    steps: Steps | None = None,
    steps_output: Path | str | None = None,
    grid: Modality | Path | str | None = None,
    regions: bool = False,
    overwrite: bool = False,
    series: Mapping[Modality | str, str | int] | None = None,
    one_visit: bool = False,
    precision: str = "auto",
) -> dict[str, Any]:
    """Segment the tumor of a patient from a folder as a PACS or a CD hands it over.

    Of the series in it the best one of each sequence is used; the report tells which. One that cannot be read
    is left out, with a warning. Where a sequence is not found, series of which nothing is told are asked by
    their voxels, unless ``steps`` leave out the check of the contents.

    Args:
        folder: DICOM files, in subfolders or not, by whatever names.
        output: .dcm for a DICOM object (SEG), which refers to the series that it lies on, or a file as in
            :func:`.segment_files.segment_files`.
        student, device, labels, on_progress, steps, steps_output: as there.
        grid: as there; where None, the result lies on the finest series that covers the head.
        regions: add whole tumor and tumor core to a DICOM object.
        patient: Patient ID, where the folder holds several patients.
        study: date (YYYY-MM-DD) or Study Instance UID, where it holds several visits.
        overwrite: replace ``output`` whatever it is; else only a result, beside which its report lies.
        series: by sequence the series to use for it, whatever it looks like: its Series Number, Series
            Instance UID or description. Sequences that are not named are chosen as ever.
        one_visit: all images of the folder are of one patient and visit, whatever their headers say; in place
            of ``patient`` and ``study``.
        precision: as in :func:`.segment_files.segment_files`.

    Returns:
        The report, see :class:`.SegmentationReport`.

    Raises:
        CaseError: no DICOM, no such visit or series, several, or a visit without any of the four sequences.
        ImageError: none of its series can be read, or volumes that do not overlap.
        StudentError, OptionError: as in :func:`.segment_files.segment_files`.
    """
    begin, notify = time.perf_counter(), reporter(on_progress)
    output, student = Path(output), Path(student or bundled_student())
    beside = read_beside(steps, grid)
    check_output(output, labels, [student, *beside], regions)
    if not overwrite:
        check_replaced(output)
    kept = None if steps_output is None else Path(steps_output)
    if kept is not None:
        check_steps_output(kept, beside, overwrite, (output, report_path(output)))
    if one_visit and (patient or study):
        raise OptionError(
            "One visit (--one-visit) takes all images of the folder for one. Leave out patient and study."
        )
    named = {modality: str(name) for modality, name in by_modality(series or {}).items()}
    visit = with_named(only_visit(find_studies(folder, notify, one_visit), patient, study), named)
    check_output(output, labels, [file for one in visit.series for file in one.files])
    segmenter = Segmenter(student, device, steps, parse_grid(grid), regions, precision)
    read = read_visit_by_voxels if segmenter.steps.content_check else read_visit
    volumes, chosen = read(visit, lambda *place: notify(Event(ProgressStage.READ, *place)))
    volumes = grid_told(volumes, segmenter.grid)
    told = {"dicom": {**chosen.to_json(), "files": files_facts(visit)}, "sources": chosen.files}
    return segmenter.segment(volumes, output, labels, notify, begin, steps_output=kept, **told)
