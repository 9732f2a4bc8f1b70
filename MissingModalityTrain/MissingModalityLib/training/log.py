"""``log.jsonl`` of a run: one line per epoch."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..core.errors import CaseError
from ..core.files import atomic_write

FILE_NAME = "log.jsonl"


def append(folder: Path, record: dict[str, Any]) -> None:
    """Add a line.

    Raises:
        CaseError: it cannot be written, say because the disk is full; half of it may have been.
    """
    try:
        with (folder / FILE_NAME).open("a", encoding="utf-8") as file:
            file.write(_line(record))
    except OSError as error:
        raise _unwritable(folder, error) from error


def read(folder: Path) -> list[dict[str, Any]]:
    """The whole lines; what a killed run half wrote is left out."""
    try:
        lines = (folder / FILE_NAME).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        lines = []
    return [record for record in map(_parsed, lines) if record]


def trim(folder: Path, stages: Sequence[str], stage: str, epochs: int) -> None:
    """Drop lines of what is made again: epochs of ``stage`` after ``epochs``, later stages, halves of lines.

    Raises:
        CaseError: the log cannot be written.
    """
    earlier = stages[: list(stages).index(stage)]
    kept = [
        record
        for record in read(folder)
        if record["stage"] in earlier or (record["stage"] == stage and record["epoch"] <= epochs)
    ]
    path, text = folder / FILE_NAME, "".join(map(_line, kept))
    try:
        if path.exists() and path.read_text(encoding="utf-8") != text:
            with atomic_write(path) as temporary:
                temporary.write_text(text, encoding="utf-8")
    except OSError as error:
        raise _unwritable(folder, error) from error


def _line(record: dict[str, Any]) -> str:
    return json.dumps(record) + "\n"


def _unwritable(folder: Path, error: OSError) -> CaseError:
    return CaseError(
        f"{folder / FILE_NAME}: the log cannot be written ({error}). The last checkpoint is whole: free some "
        "space and resume."
    )


def _parsed(line: str) -> dict[str, Any] | None:
    try:
        return json.loads(line)
    except ValueError:
        return None
