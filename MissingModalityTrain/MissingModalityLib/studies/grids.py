"""Tables in the layouts of papers: cells of text, beside the printed numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

from ..core.labels import CAVITY_REGION, REGIONS
from ..core.modalities import SUBSETS, subset_name
from ..evaluation.averages import tells_cavity
from ..evaluation.measures import measure
from ..evaluation.metrics import ET_FILTERED, SCORED_REGIONS
from ..evaluation.tables import PRINTED_ORDER, dots
from .study import Row, Study

ALL = ""
"""In place of a subset's name: the mean over all of them."""

NOT_AVAILABLE = "not available"
NOT_YET = "not trained yet"
TRAINED_ON = "trained on since it was scored"

Evaluation = Mapping[str, Any]
Printed = Callable[[str, str, str, str], float | None]
"""(method, subset, region, metric) -> the number that the paper prints, Dice in % or mm, None for none."""

Grid = list[list[str]]
"""Lines of cells, the head first."""


@dataclass(frozen=True)
class Scored:
    """A row and what it was scored.

    Attributes:
        row: of the table.
        evaluations: one for each division and seed, by the subset that they are for; :data:`ALL` for all.
        absent: why there are none, for readers.
    """

    row: Row
    evaluations: Mapping[str, Sequence[Evaluation]]
    absent: str = ""

    def numbers(self, subset: str, region: str, metric: str) -> list[float]:
        """The score of each division and seed, Dice in %, HD95 in mm; empty where there is none."""
        if subset == ALL:
            means = [one["averages"]["all"] for one in self.evaluations.get(ALL, ())]
        else:
            own = self.evaluations.get(subset, self.evaluations.get(ALL, ()))
            means = [entry for one in own for entry in one["subsets"] if entry["subset"] == subset]
        factor = 100 if metric == "dice" else 1
        return [factor * entry[metric][region] for entry in means if region in entry[metric]]


def grid_of(study: Study, rows: Sequence[Scored], printed: Printed, metric: str) -> Grid:
    """The table of a metric in the study's layout."""
    layouts = {"means": _means, "subsets": _subsets, "methods": _methods}
    return layouts[study.layout](study, rows, printed, metric)


def printed_region(study: Study, region: str, metric: str) -> str | None:
    """The region whose printed numbers belong to a column; None for a column that papers do not print."""
    if study.et_filtered and metric == "dice":
        return {"ET": None, ET_FILTERED: "ET", CAVITY_REGION: None}.get(region, region)
    return region if region in REGIONS else None


def _means(study: Study, rows: Sequence[Scored], printed: Printed, metric: str) -> Grid:
    """A line for each row; ours, printed, and ours less printed."""
    regions = _regions(rows, metric)
    beside = [region for region in regions if printed_region(study, region, metric)] if study.source else []
    head = ["", *(f"{measure(metric).title} {region}" for region in regions)]
    names = [printed_region(study, region, metric) for region in beside]
    head += [f"{name} printed" for name in names] + [f"{name} less printed" for name in names]
    body = []
    for scored in rows:
        ours = [_cell(scored, ALL, region, metric) for region in regions]
        theirs = [_beside(study, scored, ALL, region, metric, printed) for region in beside]
        body.append([scored.row.name, *ours, *(cell for cell, _ in theirs), *(cell for _, cell in theirs)])
    return [head, *body]


def _subsets(study: Study, rows: Sequence[Scored], printed: Printed, metric: str) -> Grid:
    """A line for each subset, a column for each row within each region, means and printed means below."""
    columns = [(region, scored) for region in _regions(rows, metric) for scored in rows]
    head = [modality.title for modality in PRINTED_ORDER]
    head += [f"{measure(metric).title} {region} {scored.row.name}" for region, scored in columns]
    body = [
        [*dots(name), *(_cell(scored, name, region, metric) for region, scored in columns)]
        for name in map(subset_name, SUBSETS)
    ]
    blank = [""] * (len(PRINTED_ORDER) - 1)
    body.append(["Average", *blank, *(_cell(scored, ALL, region, metric) for region, scored in columns)])
    if study.source:
        beside = [_beside(study, scored, ALL, region, metric, printed) for region, scored in columns]
        body.append(["Average, printed", *blank, *(cell for cell, _ in beside)])
        body.append(["Average less printed", *blank, *(cell for _, cell in beside)])
    return [head, *body]


def _methods(study: Study, rows: Sequence[Scored], printed: Printed, metric: str) -> Grid:
    """A line for each row within each region, a column for each subset; the printed ones below each."""
    names = [*study.subsets] or [*map(subset_name, SUBSETS), ALL]
    body = []
    for region in _regions(rows, metric):
        for scored in rows:
            title = [f"{measure(metric).title} {region}", scored.row.name]
            body.append([*title, *(_cell(scored, name, region, metric) for name in names)])
            beside = [_beside(study, scored, name, region, metric, printed) for name in names]
            if any(cell for cell, _ in beside):
                body.append([*title[:1], f"{title[1]}, printed", *(cell for cell, _ in beside)])
                body.append([*title[:1], f"{title[1]} less printed", *(cell for _, cell in beside)])
    return [["", "", *(name or "Average" for name in names)], *body]


def _regions(rows: Sequence[Scored], metric: str) -> tuple[str, ...]:
    """Columns of a metric: of the resection cavity where a row has scored it."""
    evaluations = (one for scored in rows for members in scored.evaluations.values() for one in members)
    cavity = [CAVITY_REGION] if any(map(tells_cavity, evaluations)) else []
    return (*(SCORED_REGIONS if metric == "dice" else REGIONS), *cavity)


def _cell(scored: Scored, subset: str, region: str, metric: str) -> str:
    """Mean over divisions and seeds, with their spread where there are several."""
    if scored.absent:
        return scored.absent
    numbers = scored.numbers(subset, region, metric)
    if not numbers:
        return ""
    spread = f" \N{PLUS-MINUS SIGN} {stdev(numbers):.2f}" if len(numbers) > 1 else ""
    return f"{fmean(numbers):.2f}{spread}"


def _beside(
    study: Study, scored: Scored, subset: str, region: str, metric: str, printed: Printed
) -> tuple[str, str]:
    """The printed number, and ours less it."""
    theirs = printed_region(study, region, metric)
    number = printed(scored.row.printed, subset, theirs, metric) if theirs and scored.row.printed else None
    if number is None:
        return "", ""
    numbers = scored.numbers(subset, region, metric)
    return f"{number:.2f}", f"{fmean(numbers) - number:+.2f}" if numbers else ""
