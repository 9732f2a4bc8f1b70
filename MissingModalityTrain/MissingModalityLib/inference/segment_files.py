"""Segments the volumes of one patient from files to a file, and reports on it."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import SimpleITK as sitk
import torch

from ..clinical.raw import Ready, make_ready
from ..clinical.steps import Steps
from ..clinical.steps_output import check_steps_output, write_steps
from ..core.environment import peak_memory, versions
from ..core.errors import OptionError
from ..core.files import explain_write_errors, file_sha256, restored_if_refused, write_report
from ..core.kinds import checked
from ..core.labels import class_volumes
from ..core.modalities import Modality, Subset, by_modality, subset_name
from ..core.progress import Event, Progress, ProgressStage, reporter
from ..core.words import unknown_name
from ..datasets.case import ImageFile
from ..imaging.content import volumes_sha256
from ..imaging.diameters import axial_diameters
from ..imaging.file_facts import files_facts
from ..imaging.prepared import VERSION
from ..imaging.reading import Study, read_volumes
from ..runtime.devices import choose_device, describe_device
from .card import PRECISIONS
from .expected_dice import Grade, expect
from .locations import bundled_student
from .prediction import Prediction
from .request_checks import check_request, check_unchanged, chosen_grid, read_beside
from .result_file import check_source, placing_result
from .segmentation_report import SegmentationReport, content_of, is_as_written, report_path, with_checksum
from .sliding_window import computed_precision
from .student import Student
from .target_grid import GridChoice, check_grid_choice, grid_told, target_grid

_NO_REPORT = "Without its report no output was kept. Choose another output folder or a shorter name."


@checked
def segment_files(
    inputs: Mapping[Modality | str, Path | str],
    output: Path | str,
    student: Path | str | None = None,
    device: str | torch.device = "auto",
    labels: str = "classes",
    on_progress: Progress | None = None,
    steps: Steps | None = None,
    steps_output: Path | str | None = None,
    grid: Modality | Path | str | None = None,
    overwrite: bool = False,
    precision: str = "auto",
) -> dict[str, Any]:
    """Segment the tumor in one to four volumes of a patient and write the result with its report.

    Args:
        inputs: files by modality, or by one of its names (``"FLAIR"``, ``"t1c"``); the result lies on the
            grid of the first one where ``grid`` is None.
        output: .seg.nrrd (a segmentation of 3D Slicer), .nii.gz, .nii or .nrrd (numbers). The report goes
            beside it: ``tumor.seg.nrrd`` -> ``tumor.seg.nrrd.report.json``. Both are there, or neither.
        student: the trained network; the bundled one when None.
        device: see :func:`devices.choose_device`.
        labels: convention of the numbers in ``output``, a key of :data:`labels.CONVENTIONS`.
        on_progress: called with the stages ``read``, ``register``, ``strip``, ``check``, ``prepare``,
            ``segment`` and ``write``, of those that have something to do.
        steps: what is done to raw volumes first; all that they need where None.
        steps_output: folder for what these steps have made, see
            :func:`~..clinical.steps_output.write_steps`; nothing of it is kept where None.
        grid: the volume on whose voxels the result lies, by its modality (or the name of one), or the file of
            any other volume of the patient.
        overwrite: replace ``output``, and files in ``steps_output``, whatever they are; else only a result,
            beside which its report lies, and what an earlier segmentation has left there.
        precision: of the network, one of :data:`.card.PRECISIONS`; the report tells which was used.

    Returns:
        The report, see :class:`.SegmentationReport`.

    Raises:
        ImageError: no volume, one given twice, one unfit, or volumes that do not overlap.
        StudentError: there is no student, or the file is none.
        OptionError: unknown modality, kind of output, convention, device or precision; no place to write to.
    """
    begin, notify = time.perf_counter(), reporter(on_progress)
    paths = {modality: Path(path) for modality, path in by_modality(inputs).items()}
    output, student = Path(output), Path(student or bundled_student())
    beside = read_beside(steps, grid)
    check_request(paths, paths, output, student, labels, overwrite, beside)
    kept = None if steps_output is None else Path(steps_output)
    if kept is not None:
        check_steps_output(kept, (*paths.values(), *beside), overwrite, (output, report_path(output)))
    segmenter = Segmenter(student, device, steps, chosen_grid(grid, paths, paths), precision=precision)
    study = grid_told(_read_study(paths, notify), segmenter.grid, paths.values())
    files = files_facts({modality: ImageFile(path) for modality, path in paths.items()})
    return segmenter.segment(study, output, labels, notify, begin, files, kept)


class Segmenter:
    """A student loaded onto a device, for one patient after another.

    Args:
        student: the trained network.
        device: see :func:`devices.choose_device`.
        steps: what is done to raw volumes first; all that they need where None.
        grid: on whose voxels results lie, see :func:`segment_files`; the first volume's where None.
        regions: add whole tumor and tumor core to DICOM objects.
        precision: of the network, one of :data:`.card.PRECISIONS`.

    Attributes:
        student: path, name and SHA-256 of the file, as reports name them.
        steps: what is done to raw volumes first.
        grid, regions, precision: as given.

    Raises:
        StudentError: there is no student, or the file is none.
        OptionError: there is no such device or precision.
    """

    def __init__(
        self,
        student: Path,
        device: str | torch.device,
        steps: Steps | None = None,
        grid: GridChoice | None = None,
        regions: bool = False,
        precision: str = "auto",
    ) -> None:
        if precision not in PRECISIONS:
            raise OptionError(unknown_name("precision", precision, PRECISIONS))
        self.steps = steps or Steps()
        self.grid, self.regions, self.precision = grid, regions, precision
        self._device = choose_device(device)
        self._network = Student.load(student)
        self._network.precision = precision
        name = self._network.card.get("name", student.stem)
        self.student = {"path": str(student), "name": name, "sha256": file_sha256(student)}

    def segment(
        self,
        study: Study,
        output: Path,
        labels: str,
        on_progress: Progress | None = None,
        begin: float | None = None,
        files: Mapping[str, Mapping[str, Any]] | None = None,
        steps_output: Path | None = None,
        dicom: Mapping[str, Any] | None = None,
        sources: Mapping[Modality, Sequence[Path]] | None = None,
    ) -> dict[str, Any]:
        """One patient's volumes, to a file with its report as in :func:`segment_files`.

        Args:
            begin: ``time.perf_counter()`` from which on the report's seconds count; now where None.
            files: what the files of the volumes hold, see :func:`~..imaging.file_facts.files_facts`.
            steps_output: as in :func:`segment_files`.
            dicom: which series they are, see :class:`.SegmentationReport`.
            sources: files of these series, to which a DICOM object refers.
        """
        begin, started = begin or time.perf_counter(), datetime.now(UTC)
        notify = reporter(on_progress)
        check_source(output, self._source(study, sources or {}))
        before = content_of(output)
        ready, prediction = self.predict(study, notify, steps_output)
        told = {"files": files, "dicom": dicom, "sources": sources}
        return self.write(study, ready, prediction, output, labels, notify, before, begin, started, **told)

    def predict(
        self, study: Study, notify: Progress, steps_output: Path | None = None
    ) -> tuple[Ready, Prediction]:
        """One patient's volumes made ready, and what the student finds in them; nothing is written."""
        check_grid_choice(self.grid, study.images)
        ready = make_ready(study, self.steps, notify)
        if steps_output is not None:
            write_steps(study, ready.study, steps_output)
        target = target_grid(self.grid, study, ready.study)
        return ready, self._network.predict(ready.study, self._device, notify, target)

    def write(
        self,
        study: Study,
        ready: Ready,
        prediction: Prediction,
        output: Path,
        labels: str,
        notify: Progress,
        before: str | None,
        begin: float | None = None,
        started: datetime | None = None,
        files: Mapping[str, Mapping[str, Any]] | None = None,
        dicom: Mapping[str, Any] | None = None,
        sources: Mapping[Modality, Sequence[Path]] | None = None,
    ) -> dict[str, Any]:
        """The result of :meth:`predict` to a file with its report; arguments as in :meth:`segment`.

        Args:
            before: :func:`.segmentation_report.content_of` the output as the segmentation began.

        Raises:
            OptionError: the output is another one by now, or cannot be written.
        """
        begin = begin or time.perf_counter() - prediction.seconds
        started = started or datetime.now(UTC) - timedelta(seconds=prediction.seconds)
        # not the device asked for: where a GPU's memory does not do, the CPU has taken over
        used = torch.device(prediction.device)
        notify(Event(ProgressStage.WRITE, 0, 1, output.name))
        findings = _findings(prediction)
        made_by = {"network": self.student["name"], "sha256": self.student["sha256"]}
        made_by["sequences"] = subset_name(prediction.subset)
        source = self._source(study, sources or {})
        check_unchanged(output, before)
        # the report takes its place first: it knows the result of before, should a kill come between both
        replaced = before if is_as_written(output) else None
        with (
            restored_if_refused(report_path(output)),
            placing_result(prediction.labels, output, labels, self.regions, source, made_by) as file,
        ):
            seconds = {"total": time.perf_counter() - begin, "prediction": prediction.seconds}
            facts = SegmentationReport(
                command="segment",
                started=started.isoformat(timespec="seconds"),
                versions=versions(),
                preparation=VERSION,
                device={"name": prediction.device, "description": describe_device(used)},
                student=self.student,
                computation=self._computation(used),
                inputs={modality.name: name for modality, name in study.names.items()},
                contents={
                    name: {**(files or {}).get(name, {}), "voxels_sha256": voxels}
                    for name, voxels in volumes_sha256(study.images).items()
                },
                dicom=dicom,
                input_steps=ready.facts,
                output=str(output),
                output_sha256=file_sha256(file),
                replaces_sha256=replaced,
                labels=labels,
                grid=self.grid_name,
                regions=self.regions or None,
                expectation=self._expectation(prediction.subset),
                **findings,
                seconds={name: round(value, 3) for name, value in seconds.items()},
                peak_memory_bytes=peak_memory(),
            )
            report = with_checksum(facts.to_json())
            with explain_write_errors(report_path(output), _NO_REPORT, OptionError):
                write_report(report, report_path(output))
        notify(Event(ProgressStage.WRITE, 1, 1, output.name))
        return report

    @property
    def grid_name(self) -> str | None:
        """The chosen grid, as reports have it."""
        return self.grid.name if isinstance(self.grid, Modality) else self.grid and str(self.grid)

    def _computation(self, used: torch.device) -> dict[str, str]:
        """In what precision a device has computed, and how windows were blended, as the report has it."""
        computed = str(computed_precision(used, self.precision)).removeprefix("torch.")
        return {"asked": self.precision, "precision": computed, "blending": self._network.blending}

    def _source(self, study: Study, sources: Mapping[Modality, Sequence[Path]]) -> Sequence[Path]:
        """Files of the series on which the result lies, or to which it belongs."""
        return sources.get(self.grid if isinstance(self.grid, Modality) else study.reference, ())

    def _expectation(self, subset: Subset) -> dict[str, Any] | None:
        """What the student reached with these sequences, as the report has it."""
        found = expect(self._network.card, subset)
        if found is None:
            return None
        advice = {"advice": list(map(str, found.changes))} if found.changes else {}
        return {"dice": _rounded(found.dice), "cases": found.cases, **advice}


