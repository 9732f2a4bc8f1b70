"""What can be a score, held against files that are read back: they may have been edited or damaged."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ..core.labels import CAVITY_REGION
from ..core.modalities import subset_name
from .hd95_rules import HD95_DEFINITIONS, HD95_RULES, definition_of
from .measures import MEASURES
from .metrics import ET_FILTERED, scored_regions
from .row import Row

_DISTANCES = ("hd95", "lesion_hd95")
_SHARES = (*(name for name, measure in MEASURES.items() if measure.factor == 100), "presence")
_COUNTS = ("predicted", "reference", "lesions_found", "lesions_missed", "lesions_invented")

MOST_MM = 2000
"""Of a distance: volumes measure up to 600 mm along a side, so their diagonals 1040 mm."""


def check_row(row: Row) -> None:
    """Refuse a row that no evaluation gives.

    Raises:
        ValueError: an unknown region, a Dice outside 0..1, a distance that is negative or no number, a
            negative count of voxels, or a feature that is no finite number.
    """
    if row.region not in scored_regions(cavity=True):
        raise ValueError(f"there is no region {row.region!r:.60}")
    for names, most, allowed in (
        (_SHARES, 1, "a number from 0 to 1"),
        (_DISTANCES, MOST_MM, f"a number of millimeters from 0 to {MOST_MM}"),
        (_COUNTS, math.inf, "a number of voxels or lesions"),
        (("voxel_mm3",), MOST_MM, "a number of cubic millimeters"),
    ):
        for name in names:
            value = getattr(row, name)
            if value is not None and not (0 <= value <= most and math.isfinite(value)):
                raise ValueError(f"{name} is {value}, and should be {allowed}")
    wrong = [name for name, value in (row.features or {}).items() if not math.isfinite(value)]
    if wrong:
        raise ValueError(f"{wrong[0]} is {row.features[wrong[0]]}, and should be a finite number")


def check_evaluation(summary: Any, rows: Sequence[Row]) -> None:
    """Refuse a summary that is none, rows that are not all there, or two files that are not of each other.

    Args:
        summary: the content of ``summary.json``, whatever it is.
        rows: of ``cases.csv``.

    Raises:
        ValueError: naming the key or the case.
    """
    if not isinstance(summary, Mapping):
        raise ValueError("summary.json is no summary")
    if summary.get("hd95_rule") not in HD95_RULES:
        raise ValueError(f"hd95_rule is {summary.get('hd95_rule')!r:.60} in summary.json")
    if definition_of(summary) not in HD95_DEFINITIONS:
        raise ValueError(f"hd95_definition is {definition_of(summary)!r:.60} in summary.json")
    if not isinstance(summary.get("student"), str):
        raise ValueError("summary.json names no model")
    _check_facts(summary)
    _check_complete(rows)
    try:
        told = {case["name"]: dict(case["reference_voxels"]) for case in summary["cases"]}
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"summary.json does not list its cases ({error!r})") from error
    scored: dict[str, dict[str, set[int]]] = {}
    for row in rows:
        if row.region != ET_FILTERED:
            scored.setdefault(row.case, {}).setdefault(row.region, set()).add(row.reference)
    stated = {case: {region: {count} for region, count in of.items()} for case, of in told.items()}
    unlike = sorted(case for case in {*scored, *stated} if scored.get(case) != stated.get(case))
    if unlike:
        raise ValueError(f"its two files do not tell of the same labels, see case {unlike[0]!r}")


def _check_facts(summary: Mapping[str, Any]) -> None:
    """What tells of the model and how it predicted; earlier versions have neither."""
    for name in ("prediction", "model"):
        if not isinstance(summary.get(name, {}), Mapping):
            raise ValueError(f"{name} is {summary[name]!r:.60} in summary.json")
    for name in ("options", "methods"):
        facts = summary.get("model", {}).get(name, {})
        if not isinstance(facts, Mapping):
            raise ValueError(f"the model's {name} are {facts!r:.60} in summary.json")


def _check_complete(rows: Sequence[Row]) -> None:
    """One row of every region for each case and subset, without which means would be of other cases."""
    if not rows:
        raise ValueError("it has no scores")
    expected = scored_regions(any(row.region == CAVITY_REGION for row in rows))
    found: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        found.setdefault((row.case, subset_name(row.subset)), []).append(row.region)
    for (case, subset), regions in found.items():
        if sorted(regions) != sorted(expected):
            raise ValueError(
                f"case {case!r} has scores of {', '.join(regions)} for {subset}, and should have one of each "
                f"of {', '.join(expected)}"
            )
