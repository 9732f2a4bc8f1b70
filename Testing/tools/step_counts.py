"""How much the host does for a training step: operator calls, and how often it waits for a computed value.

Every call costs the host some microseconds, and on a GPU starts a kernel or two: with small crops their
number decides the speed. A value that the host reads costs the whole lead that it has over the GPU.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.profiler import ProfilerActivity, profile

READS = {"aten::_local_scalar_dense", "aten::nonzero"}
"""Operators whose result the host needs: a number (also for ``item`` and ``if``), the size of a selection."""
COPIES = {torch.Tensor.tolist, torch.Tensor.cpu, torch.Tensor.numpy}
"""What hands a whole tensor to the host; on a CPU no operator shows it."""
OPTIMIZERS = ("aten::_fused_adam",)
"""How the names of operators begin that on a CPU, not on a GPU, read the number of their steps."""
LAUNCHES = ("cudaLaunchKernel", "cuLaunchKernel", "cudaGraphLaunch")
"""How the names of calls begin that start work on a GPU."""


@dataclass(frozen=True)
class Counts:
    """Of some work.

    Attributes:
        calls: operators of PyTorch called by other code than operators, backward included.
        reads: values that the host reads.
        launches: kernels and graphs started on a GPU; 0 without one.
        waits: calls that wait for a GPU.
    """

    calls: int
    reads: int
    launches: int
    waits: int


def count(work: Callable[[], Any]) -> Counts:
    """What ``work`` does.

    Reads of numbers of any kind count where they lie on a GPU. On a CPU all tensors lie there, those too that
    never leave the host, so copies count where they are of floating-point numbers; case numbers and places of
    crops are whole numbers, and of the host.
    """
    kinds = [ProfilerActivity.CPU, *[ProfilerActivity.CUDA] * torch.cuda.is_available()]
    with _Copies() as copies, profile(activities=kinds) as profiled:
        work()
    events = profiled.events()
    names = [event.name for event in events]
    return Counts(
        calls=sum(_is_operator(event) and not any(map(_is_operator, _callers(event))) for event in events),
        reads=copies.made + sum(_is_read(event) for event in events),
        launches=sum(name.startswith(LAUNCHES) for name in names),
        waits=sum(name.startswith("cuda") and "Synchronize" in name for name in names),
    )


class _Copies(TorchFunctionMode):
    """Counts copies to the host."""

    made = 0

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        tensor = args[0] if args else None
        if function in COPIES and (tensor.is_cuda or tensor.is_floating_point()):
            self.made += 1
        return function(*args, **(kwargs or {}))


def _is_operator(event: Any) -> bool:
    return event.name.startswith("aten::")


def _is_read(event: Any) -> bool:
    by_optimizer = any(caller.name.startswith(OPTIMIZERS) for caller in _callers(event))
    return event.name in READS and not by_optimizer


def _callers(event: Any) -> Iterator[Any]:
    """What an event happened within, from the inside."""
    while (event := event.cpu_parent) is not None:
        yield event
