"""The table of a folder's results: one line for each case that is segmented or failed."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..core.errors import OptionError
from ..core.labels import CAVITY_REGION, REGIONS, TUMOR_CLASSES
from .folder_patients import Patient

TABLE_FILE = "volumes.csv"
_FIRST_COLUMNS, _LAST_COLUMNS = ("case", "modalities"), ("warnings", "error")
_MEASURES = {"volumes_cm3": "cm3", "axial_diameters_mm": "mm"}
_JUDGED = {"estimated_dice": "estimated_dice", "grades": "grade"}
_CLASSES = tuple(cls.name for cls in TUMOR_CLASSES)
_MEASURED = (*REGIONS, *(name for name in _CLASSES if name not in REGIONS))


def table_text(
    cases: Iterable[Patient], reports: Mapping[str, Mapping[str, Any]], failed: Mapping[str, str]
) -> str:
    """The table as CSV; columns that no report fills are left out.

    Args:
        cases: all of the folder, in the order of the lines.
        reports: of those that are segmented, by name.
        failed: why the others are not, by name; a case of neither has no line.
    """
    measured = (*_MEASURED, CAVITY_REGION) if _any_cavity(reports) else _MEASURED
    present = _CLASSES if _any_with("presence", reports) else ()
    expected = REGIONS if _any_with("expectation", reports) else ()
    judged = REGIONS if _any_with("grades", reports) else ()
    columns = [
        *(f"{name}_{unit}" for unit in _MEASURES.values() for name in measured),
        *(f"{name}_present" for name in present),
        *(f"{name}_expected_dice" for name in expected),
        *(f"{name}_{what}" for name in judged for what in _JUDGED.values()),
    ]
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow([*_FIRST_COLUMNS, *columns, *_LAST_COLUMNS])
    for case in cases:
        report = reports.get(case.name)
        if report:
            dice = report.get("expectation", {}).get("dice", {})
            numbers = [
                # a result without a cavity has none of its volume
                *(report[measure].get(name, 0) for measure in _MEASURES for name in measured),
                *(report.get("presence", {}).get(name, "") for name in present),
                *(dice.get(name, "") for name in expected),
                *(report.get(key, {}).get(name, "") for name in judged for key in _JUDGED),
            ]
            warnings = " ".join([*report["warnings"], *case.beside])
            lines.writerow([case.name, report["modalities"], *numbers, warnings, ""])
        elif case.name in failed:
            lines.writerow([case.name, "", *[""] * len(columns), " ".join(case.beside), failed[case.name]])
    return text.getvalue()


def _any_with(key: str, reports: Mapping[str, Mapping[str, Any]]) -> bool:
    return any(key in report for report in reports.values())


def _any_cavity(reports: Mapping[str, Mapping[str, Any]]) -> bool:
    return any(CAVITY_REGION in report["volumes_cm3"] for report in reports.values())


def refuse_foreign_table(table: Path) -> None:
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
