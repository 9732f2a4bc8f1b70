"""``log.jsonl`` of a run: one line per epoch; imports nothing heavy."""

from __future__ import annotations

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

    @classmethod
    def from_json(cls, line: str) -> LogLine | None:
        """The inverse of :meth:`to_json`; None for what a killed run half wrote."""
        try:
            record: dict[str, Any] = strict_json.loads(line)
            return cls(**{item.name: record[item.name] for item in fields(cls) if item.name in record})
        except (ValueError, TypeError):
            return None


def append(folder: RunFolder, line: LogLine) -> None:
    """Add a line.

    Raises:
        CaseError: it cannot be written, say because the disk is full; half of it may have been.
    """
    with explain_write_errors(folder.log, _REMEDY), folder.log.open("a", encoding="utf-8") as file:
        file.write(line.to_json())


def read(folder: RunFolder) -> list[LogLine]:
    """The whole lines; what a killed run half wrote is left out.

    Raises:
        CaseError: the log is something else.
    """
    try:
        lines = read_text(folder.log).splitlines()
    except FileNotFoundError:
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
