"""Which training fits a device: the data looked at, the sizes chosen, and how long it will take."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from math import prod
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import torch

from ..core.errors import CaseError, OptionError
from ..core.kinds import checked
from ..core.modalities import MODALITIES
from ..core.setting_texts import as_text
from ..datasets.case import Case
from ..datasets.discovery import find_cases
from ..datasets.prepared import LAYOUT
from ..imaging.cache import stored
from ..runtime.cpu_kernels import cpu_kernels
from ..runtime.devices import choose_device
from .device_cases import SHARE
from .dry_step import make_stage, take_step
from .fitting import Fit, fit
from .loop import autocast_and_scaler, number_format
from .machines import GIB, GPUS, Machine, gpu, this_machine
from .plan import Plan, change_plan, flattened, make_plan
from .settings import Settings

_LOOKED_AT = 8
"""Volumes that are read where cases are not prepared; the median brain differs little among more."""

_LARGEST_MEMORY_GB = 300
"""The largest GPU sold has 288; beyond, a step is counted with tensors larger than a system lends."""

_MEASURED_STEPS = 3


@checked
def plan_training(
    data: Path | str,
    recipe: str = "baseline",
    network: str | None = None,
    preset: str = "paper",
    settings: Mapping[str, Any] | None = None,
    device: str = "auto",
    gpu: str | None = None,
    memory: float | None = None,
    measure: bool = False,
) -> dict[str, Any]:
    """Choose crop, batch, width and precision of a training from the data and the memory of a device.

    Args:
        data: folder of cases; prepared ones are looked at in no time.
        recipe, network, preset: as for :func:`.plan.make_plan`.
        settings: that stay as they are given.
        device: whose memory is to be filled, as in :func:`~..runtime.devices.choose_device`.
        gpu: a GPU of :data:`.machines.GPUS` in place of the device.
        memory: of the device in GB (10^9 bytes), in place of what it has.
        measure: time three real steps on the device.

    Returns:
        ``settings`` chosen, ``command`` to train with, ``machine``, ``memory`` and ``needed`` in bytes,
        ``free`` (whether ``memory`` is what is free now, of a machine that may have more), ``used`` (their
        ratio), ``box`` (median brain, voxels z, y, x), ``cases``, ``stages`` (of each steps,
        ``seconds`` of a step, ``days`` in all, and what a step costs), ``days`` of the plan, ``paper_steps``
        and ``paper_days`` of the preset "paper", ``paper_voxels_days`` until as many voxels were seen as in
        these, and ``measured`` seconds of a step or None.

    Raises:
        CaseError: the folder holds no case.
        OptionError: unknown names, a memory that no GPU has, or not even the smallest crop fits.
    """
    if measure and (gpu or memory):
        raise OptionError("Steps are measured on the device at hand. Leave out the GPU's name and memory.")
    given = flattened(settings or {})
    begun = make_plan(recipe, network, preset, settings=given)
    machine = _machine(device, gpu, memory)
    cases = find_cases(Path(data)).cases
    boxes = brain_boxes(cases)
    found = fit(begun, boxes, machine, _fixed(begun, given), _kept(begun, cases, boxes, machine))
    return {
        "machine": machine.name,
        "memory": machine.memory,
        "free": machine.free,
        "cases": len(cases),
        "box": [round(median(sides)) for sides in zip(*boxes, strict=True)],
        "settings": {name: as_text(value) for name, value in found.settings.items()},
        "command": _command(data, recipe, found.plan.network, preset, {**given, **found.settings}),
        "needed": found.needed,
        "used": round(found.used, 3),
        **_times(found, machine, make_plan(recipe, network, "paper")),
        "measured": _measured(found, choose_device(device)) if measure else None,
    }


def _machine(device: str, name: str | None, memory: float | None) -> Machine:
    """The device at hand or a named GPU; with a memory alone the GPU of the table that has one like it.

    Raises:
        OptionError: unknown GPU, no GPU has this memory, or the system does not say how much there is.
    """
    if memory is not None and not 0 < memory <= _LARGEST_MEMORY_GB:
        raise OptionError(
            f"memory is {memory:g} GB. Give that of one GPU, at most {_LARGEST_MEMORY_GB}, such as 24."
        )
    if name:
        machine = gpu(name)
    elif memory is not None:
        machine = min(GPUS.values(), key=lambda one: abs(one.memory - memory * 10**9))
        machine = replace(machine, name=f"a GPU of {memory:g} GB, as fast as {machine.name}")
    else:
        machine = this_machine(choose_device(device))
        if not machine.memory:
            raise OptionError("This system does not say how much memory it has. Give it with --memory GB.")
    return machine if memory is None else replace(machine, memory=int(memory * 10**9))


def brain_boxes(cases: Sequence[Case]) -> list[tuple[int, ...]]:
    """Voxels (z, y, x) of 1 mm of the brains: of all prepared cases, or of some spread over the others.

    Raises:
        CaseError: there is no case, or a prepared one is damaged.
    """
    if not cases:
        raise CaseError("The folder holds no case. Name one with --data; 'cases' lists what a folder holds.")
    if all(case.layout == LAYOUT for case in cases):
        return [_stored_shape(case) for case in cases]
    from ..imaging.preparation import prepare  # brings SimpleITK, which prepared cases do without
    from ..imaging.reading import read_study

    some = cases[:: max(1, len(cases) // _LOOKED_AT)][:_LOOKED_AT]
    return [prepare(read_study(case)).image.shape[1:] for case in some]


def _stored_shape(case: Case) -> tuple[int, ...]:
    found = stored(Path(str(case.label)))
    if found is None:
        raise CaseError(f"{case.label}: the prepared case '{case.name}' is damaged. Prepare it again.")
    return found[1]


def _fixed(plan: Plan, given: Mapping[str, Any]) -> dict[str, Any]:
    """What was given of that which would be chosen, as checked values."""
    first = next(iter(plan.stages.values()))
    names = {name.rpartition(".")[2] if "network." not in name else name: name for name in given}
    return {
        name: getattr(first, name, plan.network_options.get("width"))
        for name in ("patch_size", "batch_size", "precision", "network.width")
        if name in names
    }


def _kept(plan: Plan, cases: Sequence[Case], boxes: Sequence[Sequence[int]], machine: Machine) -> int:
    """Bytes of the cases that a GPU keeps beside the network, see :mod:`.device_cases`."""
    if not machine.has_half or all(stage.case_cache == "disk" for stage in plan.stages.values()):
        return 0
    # 16 bits a sequence, 8 a label
    each = median(prod(box) for box in boxes) * (2 * len(MODALITIES) + 1)
    times = [stage.synthesis.factor for stage in plan.stages.values() if stage.synthesis.method != "none"]
    whole = int(each * len(cases) * max(times, default=1))
    return whole if whole <= SHARE * machine.memory else 0


def _times(found: Fit, machine: Machine, paper: Plan) -> dict[str, Any]:
    stages = {}
    for name, cost in found.costs.items():
        stage = found.plan.stages[name]
        seconds = machine.seconds(cost, stage.precision != "float32" and machine.has_half)
        steps = stage.epochs * stage.iterations_per_epoch
        stages[name] = {"steps": steps, "seconds": seconds, "days": steps * seconds / 86400, **asdict(cost)}
    # presets of a recipe have the same stages
    paper_steps = {name: stage.epochs * stage.iterations_per_epoch for name, stage in paper.stages.items()}
    days = {name: steps * stages[name]["seconds"] / 86400 for name, steps in paper_steps.items()}
    longer = {name: _voxels(paper.stages[name]) / _voxels(stage) for name, stage in found.plan.stages.items()}
    return {
        "stages": stages,
        "paper_voxels_days": sum(days[name] * longer[name] for name in days),
        "days": sum(stage["days"] for stage in stages.values()),
        "paper_steps": sum(paper_steps.values()),
        "paper_days": sum(days.values()),
    }


def _voxels(stage: Settings) -> int:
    """That a step sees."""
    return stage.batch_size * prod(stage.patch_size)


def _command(data: Path | str, recipe: str, network: str, preset: str, settings: Mapping[str, Any]) -> str:
    words = ["missing-modality", "train", "--data", str(data), "--output", "run", "--recipe", recipe]
    words += ["--network", network, "--preset", preset]
    values = [f"{name}={as_text(value)}" for name, value in settings.items()]
    return shlex.join([*words, *(["--set", *values] if values else [])])


def _measured(found: Fit, device: torch.device) -> float:
    """Seconds of a real step of the costliest stage, the least of three; one before pays for beginnings."""
    name = max(found.costs, key=lambda stage: found.costs[stage].operations)
    plan = change_plan(found.plan, {"num_workers": 0})
    parts, settings = make_stage(plan, name, device), plan.stages[name]
    precision, _ = autocast_and_scaler(settings.precision, device)
    kernels = cpu_kernels(parts.trained, device, number_format(settings.precision, device))
    times = []
    for _ in range(1 + _MEASURED_STEPS):
        began = perf_counter()
        with kernels:
            take_step(parts, settings, device, precision)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(perf_counter() - began)
    return min(times[1:])


def summary(result: Mapping[str, Any]) -> str:
    """The result for people: what was found, what is chosen, how long it takes, and the command."""
    box = " x ".join(map(str, result["box"]))
    free = " free" if result["free"] else ""
    lines = [
        f"{result['cases']} cases, median brain {box} mm (z, y, x)",
        f"{result['machine']}: {result['memory'] / GIB:.1f} GiB{free}, of which the plan takes "
        f"{result['needed'] / GIB:.1f} ({result['used']:.0%})",
        "",
        *(f"{name:<16}{value}" for name, value in result["settings"].items()),
        "",
        f"{'stage':<12}{'steps':>8}{'s/step':>10}{'days':>8}{'GiB':>7}{'TFLOP/step':>12}",
    ]
    for name, stage in result["stages"].items():
        lines.append(
            f"{name:<12}{stage['steps']:>8}{stage['seconds']:>10.3f}{stage['days']:>8.2f}"
            f"{stage['memory'] / GIB:>7.1f}{stage['operations'] / 1e12:>12.2f}"
        )
    lines += [
        f"{result['days']:.2f} days in all; {result['paper_days']:.2f} to the paper's "
        f"{result['paper_steps']} steps, {result['paper_voxels_days']:.2f} until as many voxels were seen",
    ]
    if result["measured"] is not None:
        lines.append(f"A step of the costliest stage took {result['measured']:.3f} s, measured now")
    return "\n".join([*lines, "", result["command"]])