def _findings(prediction: Prediction) -> dict[str, Any]:
    """The entries of the report about the tumor."""
    array = sitk.GetArrayViewFromImage(prediction.labels)
    volumes = class_volumes(array, math.prod(prediction.labels.GetSpacing()))
    warnings = list(prediction.warnings)
    if not volumes["WT"]:
        warnings.append("No tumor was found: the segmentation is empty.")
    warnings += _doubts(prediction)
    diameters = axial_diameters(prediction.labels)
    return {
        "modalities": subset_name(prediction.subset),
        "volumes_cm3": {name: round(value, 3) for name, value in volumes.items()},
        "axial_diameters_mm": {name: round(value, 1) for name, value in diameters.items()},
        "presence": _rounded(prediction.presence),
        "estimated_dice": _rounded(prediction.estimated_dice),
        "grades": prediction.grades and {name: grade.word for name, grade in prediction.grades.items()},
        "warnings": warnings,
    }


def _rounded(shares: Mapping[str, float] | None) -> dict[str, float] | None:
    return {name: round(share, 3) for name, share in shares.items()} if shares else None


def _doubts(prediction: Prediction) -> list[str]:
    """One sentence where the whole tumor is doubtful; doubts of its parts stand in the grades alone."""
    estimated, grades = prediction.estimated_dice or {}, prediction.grades or {}
    if grades.get("WT") is not Grade.DOUBTFUL:
        return []
    return [
        f"This result is doubtful: a Dice of {estimated['WT']:.2f} is estimated for its whole tumor. "
        "Check every slice, or outline the tumor by hand."
    ]


def _read_study(inputs: Mapping[Modality, Path], notify: Progress) -> Study:
    def on_read(number: int, file: ImageFile) -> None:
        notify(Event(ProgressStage.READ, number, len(inputs), file.path.name))

    study = read_volumes({modality: ImageFile(path) for modality, path in inputs.items()}, on_read)
    notify(Event(ProgressStage.READ, len(inputs), len(inputs)))
    return study
