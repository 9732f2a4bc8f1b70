"""What a study costs: trainings, steps of the optimizer, and hours on this machine or on a GPU."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ..core.progress import Event, Progress, ProgressStage, reporter
from ..core.strict_json import dumps
from ..training.dry_step import dry_step
from ..training.machines import Machine
from ..training.plan import Plan
from .division import Division
from .runs import StudyRun, is_available, runs_of
from .sizes import Size, rows_of
from .study import Study

Seconds = Callable[[Plan], float]
"""Of all steps of a plan."""


@dataclass(frozen=True)
class Cost:
    """What a study costs.

    Attributes:
        study: which.
        runs: trainings, each with one seed.
        steps: of the optimizer in all of them.
        seconds: of the steps.
        absent: rows whose networks are not available.
    """

    study: Study
    runs: int
    steps: int
    seconds: float
    absent: int


def costs(
    studies: Sequence[Study],
    size: Size,
    seeds: int,
    seconds: Seconds,
    changes: Mapping[str, Any],
    on_progress: Progress | None = None,
) -> list[Cost]:
    """Of studies, each as if no run of another were there; ``changes`` as in :func:`.runs.runs_of`."""
    notify = reporter(on_progress)
    found = []
    for number, study in enumerate(studies):
        notify(Event(ProgressStage.CHECK, number, len(studies), f"steps of {study.name}"))
        found.append(_cost(study, size, seeds, seconds, changes))
    notify(Event(ProgressStage.CHECK, len(studies), len(studies)))
    return found


def _cost(study: Study, size: Size, seeds: int, seconds: Seconds, changes: Mapping[str, Any]) -> Cost:
    runs = runs_without_data(study, size, seeds, changes)
    whole = sum(seconds(run.plan) for run in runs)
    absent = sum(not is_available(row) for row in rows_of(study, size))
    return Cost(study, len(runs), sum(run.steps for run in runs), whole, absent)


def runs_without_data(
    study: Study, size: Size, seeds: int, changes: Mapping[str, Any] = MappingProxyType({})
) -> Sequence[StudyRun]:
    """The runs of a study on its usual data set, wherever that lies."""
    splits = study.data[0].splits
    divisions = [Division(name, (name,), None, Path(), (), "") for name in splits]
    return runs_of(study, size, divisions, seeds, Path(), changes).runs


def predicted_on(machine: Machine) -> Seconds:
    """As long as the cost model says, teachers and other networks included; each step is counted once."""
    of_step: dict[str, float] = {}

    def seconds(plan: Plan) -> float:
        whole = 0.0
        for stage, settings in plan.stages.items():
            half = settings.precision != "float32" and machine.has_half
            sizes = [settings.patch_size, settings.batch_size, settings.precision]
            method = [settings.method, settings.optimizer, asdict(settings.method_options())]
            key = dumps([plan.network, plan.network_options, *sizes, *method])
            if key not in of_step:
                of_step[key] = machine.seconds(dry_step(plan, stage, half), half)
            whole += settings.epochs * settings.iterations_per_epoch * of_step[key]
        return whole

    return seconds
