"""Numbers as papers print them, from the file that is shipped with their sources."""

from __future__ import annotations

import csv
import io
from functools import cache
from importlib.resources import files

from .. import evaluation
from .grids import Printed

_METRICS = {"dice": "Dice %", "hd95": "HD95 mm"}
_AVERAGE = "average"


def printed_numbers(source: str, data_set: str) -> Printed:
    """A look-up in one table of one paper on one data set."""

    def look_up(method: str, subset: str, region: str, metric: str) -> float | None:
        return _facts().get((source, data_set, method, subset or _AVERAGE, region, _METRICS[metric]))

    return look_up


@cache
def _facts() -> dict[tuple[str, ...], float]:
    text = files(evaluation).joinpath("published.csv").read_text("utf-8")
    reader = csv.reader(io.StringIO(text))
    next(reader)
    return {tuple(line[:-1]): float(line[-1]) for line in reader}
