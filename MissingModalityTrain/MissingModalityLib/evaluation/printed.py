"""Averages as papers print them, from the file that is shipped with their sources."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType

from ..core.errors import OptionError
from ..core.words import unknown_name

FILE = "published.csv"
"""``source``, ``data set``, ``method``, ``available modalities``, ``region``, ``metric`` and ``value``."""

AVERAGE = "average"
"""In place of the modalities: the mean over all subsets."""

METRICS = MappingProxyType({"Dice %": ("dice", 0.01), "HD95 mm": ("hd95", 1.0)})
"""Name in an evaluation, and what the printed number is multiplied by, by the name in the file."""

_PROTOCOLS = MappingProxyType(
    {
        "AEM+KD": "ET is most likely what 'ET>=500' is here.",
        "MST-KDNet": "HD95 is that of '--hd95 pooled --hd95-rule zero', on a crop of 160 x 192 x 128 voxels.",
    }
)
"""What has to be known to stand beside a paper's numbers, by the first word of its source."""

_SLIPS = MappingProxyType(
    {
        ("AEM+KD paper, Table 2", "BRATS2018"): (
            "The printed TC and ET of HeMIS are those that Table 3 prints for BraTS 2015, subset by subset: "
            "one of both is a slip."
        )
    }
)
"""Averages that cannot be what their table says, by source and data set."""


def slip(source: str, data: str) -> str:
    """A sentence on averages of a table that are another's; empty where there are none."""
    return _SLIPS.get((source, data), "")


@dataclass(frozen=True)
class PrintedTable:
    """The averages of one table on one data set.

    Attributes:
        source: paper and table.
        data: the data set.
        protocol: how the numbers were made, where that is not as here by default, and which are no such
            numbers at all.
        lines: by method the value of each metric and region, 0..1 or mm.
    """

    source: str
    data: str
    protocol: str
    lines: Mapping[str, Mapping[tuple[str, str], float]]


Fact = tuple[str, str, str, str, str, str]
"""Source, data set, method, available modalities, region and metric."""


@cache
def printed_facts() -> Mapping[Fact, float]:
    """Every number of the file, in its order and its units."""
    reader = csv.reader(io.StringIO(files(__package__).joinpath(FILE).read_text("utf-8")))
    next(reader)
    return MappingProxyType({tuple(line[:-1]): float(line[-1]) for line in reader})


@cache
def printed_tables() -> Mapping[str, PrintedTable]:
    """Every table that has averages, by a name such as ``aem-kd-table-4``.

    The data set follows in the name where a table has two.
    """
    lines: dict[tuple[str, str], dict[str, dict[tuple[str, str], float]]] = {}
    for (source, data, method, modalities, region, metric), value in printed_facts().items():
        if modalities == AVERAGE:
            name, factor = METRICS[metric]
            table = lines.setdefault((source, data), {})
            table.setdefault(method, {})[name, region] = factor * value
    sources = [source for source, _ in lines]
    return MappingProxyType(
        {
            _slug(source if sources.count(source) == 1 else f"{source} {data}"): PrintedTable(
                source,
                data,
                f"{_PROTOCOLS.get(source.split()[0], '')} {slip(source, data)}".strip(),
                methods,
            )
            for (source, data), methods in lines.items()
        }
    )


def printed_table(name: str) -> PrintedTable:
    """The table of a name.

    Raises:
        OptionError: there is none.
    """
    tables = printed_tables()
    if name not in tables:
        raise OptionError(unknown_name("printed table", name, tables))
    return tables[name]


def _slug(source: str) -> str:
    """``"AEM+KD paper, Table 4"`` -> ``"aem-kd-table-4"``."""
    return re.sub(r"[^a-z0-9]+", "-", source.lower().replace(" paper", ""))
