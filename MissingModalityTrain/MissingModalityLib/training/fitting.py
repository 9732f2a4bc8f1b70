"""Crop, batch, width and precision that fill a device, from the brains to train on and the network itself.

As nnU-Net plans (Isensee et al., Nature Methods 2021): a crop as large as a brain where two of them fit, a
smaller one where not, then as many as the memory holds. What a step takes is counted, not looked up, by
:mod:`.dry_step`, so it holds for any network and method.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from math import ceil, prod
from statistics import median
from typing import Any, NamedTuple

import torch

from .. import networks
from ..core.errors import OptionError
from ..networks.registry import network_options
from .dry_step import StepCost, dry_step
from .machines import GIB, Machine
from .plan import Plan, change_plan
from .settings import LONGEST_SIDE

LEAST_USED, MOST_USED = 0.85, 0.98
"""Shares of the memory that a plan takes, as far as the sizes that a network can have allow."""

SMALLEST_SIDE = 64
"""Voxels: of crops that still show most of a tumor with what lies around it."""

LEAST_BATCH = 2
"""Crops, where they fit: nnU-Net's least, too."""

WIDE_BATCH = 8
"""The largest batch of the papers; a device that holds more crops gets a wider network first."""

_MOST_BATCH = 1024
"""As many as the setting takes."""

_WIDEST = 2
"""Times its own width: far wider ones are other networks than those of the papers, and slow ones."""

_NARROWER = 3
"""Widths below a network's own that are tried where nothing fits; far narrower ones learn little."""

_TRIES = 6
"""Memory is not quite linear in voxels (attention, the largest moment of a step), so a guess is counted and
guessed again from there; more than three were never needed."""


class Size(NamedTuple):
    """What is chosen: crop in voxels (z, y, x), crops per step, and channels where the network has that."""

    patch: tuple[int, int, int]
    batch: int
    width: int | None


@dataclass(frozen=True)
class Fit:
    """A plan that fits.

    Attributes:
        plan: with the settings put in.
        settings: what was chosen, by the keys of ``--set``.
        costs: of a step of each stage.
        needed: bytes, of the stage that needs most, by the model of memory.
        memory: bytes that there are.
    """

    plan: Plan
    settings: Mapping[str, Any]
    costs: Mapping[str, StepCost]
    needed: int
    memory: int

    @property
    def used(self) -> float:
        """Share of the memory."""
        return self.needed / self.memory


def fit(
    plan: Plan, boxes: Sequence[Sequence[int]], machine: Machine, fixed: Mapping[str, Any], kept: int = 0
) -> Fit:
    """Choose what fills a machine.

    Args:
        plan: to start from.
        boxes: voxels (z, y, x) of the brains.
        machine: whose memory is to be filled.
        fixed: settings that stay, by the keys of ``--set``.
        kept: bytes of cases that the device keeps beside the network.

    Raises:
        OptionError: not even the smallest crop fits, or the network cannot be counted.
    """
    box = tuple(round(median(sides)) for sides in zip(*boxes, strict=True))
    return _Search(plan, box, machine, fixed, kept).fit()


def _alike(plan: Plan) -> dict[str, str]:
    """The first of the stages whose steps differ in nothing that takes memory or time, by name."""
    first: dict[tuple[Any, ...], str] = {}
    found = {}
    for name, stage in plan.stages.items():
        step = (stage.method, stage.method_options(), stage.patch_size, stage.batch_size, stage.precision)
        found[name] = first.setdefault((*map(repr, step), stage.optimizer, bool(stage.ema_decay)), name)
    return found


