"""Every score of an evaluation in one file: ``cases.csv``."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from ..core.errors import CaseError
from ..core.files import read_text
from ..core.modalities import SUBSETS, subset_name
from ..inference.doubt import FEATURES
from .checks import check_row
from .row import Row

_LONGEST_TABLE = 1 << 28
"""Bytes of scores; ten thousand cases of all subsets have two thirds of it."""

_SUBSETS_BY_NAME = {subset_name(subset): subset for subset in SUBSETS}

_COLUMNS = tuple(field.name for field in fields(Row) if field.name != "features")

SCORE_COLUMNS = (*_COLUMNS, *FEATURES)
"""Of the table, all that is told of a result."""

_ALWAYS = ("case", "subset", "region", "dice", "hd95", "predicted", "reference")
"""Columns of the first versions."""

_COUNTS = ("predicted", "reference", "lesions_found", "lesions_missed", "lesions_invented")
_TEXTS = ("case", "subset", "region")


def rows_to_csv(rows: Iterable[Row]) -> str:
    """One line per row under a header of the field names of :class:`Row`; the subset by name.

    In place of ``features`` stands a column for each; a cell of what a row does not have is empty.
    """
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, SCORE_COLUMNS, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        cells = {name: getattr(row, name) for name in _COLUMNS}
        writer.writerow({**cells, "subset": subset_name(row.subset), **(row.features or {})})
    return buffer.getvalue()


def scores_sha256(text: str) -> str:
    """SHA-256 of the text of a table of scores, hexadecimal, whichever ends its lines have."""
    return hashlib.sha256("\n".join(text.splitlines()).encode()).hexdigest()


def read_rows(path: Path) -> list[Row]:
    """The rows of a file that holds what :func:`rows_to_csv` gave, in this or an earlier version.

    Raises:
        CaseError: the file is absent or was not written by :func:`rows_to_csv`, or a number in it cannot be
            the score that its column names.
    """
    try:
        return rows_from_csv(read_text(path, _LONGEST_TABLE))
    except (OSError, ValueError) as error:
        raise CaseError(
            f"{path} is not a table of scores ({error}). Choose a folder that an evaluation has written, or "
            "evaluate again."
        ) from error


def rows_from_csv(text: str) -> list[Row]:
    """The inverse of :func:`rows_to_csv`, also of texts of earlier versions with fewer columns.

    Raises:
        ValueError: it is none, or a number in it cannot be the score that its column names.
    """
    records = csv.DictReader(io.StringIO(text, newline=""))
    try:
        return [_checked_row(record, records.line_num) for record in records]
    except csv.Error as error:
        raise ValueError(str(error)) from error


def row_of(record: Mapping[str, Any]) -> Row:
    """A row from one of the dicts that evaluations hold."""
    return Row(**{**record, "subset": _SUBSETS_BY_NAME[record["subset"]]})


def _checked_row(record: dict[str, str], line: int) -> Row:
    """A row of the file.

    Raises:
        ValueError: it is none, with the number of its line.
    """
    try:
        row = _row(record)
        check_row(row)
    except KeyError as error:
        raise ValueError(f"line {line}: there is no {error}") from error
    except (ValueError, TypeError) as error:
        raise ValueError(f"line {line}: {error}") from error
    return row


def _row(record: dict[str, str]) -> Row:
    features = {name: float(record[name]) for name in FEATURES if record.get(name)}
    cells = {name: record[name] for name in _ALWAYS}
    cells |= {name: record[name] for name in _COLUMNS if name not in _ALWAYS and record.get(name)}
    numbers = {
        name: int(text) if name in _COUNTS else float(text)
        for name, text in cells.items()
        if name not in _TEXTS
    }
    return Row(
        case=cells["case"],
        subset=_SUBSETS_BY_NAME[cells["subset"]],
        region=cells["region"],
        **numbers,
        features=features or None,
    )
