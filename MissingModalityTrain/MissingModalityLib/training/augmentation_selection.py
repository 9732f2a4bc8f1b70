"""Which rows of a batch a change concerns, decided on the host and brought to the device in one copy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Wanted = dict[str, tuple[Tensor, tuple[Tensor, ...]]]
"""Name of a change -> (rows that it concerns (N,) bool, parameters of all rows (N, ...)); on the host."""


@dataclass(frozen=True)
class Selection:
    """Rows of a batch, samples or volumes, and the parameters of a change for each of them.

    Attributes:
        rows: (R,) int64.
        host_rows: the same, to decide on without waiting for a GPU.
        parameters: tensors (R, ...).
    """

    rows: Tensor
    host_rows: tuple[int, ...]
    parameters: tuple[Tensor, ...]

    def change(self, batch: Tensor, function: Callable[..., Tensor]) -> None:
        """Change the rows of ``batch`` in place: ``function`` of them and the parameters gives new ones."""
        batch[self.rows] = function(batch[self.rows], *self.parameters)


def differing(parameters: Tensor, neutral: float | Tensor) -> Tensor:
    """Rows (N,) bool whose ``parameters`` (N, ...) are not those that change nothing."""
    return (parameters != neutral).flatten(1).any(dim=1) if parameters.ndim > 1 else parameters != neutral


def select(wanted: Wanted, device: torch.device) -> dict[str, Selection]:
    """Leave out what is not drawn and bring the rest to a device.

    Args:
        wanted: what may change.
        device: to bring it to; from pinned memory and without waiting where that is a GPU.

    Returns:
        Those of the changes that concern any row.
    """
    found = {
        name: [concerned.nonzero()[:, 0], *(values[concerned] for values in parameters)]
        for name, (concerned, parameters) in wanted.items()
        if concerned.any()
    }
    moved = iter(_in_one_copy([tensor for tensors in found.values() for tensor in tensors], device))
    return {
        name: Selection(next(moved), tuple(tensors[0].tolist()), tuple(next(moved) for _ in tensors[1:]))
        for name, tensors in found.items()
    }


def _in_one_copy(tensors: list[Tensor], device: torch.device) -> list[Tensor]:
    if device.type == "cpu" or not tensors:
        return tensors
    # the widest numbers first, so that all begin at a multiple of their size
    order = sorted(range(len(tensors)), key=lambda index: -tensors[index].element_size())
    flat = [tensors[index].contiguous().flatten().view(torch.uint8) for index in order]
    packed = torch.cat(flat)
    if device.type == "cuda":
        packed = packed.pin_memory()
    parts = packed.to(device, non_blocking=True).split([len(part) for part in flat])
    moved = dict(zip(order, parts, strict=True))
    return [moved[index].view(tensor.dtype).view(tensor.shape) for index, tensor in enumerate(tensors)]
