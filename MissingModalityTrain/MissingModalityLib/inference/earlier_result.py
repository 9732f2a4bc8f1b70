"""What lies in the place of a case's result: one like it, one of other files, or somebody's work."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .. import __version__
from ..core import strict_json
from ..core.errors import ImageError
from ..core.files import image_suffix, read_text
from ..imaging.integrity import check_file
from ..imaging.prepared import VERSION
from .card import PRECISIONS
from .folder_patients import Patient
from .request_checks import check_replaced
from .segment_files import Segmenter
from .segmentation_report import is_as_written, is_of_before, is_unchanged, report_path


def done_before(case: Patient, path: Path, segmenter: Segmenter, labels: str) -> dict[str, Any] | None:
    """The report on a result of before, where segmenting again would give the same; else None."""
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


def keep_work(path: Path) -> None:
    """Raise OptionError where a file is no result as it was written, but somebody's work.

    A result that is cut off is nobody's.
    """
    if not _is_cut_off(path):
        check_replaced(path, "It is kept; move it elsewhere to have the case segmented.")


def _is_cut_off(path: Path) -> bool:
    if not report_path(path).exists() or not image_suffix(path):
        return False
    try:
        check_file(path)
    except ImageError:
        return True
    return False


def left_there(path: Path) -> str:
    """A sentence where a case that failed has a result of before, which could pass for one of this run."""
    if not path.exists() or not is_as_written(path):
        return ""
    return f" {path.name} is the result of an earlier run, of other files or made otherwise."
