"""How far a run has come and how long it may still take, from its files alone; imports nothing heavy."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from ..core.errors import OptionError
from ..core.progress import Event
from . import log
from .recipes import from_json, to_json

RECORD_FILE, CHECKPOINT_FILE = "run.json", "checkpoint.pt"

_RECENT = 20
"""Epochs that the pace is taken from; enough to have validations among them."""


@dataclass(frozen=True)
class Standing:
    """Of a run.

    Attributes:
        record: what ``run.json`` holds.
        epochs: the lines of its log.
        step, steps: optimizer steps done and to be done, over all stages.
        seconds_left: None before the first epoch is over.
        finished: whether the last stage is over.
    """

    record: Mapping[str, Any]
    epochs: Sequence[Mapping[str, Any]]
    step: int
    steps: int
    seconds_left: float | None
    finished: bool


def standing(run: Path, event: Event | None = None) -> Standing | None:
    """Where a run stands; None where the folder holds none (yet), or one that cannot be read.

    Args:
        run: its folder.
        event: the latest of a running training: how far the epoch has come.
    """
    try:
        record = json.loads((run / RECORD_FILE).read_text(encoding="utf-8"))
        plan = from_json(record["settings"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OptionError):
        return None
    record["settings"] = to_json(plan)
    stages = {
        name: (settings.epochs, settings.iterations_per_epoch) for name, settings in plan.stages.items()
    }
    try:
        epochs = log.read(run)
    except OSError:
        return None
    done = {name: _steps_done(name, iterations, epochs, event) for name, (_, iterations) in stages.items()}
    steps = {name: count * iterations for name, (count, iterations) in stages.items()}
    pace = _paces(epochs, stages)
    left = sum((steps[name] - done[name]) * pace[name] for name in stages) if pace else None
    finished = bool(stages) and os.path.isfile(run / f"{list(stages)[-1]}.safetensors")
    return Standing(record, epochs, sum(done.values()), sum(steps.values()), left, finished)


def _steps_done(stage: str, iterations: int, epochs: Sequence[Mapping[str, Any]], event: Event | None) -> int:
    whole = max((line["epoch"] for line in epochs if line["stage"] == stage), default=0) * iterations
    return max(whole, event.step) if event and event.stage == stage else whole


def _paces(epochs: Sequence[Mapping[str, Any]], stages: Mapping[str, tuple[int, int]]) -> dict[str, float]:
    """Seconds per step of each stage; of one that has not begun as of the latest one, all that is known."""
    seconds: dict[str, list[float]] = {}
    for line in epochs:
        if line["stage"] in stages:
            seconds.setdefault(line["stage"], []).append(line["seconds"] / stages[line["stage"]][1])
    known = {name: fmean(values[-_RECENT:]) for name, values in seconds.items()}
    if not known:
        return {}
    latest = list(known.values())[-1]
    return {name: known.get(name, latest) for name in stages}
