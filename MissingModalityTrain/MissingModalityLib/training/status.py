"""How far a run has come and how long it may still take, from its files alone; imports nothing heavy."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from ..core.errors import CaseError
from ..core.progress import Event
from . import log
from .log import LogLine
from .record import RunRecord
from .run_folder import RunFolder
from .settings import Settings

_RECENT = 20
"""Epochs that the pace is taken from: enough that a single slow one, validated say, hardly counts, few
enough to follow a machine that others have come to share."""


@dataclass(frozen=True)
class RunStatus:
    """Of a run.

    Attributes:
        record: what ``run.json`` holds.
        epochs: the lines of its log.
        step, steps: optimizer steps done and to be done, over all stages.
        seconds_left: None before the first epoch is over.
        finished: whether the last stage is over.
    """

    record: RunRecord
    epochs: Sequence[LogLine]
    step: int
    steps: int
    seconds_left: float | None
    finished: bool


def run_status(run: Path, event: Event | None = None) -> RunStatus | None:
    """Where a run stands; None where the folder holds none (yet), or one that cannot be read.

    Args:
        run: its folder.
        event: the latest of a running training: how far the epoch has come.
    """
    folder = RunFolder(run)
    try:
        record = RunRecord.read(folder)
        epochs = log.read(folder)
    except (CaseError, OSError):
        return None
    stages = record.plan.stages
    done = {name: _steps_done(name, settings, epochs, event) for name, settings in stages.items()}
    steps = {name: settings.epochs * settings.iterations_per_epoch for name, settings in stages.items()}
    pace = _paces(epochs, stages)
    left = sum((steps[name] - done[name]) * pace[name] for name in stages) if pace else None
    finished = bool(stages) and os.path.isfile(folder.student(list(stages)[-1]))
    return RunStatus(record, epochs, sum(done.values()), sum(steps.values()), left, finished)


def _steps_done(stage: str, settings: Settings, epochs: Sequence[LogLine], event: Event | None) -> int:
    whole = max((line.epoch for line in epochs if line.stage == stage), default=0)
    steps = whole * settings.iterations_per_epoch
    return max(steps, event.step) if event and event.stage == stage else steps


def _paces(epochs: Sequence[LogLine], stages: Mapping[str, Settings]) -> dict[str, float]:
    """Seconds per step of each stage; {} before the first epoch is over."""
    seconds: dict[str, list[float]] = {}
    for line in epochs:
        if line.stage in stages:
            steps = stages[line.stage].iterations_per_epoch
            seconds.setdefault(line.stage, []).append(line.seconds / steps)
    known = {name: fmean(values[-_RECENT:]) for name, values in seconds.items()}
    if not known:
        return {}
    latest = list(known.values())[-1]  # the best guess for a stage that has not begun
    return {name: known.get(name, latest) for name in stages}
