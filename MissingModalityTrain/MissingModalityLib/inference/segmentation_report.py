"""The report on a segmentation: the file ``OUTPUT.report.json`` beside it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..core import strict_json
from ..core.files import file_sha256, read_text

_CHECKSUM = "report_sha256"


@dataclass(frozen=True)
class SegmentationReport:
    """What is written beside a segmentation, as JSON with these keys.

    Attributes:
        command: always ``segment``.
        started: date and time (ISO 8601, UTC).
        versions: of the library and what computes, see :func:`.environment.versions`.
        preparation: version of the preparation, see :data:`.prepared.VERSION`; reports of library versions
            before it lack it.
        device: ``name`` (cpu, cuda:0 ...) and ``description`` of what computed.
        student: ``path``, ``name`` and ``sha256`` of the student file.
        computation: ``precision`` that the network computed in (``bfloat16``, ``float16``, ``float32``), what
            was ``asked`` for, and the ``blending`` of windows; reports of earlier versions lack it.
        inputs: file or node name of each volume by modality, e.g. ``FLAIR``; the first is the reference.
        contents: of each volume by modality ``voxels_sha256`` and, of one from a file, the file's ``bytes``
            and ``sha256``; reports of earlier versions lack it.
        dicom: of DICOM input the ``study_uid`` and ``date``, by modality the ``series`` as the command
            ``series`` lists them (``uid``, ``description`` ...), sentences about their ``choice``, and
            ``bytes`` and ``sha256`` of all usable ``files`` of the study; absent for other input.
        input_steps: what was done to the volumes before, see :class:`~..clinical.raw.Ready`: ``asked``,
            ``registration`` by modality (``moved``, and where it was looked for ``shift_mm``,
            ``angle_degrees`` and ``similarity`` before and after) and ``stripping`` (``method``,
            ``brain_cm3``); reports of earlier versions lack it.
        output: path of the segmentation.
        output_sha256: of that file's bytes; reports of earlier versions lack it.
        replaces_sha256: of the result that lay there before, as a segmentation had written it; absent where
            there was none. A run that was killed as it put both files in place has left that one there.
        labels: convention of the numbers in it, a key of :data:`.labels.CONVENTIONS`.
        grid: modality or file of the volume on whose grid it lies; absent for the reference.
        regions: true where whole tumor and tumor core are segments of it; else absent.
        modalities: the subset that was used, e.g. ``FLAIR+T1ce``.
        volumes_cm3: of NCR, ED, ET and the regions WT and TC, and of RC where a cavity was found.
        axial_diameters_mm: longest, of the same, see :func:`.diameters.axial_diameters`.
        expectation: ``dice`` of WT, TC and ET, means over as many ``cases``, that the student reached with
            these sequences in its own evaluation, and ``advice``, sentences about what gets better and worse
            by adding or leaving out sequences; absent where there is none.
        presence: probability, 0..1, that the case holds NCR, ED and ET at all; the key is absent for students
            without that output.
        estimated_dice: of WT, TC and ET, 0..1, what the student expects of this very result, see
            :mod:`.dice_estimate`; the key is absent for students without calibration.
        grades: how far to trust each of them, ``reliable``, ``check`` or ``doubtful``; absent likewise.
        warnings: sentences for the user.
        seconds: ``total`` and ``prediction``.
        peak_memory_bytes: most main memory that the process held; 0 where the system does not report it.

    In the file ``report_sha256`` comes last, see :func:`with_checksum`; reports of earlier versions lack it.
    """

    command: str
    started: str
    versions: Mapping[str, str]
    preparation: int
    device: Mapping[str, str]
    student: Mapping[str, str]
    computation: Mapping[str, str]
    inputs: Mapping[str, str]
    contents: Mapping[str, Mapping[str, Any]]
    dicom: Mapping[str, Any] | None
    input_steps: Mapping[str, Any]
    output: str
    output_sha256: str
    replaces_sha256: str | None
    labels: str
    grid: str | None
    regions: bool | None
    modalities: str
    volumes_cm3: Mapping[str, float]
    axial_diameters_mm: Mapping[str, float]
    expectation: Mapping[str, Any] | None
    presence: Mapping[str, float] | None
    estimated_dice: Mapping[str, float] | None
    grades: Mapping[str, str] | None
    warnings: list[str]
    seconds: Mapping[str, float]
    peak_memory_bytes: int

    def to_json(self) -> dict[str, Any]:
        """Plain values in the order above."""
        return {name: value for name, value in asdict(self).items() if value is not None}


def with_checksum(report: Mapping[str, Any]) -> dict[str, Any]:
    """A report with the SHA-256 of its other entries, by which a number that somebody edited shows."""
    return {**report, _CHECKSUM: _digest(report)}


def is_unchanged(report: Mapping[str, Any]) -> bool:
    """Whether a report that was read is as it was written; one without checksum may be."""
    return report.get(_CHECKSUM, _digest(report)) == _digest(report)


def _digest(report: Mapping[str, Any]) -> str:
    rest = {name: value for name, value in report.items() if name != _CHECKSUM}
    return hashlib.sha256(strict_json.dumps(rest).encode()).hexdigest()


def report_path(output: Path) -> Path:
    """Where the report on ``output`` goes: ``tumor.nii.gz`` -> ``tumor.nii.gz.report.json``.

    Not ``tumor.json``, which many data sets keep beside a volume for facts of their own.
    """
    return output.with_name(f"{output.name}.report.json")


def is_as_written(output: Path) -> bool:
    """Whether the report beside a file says that a segmentation has written it, just as it is.

    Reports of earlier versions do not tell what the file held; they are believed.
    """
    try:
        report = strict_json.loads(read_text(report_path(output)))
        written = report.get("output_sha256"), report.get("replaces_sha256")
        return written[0] is None or file_sha256(output) in written
    except (OSError, ValueError, AttributeError):
        return False


def content_of(output: Path) -> str | None:
    """SHA-256 of a file, None where there is none that can be read."""
    try:
        return file_sha256(output)
    except OSError:
        return None


def is_of_before(output: Path, report: Mapping[str, Any]) -> bool:
    """Whether a file is the result that the one of its report was to replace, as a killed run leaves it.

    Raises:
        OSError: the file cannot be read.
    """
    written, replaced = report.get("output_sha256"), report.get("replaces_sha256")
    return replaced is not None and written != replaced == file_sha256(output)