class _Search:
    """Counts the step of some sizes, and guesses that of others."""

    def __init__(
        self, plan: Plan, box: tuple[int, ...], machine: Machine, fixed: Mapping[str, Any], kept: int
    ) -> None:
        self.plan, self.box, self.machine, self.fixed, self.kept = plan, box, machine, fixed, kept
        with torch.device("meta"):  # only looked at
            self.divisor = networks.build(plan.network, **plan.network_options).divisor
        options = network_options(plan.network, **plan.network_options).to_json()
        self.own_width: int | None = options.get("width")
        self.alike = _alike(plan)
        self._costliest: str | None = None
        self._cost, self.needed = cache(self._cost_of), cache(self._needed)

    def fit(self) -> Fit:
        """Of the network's own width where that fills the memory; else of another one."""
        size = self._of_width(self.own_width)
        for width in self._widths(size):
            other = self._of_width(width)
            if other is not None and (size is None or other.batch >= LEAST_BATCH):
                return self._result(other)
        if size is None:
            raise self._too_small()
        return self._result(size)

    def _of_width(self, width: int | None) -> Size | None:
        """The best sizes with a width; None where nothing fits."""
        size = Size(self._patches()[0], self.fixed.get("batch_size", LEAST_BATCH), width)
        best: Size | None = None
        for _ in range(_TRIES):
            needed = self.needed(size)
            share = needed / self.machine.memory
            if share <= 1 and (best is None or self._fills(size) > self._fills(best)):
                best = size
            if LEAST_USED <= share <= MOST_USED:
                return size
            guess = self._guess(size, needed)
            if guess is None or guess == size:
                break
            size = guess
        return best

    def _fills(self, size: Size) -> tuple[bool, int]:
        """What makes one of two sizes that fit the better one: some room to spare, then bytes."""
        needed = self.needed(size)
        return needed <= MOST_USED * self.machine.memory, needed

    def _guess(self, counted: Size, needed: int) -> Size | None:
        """The best size by what one of them needs, as if memory grew with voxels."""
        stays = self._cost(counted, str(self._costliest)).fixed
        base = self.kept + self.machine.held + self.machine.spread * stays
        per_voxel = (needed - base) / (counted.batch * prod(counted.patch))
        room = MOST_USED * self.machine.memory - base
        found = []
        for patch in self._patches():
            most = int(room / (per_voxel * prod(patch)))
            batch = self.fixed.get("batch_size", min(most, _MOST_BATCH))
            if 1 <= batch <= most:
                used = (base + per_voxel * batch * prod(patch)) / self.machine.memory
                found.append((*self._merit(patch, batch, used), Size(patch, batch, counted.width)))
        return max(found)[-1] if found else None

    def _merit(self, patch: Sequence[int], batch: int, used: float) -> tuple[float, ...]:
        """What makes a size better, most important first."""
        shares = [side / whole for side, whole in zip(patch, self.box, strict=True)]
        seen = [min(1.0, share) for share in shares]
        # a margin above the least, since the guess is one
        return (
            batch >= LEAST_BATCH,
            used >= LEAST_USED + 0.02,
            min(seen),
            prod(seen),
            -prod(max(1.0, share) for share in shares),
            used,
        )

    def _patches(self) -> list[tuple[int, int, int]]:
        """The crop that holds a brain first, then all smaller ones, and some larger, by the divisor."""
        if "patch_size" in self.fixed:
            return [self.plan.stages[next(iter(self.plan.stages))].patch_size]
        step = self.divisor
        least = ceil(SMALLEST_SIDE / step) * step
        whole = [max(least, ceil(side / step) * step) for side in self.box]
        sides = [range(least, min(LONGEST_SIDE, side + 2 * step) + 1, step) for side in whole]
        return [tuple(whole), *product(*sides)]  # type: ignore[list-item]

    def _widths(self, size: Size | None) -> list[int]:
        """Other widths worth a try: narrower ones where nothing fits, a wider one where many crops do."""
        own = self.own_width
        if own is None or "network.width" in self.fixed:
            return []
        if size is None:
            return [width for width in range(own - 1, 0, -1) if self._allowed(width)][:_NARROWER]
        if size.batch <= WIDE_BATCH or "batch_size" in self.fixed:
            return []
        most = min(_WIDEST * own, own * size.batch // WIDE_BATCH)
        return [width for width in range(most, own, -1) if self._allowed(width)][:1]

    def _allowed(self, width: int) -> bool:
        try:
            network_options(self.plan.network, **{**self.plan.network_options, "width": width})
        except OptionError:
            return False
        return True

    def _settings(self, size: Size) -> dict[str, Any]:
        chosen: dict[str, Any] = {"patch_size": size.patch, "batch_size": size.batch, "precision": "auto"}
        if size.width is not None and size.width != self.own_width:
            chosen["network.width"] = size.width
        return {name: value for name, value in chosen.items() if name not in self.fixed}

    def _needed(self, size: Size) -> int:
        """Bytes, of the stage that needs most; which one that is does not depend on the size."""
        stages = [self._costliest] if self._costliest else dict.fromkeys(self.alike.values())
        costs = {name: self._cost(size, name) for name in stages}
        self._costliest = max(costs, key=lambda name: costs[name].memory)
        return self.kept + self.machine.needed(costs[self._costliest])

    def _cost_of(self, size: Size, stage: str) -> StepCost:
        plan = change_plan(self.plan, self._settings(size))
        return dry_step(plan, stage, self._half(plan, stage))

    def _half(self, plan: Plan, stage: str) -> bool:
        return plan.stages[stage].precision != "float32" and self.machine.has_half

    def _result(self, size: Size) -> Fit:
        settings = self._settings(size)
        plan = change_plan(self.plan, settings)
        costs = {name: self._cost(size, self.alike[name]) for name in plan.stages}
        return Fit(plan, settings, costs, self.needed(size), self.machine.memory)

    def _too_small(self) -> OptionError:
        least = min(self._patches(), key=prod)
        needed = self.needed(Size(least, self.fixed.get("batch_size", 1), self.own_width))
        free = (" free", ", or end what else takes memory there") if self.machine.free else ("", "")
        return OptionError(
            f"{self.plan.network} needs {needed / GIB:.1f} GiB for one step with crops of "
            f"{'x'.join(map(str, least))}, and {self.machine.name} has {self.machine.memory / GIB:.1f} "
            f"GiB{free[0]}. Choose a smaller network or preset, such as --preset light{free[1]}."
        )
