"""``log.jsonl`` of a run, one line per epoch, and ``log.csv``, the same as a table; imports nothing heavy."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from ..core import strict_json
from ..core.errors import CaseError
from ..core.files import explain_write_errors, read_text, write_text
from .run_folder import RunFolder

_REMEDY = "The last checkpoint is whole: free some space and resume."


@dataclass(frozen=True, kw_only=True)
class LogLine:
    """A line of ``log.jsonl``: what one epoch has brought.

    Attributes:
        stage: its stage.
        epoch: its number within the stage, from 1.
        learning_rate: of its last step.
        loss: mean over the epoch's steps of every term of the loss by name, ``total`` among them.
        waiting: share of its time, 0 to 1, that steps waited for patches.
        dice: scores of the validation by "SUBSET REGION" and their ``mean``, 0 to 1; empty where no case
            allows any subset, absent after epochs that are not validated.
        seconds: that it took, validation included.
    """

    stage: str
    epoch: int
    learning_rate: float | None = None
    loss: Mapping[str, float]
    waiting: float | None = None
    dice: Mapping[str, float] | None = None
    seconds: float

    def to_json(self) -> str:
        """The line, with its line break; without what is None."""
        return (
            strict_json.dumps({name: value for name, value in asdict(self).items() if value is not None})
            + "\n"
        )

    def numbers(self) -> dict[str, float]:
        """All that was measured by name: ``loss.total``, ``dice.FLAIR+T1ce WT``, ``learning_rate``..."""
        loss = {f"loss.{name}": value for name, value in self.loss.items()}
        dice = {f"dice.{name}": value for name, value in (self.dice or {}).items()}
        plain = {"learning_rate": self.learning_rate, "waiting": self.waiting, "seconds": self.seconds}
        return {**{name: value for name, value in plain.items() if value is not None}, **loss, **dice}

    @classmethod
    def from_json(cls, line: str) -> LogLine | None:
        """The inverse of :meth:`to_json`; None for what a killed run half wrote."""
        try:
            record: dict[str, Any] = strict_json.loads(line)
            return cls(**{item.name: record[item.name] for item in fields(cls) if item.name in record})
        except (ValueError, TypeError):
            return None


def append(folder: RunFolder, line: LogLine) -> None:
    """Add a line; the table is made anew, for other stages may have other columns.

    Raises:
        CaseError: it cannot be written, say because the disk is full; half of it may have been.
    """
    with explain_write_errors(folder.log, _REMEDY), folder.log.open("a", encoding="utf-8") as file:
        file.write(line.to_json())
    write_table(folder)


def write_table(folder: RunFolder) -> None:
    """Make the table anew.

    Raises:
        CaseError: it cannot be written.
    """
    with explain_write_errors(folder.table, _REMEDY):
        write_text(to_csv(read(folder)), folder.table)


def to_csv(lines: Sequence[LogLine]) -> str:
    """A table with a row for each epoch; a column without a value there is empty."""
    rows = [{"stage": line.stage, "epoch": line.epoch, **line.numbers()} for line in lines]
    text = io.StringIO()
    columns = dict.fromkeys(name for row in rows for name in row)
    writer = csv.DictWriter(text, list(columns), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def read(folder: RunFolder) -> list[LogLine]:
    """The whole lines; what a killed run half wrote is left out.

    Raises:
        CaseError: the log is something else.
    """
    try:
        lines = read_text(folder.log).splitlines()
    except (FileNotFoundError, NotADirectoryError):
        lines = []
    except (OSError, ValueError) as error:
        raise CaseError(f"{folder.log}: cannot be read ({error}). Move it away, and resume.") from error
    return [line for line in map(LogLine.from_json, lines) if line]


def trim(folder: RunFolder, stages: Sequence[str], stage: str, epochs: int) -> None:
    """Drop lines of what is made again: epochs of ``stage`` after ``epochs``, later stages, halves of lines.

    Raises:
        CaseError: the log cannot be read or written.
    """
    earlier = stages[: list(stages).index(stage)]
    kept = [
        line
        for line in read(folder)
        if line.stage in earlier or (line.stage == stage and line.epoch <= epochs)
    ]
    text = "".join(line.to_json() for line in kept)
    with explain_write_errors(folder.log, _REMEDY):
        if folder.log.exists() and read_text(folder.log) != text:
            write_text(text, folder.log)
            write_table(folder)
