"""Segments one visit of a patient from a folder of DICOM to a file, and reports on it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch

from ..clinical.steps import Steps
from ..core.kinds import checked
from ..core.modalities import Modality
from ..core.progress import Event, Progress, ProgressStage, reporter
from ..dicom.listing import find_studies
from ..dicom.reading import files_facts, read_visit
from ..dicom.visits import only_visit
from .locations import bundled_student
from .request_checks import check_output, check_replaced
from .segment_files import Segmenter
from .silent_series import read_visit_by_voxels
from .target_grid import parse_grid


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
    steps_output: Path | None = None,
    grid: Modality | Path | str | None = None,
    regions: bool = False,
    overwrite: bool = False,
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

    Returns:
        The report, see :class:`.SegmentationReport`.

    Raises:
        CaseError: no DICOM, no such visit, several, or one without any of the four sequences.
        ImageError: none of its series can be read, or volumes that do not overlap.
        StudentError, OptionError: as in :func:`.segment_files.segment_files`.
    """
    begin, notify = time.perf_counter(), reporter(on_progress)
    output, student = Path(output), Path(student or bundled_student())
    check_output(output, labels, [student], regions)
    check_replaced(output, overwrite)
    visit = only_visit(find_studies(folder, notify), patient, study)
    check_output(output, labels, [file for series in visit.series for file in series.files])
    segmenter = Segmenter(student, device, steps, parse_grid(grid), regions)
    read = read_visit_by_voxels if segmenter.steps.content_check else read_visit
    volumes, chosen = read(visit, lambda *place: notify(Event(ProgressStage.READ, *place)))
    told = {"dicom": {**chosen.to_json(), "files": files_facts(visit)}, "sources": chosen.files}
    return segmenter.segment(volumes, output, labels, notify, begin, steps_output=steps_output, **told)
