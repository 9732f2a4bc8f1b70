"""What a study costs: trainings, steps of the optimizer, and hours on this machine or, at least, on a GPU."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from .. import networks
from ..core.errors import OptionError
from ..core.modalities import MODALITIES
from ..core.strict_json import dumps
from ..core.words import unknown_name
from ..training.plan import Plan
from ..training.settings import Settings
from ..training.time_estimate import least_seconds
from .division import Division
from .runs import StudyRun, is_available, runs_of
from .sizes import Size, rows_of, steps_of
from .study import Study

_SIDE = 32
"""Of the crop whose operations are counted."""

GPUS: Mapping[str, float] = {"v100": 125e12, "a100": 312e12, "h100": 989e12, "rtx4090": 165e12}
"""Dense half-precision operations per second at best, as NVIDIA's data sheets print them (SXM modules of the
data center; float32 sums)."""

Seconds = Callable[[Plan], float | None]
"""Of all steps of a plan; None where nobody can tell."""


@dataclass(frozen=True)
class Cost:
    """What a study costs.

    Attributes:
        study: which.
        runs: trainings, each with one seed.
        steps: of the optimizer in all of them.
        seconds: of the networks' forward and backward passes; None where nobody can tell.
        absent: rows whose networks are not available.
    """

    study: Study
    runs: int
    steps: int
    seconds: float | None
    absent: int


def costs(
    studies: Sequence[Study], size: Size, seeds: int, seconds: Seconds, changes: Mapping[str, Any]
) -> list[Cost]:
    """Of studies, each as if no run of another were there; ``changes`` as in :func:`.runs.runs_of`."""
    return [_cost(study, size, seeds, seconds, changes) for study in studies]


def _cost(study: Study, size: Size, seeds: int, seconds: Seconds, changes: Mapping[str, Any]) -> Cost:
    runs = runs_without_data(study, size, seeds, changes)
    times = [seconds(run.plan) for run in runs]
    whole = None if None in times else sum(time for time in times if time is not None)
    absent = sum(not is_available(row) for row in rows_of(study, size))
    return Cost(study, len(runs), sum(run.steps for run in runs), whole, absent)


def runs_without_data(
    study: Study, size: Size, seeds: int, changes: Mapping[str, Any] = MappingProxyType({})
) -> Sequence[StudyRun]:
    """The runs of a study on its usual data set, wherever that lies."""
    splits = study.data[0].splits
    divisions = [Division(name, (name,), None, Path(), (), "") for name in splits]
    return runs_of(study, size, divisions, seeds, Path(), changes).runs


def on_this_machine(device: torch.device) -> Seconds:
    """As fast as each network's step is here and now; each is timed once, on a small crop."""
    of_step: dict[str, float | None] = {}

    def seconds(plan: Plan) -> float | None:
        step = dumps([plan.network, plan.network_options, *map(_step, plan.stages.values())])
        if step not in of_step:
            whole = least_seconds(plan, device)
            of_step[step] = None if whole is None else whole / steps_of(plan)
        known = of_step[step]
        return None if known is None else known * steps_of(plan)

    return seconds


def at_least_on(gpu: str) -> Seconds:
    """As fast as a GPU computes at best; no training comes near that.

    Raises:
        OptionError: a GPU that is not known.
    """
    if gpu not in GPUS:
        raise OptionError(unknown_name("GPU", gpu, GPUS))
    of_network: dict[str, float] = {}

    def seconds(plan: Plan) -> float:
        key = dumps([plan.network, plan.network_options])
        if key not in of_network:
            of_network[key] = operations_per_voxel(plan)
        voxels = sum(
            stage.epochs * stage.iterations_per_epoch * stage.batch_size * prod(stage.patch_size)
            for stage in plan.stages.values()
        )
        return voxels * of_network[key] / GPUS[gpu]

    return seconds


def operations_per_voxel(plan: Plan) -> float:
    """Additions and multiplications of a network's forward and backward pass, counted on a small crop."""
    with torch.random.fork_rng([]):
        network = networks.build(plan.network, **plan.network_options).train()
        side = max(network.divisor, _SIDE // network.divisor * network.divisor)
        image = torch.randn(1, len(MODALITIES), side, side, side)
        available = torch.ones(1, len(MODALITIES), dtype=torch.bool)
        with FlopCounterMode(display=False) as counter:
            network(image, available).logits.square().mean().backward()
    return counter.get_total_flops() / side**3


def _step(settings: Settings) -> list[Any]:
    """What decides the time of a step."""
    return [settings.patch_size, settings.batch_size, settings.precision]
