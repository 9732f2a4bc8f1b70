"""Numbers as papers print them, beside what a study has found."""

from __future__ import annotations

from ..evaluation.printed import AVERAGE, METRICS, printed_facts
from .grids import Printed


def printed_numbers(source: str, data_set: str) -> Printed:
    """A look-up in one table of one paper on one data set."""
    columns = {name: column for column, (name, _) in METRICS.items()}

    def look_up(method: str, subset: str, region: str, metric: str) -> float | None:
        return printed_facts().get((source, data_set, method, subset or AVERAGE, region, columns[metric]))

    return look_up
