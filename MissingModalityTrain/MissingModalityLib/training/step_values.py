"""What the steps of an epoch have computed, kept on the device and read seldom: each reading waits for it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..runtime import distributed

READ_INTERVAL = {"cpu": 1}
"""Steps from one reading to the next by kind of device. On a CPU there is nothing to wait for."""
_READ_INTERVAL = 50
"""Elsewhere; not only at the end of an epoch, which can have a thousand steps: progress shows a recent loss,
and a run whose loss is no number soon stops."""

_GRADIENT, _SCALE = "gradient", "scale"


@dataclass(frozen=True)
class Step:
    """A step that has been read.

    Attributes:
        number: within the epoch, from 1.
        cases: numbers of the cases that this process has cut crops from.
        terms: of the loss, of the whole batch.
        gradient: norm of the gradient.
        scale: of the gradient scaler after the step; None without one.
    """

    number: int
    cases: Sequence[int]
    terms: Mapping[str, float]
    gradient: float
    scale: float | None = None

    @property
    def problem(self) -> str | None:
        """What about it is no number; None where training can go on."""
        if not math.isfinite(self.terms["total"]):
            return f"loss became {self.terms['total']}"
        # one that the total leaves out is written into the log all the same, which holds numbers alone
        wrong = next((name for name, value in self.terms.items() if not math.isfinite(value)), None)
        if wrong is not None:
            return f"loss term {wrong} became {self.terms[wrong]}"
        # A gradient that overflows only because the scaler has scaled it up stops nothing: the scaler skips
        # the step. Each overflow halves the scale; below 1 it makes gradients smaller, so they overflow by
        # themselves.
        skipped = self.scale is not None and self.scale >= 1
        return None if math.isfinite(self.gradient) or skipped else f"gradient became {self.gradient}"


class StepValues:
    """Collects what steps have computed, without a wait.

    Args:
        device: where it is computed.

    Attributes:
        sums: of the loss terms by name, over the steps that have been read.
        loss: total of the last of these; None before the first one.
    """

    def __init__(self, device: torch.device) -> None:
        self.sums: dict[str, float] = {}
        self.loss: float | None = None
        self._interval = READ_INTERVAL.get(device.type, _READ_INTERVAL)
        self._waiting: list[tuple[Sequence[int], tuple[str, ...], Tensor]] = []
        self._read = 0

    def add(
        self, cases: Sequence[int], terms: Mapping[str, Tensor], gradient: Tensor, scale: Tensor | None
    ) -> None:
        """Take in a step.

        Args:
            cases: as :class:`Step` has them.
            terms, gradient, scale: scalars on the device.
        """
        values = {**terms, _GRADIENT: gradient} | ({} if scale is None else {_SCALE: scale})
        stacked = torch.stack([value.detach().float() for value in values.values()])
        self._waiting.append((cases, tuple(values), stacked))

    @property
    def due(self) -> bool:
        """Whether it is time to :meth:`read`."""
        return len(self._waiting) >= self._interval

    def read(self) -> Iterator[Step]:
        """The steps taken in since the last reading, in order; means over processes, which all call this."""
        if not self._waiting:
            return
        values = iter(distributed.mean(torch.cat([stacked for *_, stacked in self._waiting])).tolist())
        for cases, names, _ in self._waiting:
            of_step = {name: next(values) for name in names}
            gradient, scale = of_step.pop(_GRADIENT), of_step.pop(_SCALE, None)
            self._read += 1
            self.sums = {name: self.sums.get(name, 0.0) + value for name, value in of_step.items()}
            self.loss = of_step["total"]
            yield Step(self._read, cases, of_step, gradient, scale)
        self._waiting.clear()
