"""What computes a training: GPUs by their data sheets, and this computer as it is measured now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import ceil
from time import perf_counter

import torch

from ..core.errors import OptionError
from ..core.words import unknown_name
from ..runtime.devices import memory_of
from ..runtime.free_memory import free_memory
from .dry_step import StepCost

GIB = 2**30


@dataclass(frozen=True)
class Machine:
    """One device.

    Attributes:
        name: for people.
        memory: bytes.
        half, single: operations per second at best, in 16 bits and in float32.
        bandwidth: bytes per second between its memory and its processor.
        achieved: share of both that a training step reaches.
        per_operator: seconds that starting an operator takes at least.
        held: bytes that are taken before there is any tensor.
        spread: memory taken for each byte of living tensors.
        free: ``memory`` is what was free when it was asked for, not all that there is.
    """

    name: str
    memory: int
    half: float
    single: float
    bandwidth: float
    achieved: float
    per_operator: float
    held: int
    spread: float
    free: bool = False

    @property
    def has_half(self) -> bool:
        """Whether steps whose precision is "auto" are computed in 16 bits."""
        return self.half > self.single

    def seconds(self, cost: StepCost, half: bool) -> float:
        """Of one step: operations and bytes one after the other, or the host's calls where they take longer.

        A convolution waits for its bytes and its arithmetic, but norms and sums for bytes alone, so their
        times add up.
        """
        rate = self.half if half else self.single
        busy = cost.operations / rate + cost.moved / self.bandwidth
        return max(busy / self.achieved, cost.operators * self.per_operator)

    def needed(self, cost: StepCost) -> int:
        """Bytes of memory that a process with such steps takes."""
        return self.held + ceil(self.spread * cost.memory)


_GPU_ACHIEVED = 0.08
"""Fitted to an NVIDIA H200: 7.5 steps a second of ``segresnet``, 24 channels wide, with 8 crops of 128^3 in
16 bits. 3D convolutions with few channels reach little of what matrix products do, and what the host does for
each crop is in it. ``plan --measure`` times steps on the device that is there."""

_GPU_PER_OPERATOR = 40e-6
"""Seconds: the same GPU made 11.5 such steps of 4 crops, of which each has 1,860 operators, and took 0.28 s
for a step of ``rfnet`` with one crop of 80^3, of 8,180; the geometric mean of 47 and 34 us."""

_GPU_HELD = int(0.6 * GIB)
"""Assumed: CUDA's context and cuDNN's workspace."""

_GPU_SPREAD = 1.05
"""Assumed: blocks of PyTorch's allocator that lie idle between blocks in use."""

_SHEETS: Mapping[str, tuple[int, float, float, float]] = {
    "v100": (32, 125e12, 15.7e12, 0.9e12),
    "a100": (80, 312e12, 156e12, 2.04e12),
    "h100": (80, 989e12, 494e12, 3.35e12),
    "h200": (141, 989e12, 494e12, 4.8e12),
    "rtx4090": (24, 165e12, 82.6e12, 1.01e12),
}
"""Memory in GB, dense operations per second in 16 bits (float32 sums) and in float32, bytes per second, as
NVIDIA's data sheets print them (SXM modules of the data center). Convolutions in float32 run in TF32 where
there is such, PyTorch's default."""

GPUS: Mapping[str, Machine] = {
    name: Machine(
        name,
        memory * 10**9,
        half,
        single,
        bandwidth,
        _GPU_ACHIEVED,
        _GPU_PER_OPERATOR,
        _GPU_HELD,
        _GPU_SPREAD,
    )
    for name, (memory, half, single, bandwidth) in _SHEETS.items()
}

_CPU_ACHIEVED = 0.64
"""Of the rate of a matrix product and of a copy: the geometric mean of what steps of three networks reached
on an AMD EPYC in PyTorch's own layout; ``Testing/tools/measure_steps.py`` shows what they reach now."""

_CPU_HELD = int(0.55 * GIB)
"""Python, PyTorch, MONAI and what a first step loads, beside its tensors: measured on an AMD EPYC by
``Testing/tools/measure_memory.py``."""

_CPU_SPREAD = 1.0


def gpu(name: str) -> Machine:
    """The GPU of this name.

    Raises:
        OptionError: unknown.
    """
    if name not in GPUS:
        raise OptionError(unknown_name("GPU", name, GPUS))
    return GPUS[name]


def this_machine(device: torch.device) -> Machine:
    """The device at hand: a GPU by its name, or one of the table that resembles it; a CPU measured now.

    Its memory is what is free now, and 0 where the system does not tell.
    """
    if device.type == "cuda":
        memory = memory_of(device)
        title = torch.cuda.get_device_name(device)
        plain = title.lower().replace(" ", "")
        # one that is not in the table is most like the one with the memory next to its own
        like = next((name for name in GPUS if name in plain), None) or min(
            GPUS, key=lambda name: abs(GPUS[name].memory - memory)
        )
        # of what is taken, the context of this very process is what the training's own will be
        return replace(GPUS[like], name=title, memory=min(memory, free_memory(device) + _GPU_HELD), free=True)
    rate, bandwidth = _cpu_rates()
    return Machine(
        "cpu", free_memory(device), rate, rate, bandwidth, _CPU_ACHIEVED, 0.0, _CPU_HELD, _CPU_SPREAD, True
    )


_SIDE = 768
"""Of the matrices that are multiplied: 0.9 GFLOP, tens of milliseconds on one core."""


def _cpu_rates() -> tuple[float, float]:
    """Operations of a float32 matrix product, and bytes of a copy, per second with the threads of now."""
    matrix = torch.ones(_SIDE, _SIDE)
    block = torch.ones(2**24)
    product = _least_seconds(lambda: matrix @ matrix)
    copy = _least_seconds(block.clone)
    return 2 * _SIDE**3 / product, 2 * block.nbytes / copy


def _least_seconds(work: object) -> float:
    found = []
    for _ in range(3):  # the first one pays for what is done once per process
        began = perf_counter()
        work()  # type: ignore[operator]
        found.append(perf_counter() - began)
    return min(found)
