"""How long work tells what it is doing: one event, and the ways to show it to people or a parent process."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from . import strict_json
from .errors import OptionError
from .printable import printable
from .words import unknown_name


class ProgressStage(StrEnum):
    """What a long job is doing, beside the stages of a training, whose names are those of its recipe.

    The values go over the wire as JSON and are what other programs wait for, so they stay as they are.
    """

    READ = "read"
    REGISTER = "register"
    STRIP = "strip"
    CHECK = "check"
    EVEN_OUT = "even out"
    PREPARE = "prepare"
    CUT_TUMORS = "tumors"
    GROW_TUMORS = "growing tumors"
    SEGMENT = "segment"
    CASES = "cases"
    EVALUATE = "Evaluating"
    WRITE = "write"


@dataclass(frozen=True)
class Event:
    """How far a long job has come.

    Attributes:
        stage: a :class:`ProgressStage` or a stage of a training; a new name starts a new bar.
        step: how much of the stage is done, 0..total.
        total: steps of the stage; 0 where nobody knows.
        message: a short text for people.
        values: numbers worth plotting, e.g. ``{"loss": 0.31}``.
    """

    stage: str
    step: int
    total: int
    message: str = ""
    values: dict[str, float] = field(default_factory=dict)

    def to_json(self) -> str:
        """One line of strict JSON without line breaks; NaN and infinity, which JSON lacks, become null."""
        values = {name: float(value) if math.isfinite(value) else None for name, value in self.values.items()}
        return strict_json.dumps(
            {
                "event": "progress",
                "stage": self.stage,
                "step": int(self.step),
                "total": int(self.total),
                "message": self.message,
                "values": values,
            }
        )

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> Event:
        """The inverse of :meth:`to_json`, from the parsed line; null values come back as NaN."""
        values = {
            name: math.nan if value is None else float(value) for name, value in record["values"].items()
        }
        return cls(record["stage"], record["step"], record["total"], record["message"], values)


Progress = Callable[[Event], None]
"""What long functions accept as ``on_progress``; it must return fast and may raise to stop the work."""


def silent(event: Event) -> None:
    """Show nothing: the :data:`Progress` of whoever asked for none."""


def reporter(on_progress: Progress | None) -> Progress:
    """What events go to, where a caller may have asked for none.

    Raises:
        OptionError: it is nothing that can be called.
    """
    if on_progress is not None and not callable(on_progress):
        raise OptionError(f"on_progress={on_progress!r}: give a function that takes an event, such as print.")
    return on_progress or silent


STYLES: tuple[str, ...] = ("bar", "json", "none")


_LINES_S = 60.0
"""Between lines of one stage: a training of three days fills some thousand, and a look shows it is alive."""


@contextmanager
def progress_printer(style: str) -> Iterator[Progress]:
    """Show events: ``"bar"`` draws on stderr, ``"json"`` prints lines on stdout, ``"none"`` stays silent.

    Where stderr is no terminal but a file or a pipe, a bar is plain lines: for the beginning and the end of a
    stage, and one a minute between.

    Raises:
        OptionError: no such style.
    """
    if style == "bar":
        bar = _Bar() if sys.stderr is not None and sys.stderr.isatty() else _Lines()
        try:
            yield bar
        finally:
            bar.close()
    elif style == "json":
        yield lambda event: print(event.to_json(), flush=True)
    elif style == "none":
        yield silent
    else:
        raise OptionError(unknown_name("progress style", style, STYLES))


def in_a_line(event: Event) -> str:
    """``"train 3/300: epoch 1 of 2, loss 0.31"``."""
    return ": ".join(filter(None, [f"{event.stage} {event.step}/{event.total or '?'}", _notes(event)]))


def _notes(event: Event) -> str:
    """Message and values."""
    values = [f"{name} {value:.4g}" for name, value in event.values.items()]
    return ", ".join(filter(None, [event.message, *values]))


class _Lines:
    """Prints plain lines, for logs."""

    def __init__(self) -> None:
        self._told: tuple[str, int] | None = None
        self._at = 0.0

    def __call__(self, event: Event) -> None:
        now, place = time.monotonic(), (event.stage, event.step)
        begins = self._told is None or self._told[0] != event.stage
        ends = bool(event.total) and event.step >= event.total and place != self._told
        if begins or ends or now - self._at >= _LINES_S:
            print(in_a_line(event), file=sys.stderr, flush=True)
            self._told, self._at = place, now

    def close(self) -> None:
        """All lines are whole."""


class _Bar:
    """Draws one tqdm bar per stage; a bar that is left behind stays on the screen as it was."""

    def __init__(self) -> None:
        self._stage: str | None = None
        self._bar: Any = None

    def __call__(self, event: Event) -> None:
        from tqdm import tqdm

        if event.stage != self._stage:
            self.close()
            self._stage = event.stage
            self._bar = tqdm(desc=event.stage, total=event.total or None, file=sys.stderr, dynamic_ncols=True)
        self._bar.total = event.total or None
        self._bar.set_postfix_str(printable(_notes(event)), refresh=False)
        self._bar.update(event.step - self._bar.n)
        if event.total and event.step >= event.total:
            self._bar.refresh()

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
