"""``log.jsonl`` of a run: one line per epoch."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..atomic import replacing

FILE_NAME = "log.jsonl"


def append(folder: Path, record: dict[str, Any]) -> None:
    """Add a line."""
    with (folder / FILE_NAME).open("a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")


def read(folder: Path) -> list[dict[str, Any]]:
    """The whole lines; what a killed run half wrote is left out."""
    path = folder / FILE_NAME
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [record for record in map(_parsed, lines) if record]


def trim(folder: Path, stages: Sequence[str], stage: str, epochs: int) -> None:
    """Drop lines of what is made again: epochs of ``stage`` after ``epochs``, and later stages."""
    earlier = stages[: list(stages).index(stage)]
    kept = [
        record
        for record in read(folder)
        if record["stage"] in earlier or (record["stage"] == stage and record["epoch"] <= epochs)
    ]
    if (folder / FILE_NAME).exists():
        with replacing(folder / FILE_NAME) as temporary:
            temporary.write_text("".join(json.dumps(record) + "\n" for record in kept), encoding="utf-8")


def _parsed(line: str) -> dict[str, Any] | None:
    try:
        return json.loads(line)
    except ValueError:
        return None
