"""How large and how long a study is: as in its paper, light for computers without GPU, quick for a trial."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from ..core.errors import OptionError
from ..core.words import unknown_name
from ..training.plan import Plan, make_plan
from .study import Row, Study, Training


@dataclass(frozen=True)
class Size:
    """What all trainings of a study have in common.

    Attributes:
        preset: of the networks.
        settings: put over it.
        of_network: put over that, by name of the network.
        steps: of the optimizer for each row, shared equally among its stages; None: as published.
        card: facts of the students that are scored, such as the overlap of windows.
        window: of the networks in ``of_network`` where they are scored, whatever they are trained on.
        training_cases: how many are trained on at most; None for all.
        test_cases: how many are scored at most; None for all.
    """

    preset: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    of_network: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    steps: int | None = None
    card: Mapping[str, Any] = field(default_factory=dict)
    window: tuple[int, int, int] | None = None
    training_cases: int | None = None
    test_cases: int | None = None

    def card_of(self, network: str) -> dict[str, Any]:
        """Facts of the students of a network; empty for those that training gave them."""
        own = {"window": list(self.window)} if self.window and network in self.of_network else {}
        return {**self.card, **own}


_NARROW = {"uhved": 2, "robustseg": 2, "rfnet": 4, "uhemis": 2, "segresnet": 8}
"""The least width of the hosts of Table 4."""


def _narrow(side: int) -> dict[str, dict[str, Any]]:
    """Settings of the hosts, on crops of so many voxels a side."""
    return {
        network: {"patch_size": (side,) * 3, "network.width": width} for network, width in _NARROW.items()
    }


_LIGHT = _narrow(64)

SIZES: Mapping[str, Size] = MappingProxyType(
    {
        # the papers train on every training case and hold none of them out
        "paper": Size("paper", {"validation_fraction": 0}),
        "light": Size(
            "light",
            {"validation_fraction": 0, "iterations_per_epoch": 20},
            {
                **_LIGHT,
                # a third of 600 steps are ten epochs: the preset's ten without fusion would be all of them
                "rfnet": {**_LIGHT["rfnet"], "supervised.fusion_start_epoch": 2},
                "segresnet": {"patch_size": (96, 96, 96)},  # its body sees blocks of 2 voxels as one
            },
            steps=600,
            card={"overlap": 0.1},
            window=(80, 96, 80),  # two along each axis cover nearly all brains
        ),
        "quick": Size(
            "quick",
            {"validation_fraction": 0, "iterations_per_epoch": 1},
            _narrow(32),
            steps=6,
            card={"overlap": 0.0},
            window=(160, 192, 160),  # one holds nearly any brain, so that no voxel is predicted twice
            training_cases=8,
            test_cases=1,
        ),
    }
)


def size_named(name: str, steps: int | None = None) -> Size:
    """The size of a preset, with so many steps for each row in place of its own.

    Raises:
        OptionError: there is none of that name, or its steps are the paper's.
    """
    if name not in SIZES:
        raise OptionError(unknown_name("preset", name, SIZES))
    if steps is None:
        return SIZES[name]
    if SIZES[name].steps is None:
        raise OptionError(f"Steps are those that the paper has with preset {name}. Choose light or quick.")
    return replace(SIZES[name], steps=steps)


def rows_of(study: Study, size: Size) -> tuple[Row, ...]:
    """The rows of a study in a size."""
    return (*study.rows, *(study.further if size.steps is not None else ()))


def plan_of(training: Training, size: Size, share: int, changes: Mapping[str, Any]) -> Plan:
    """The plan of a training.

    Args:
        training: one that can be had here.
        size: of the study.
        share: stages that share the steps of a row with it, itself included.
        changes: put over all else but the length.

    Raises:
        OptionError: a setting that does not exist or is out of its range.
    """
    settings = {**size.settings, **size.of_network.get(training.network, {}), **dict(training.settings)}
    settings |= changes
    plan = make_plan(training.recipe, training.network, size.preset, (training.stage,), settings)
    epochs = training.epochs
    if size.steps is not None:
        (stage,) = plan.stages.values()
        epochs = max(1, round(size.steps * training.length / share / stage.iterations_per_epoch))
    if epochs is None or "epochs" in changes:
        return plan
    return make_plan(
        training.recipe, training.network, size.preset, (training.stage,), {**settings, "epochs": epochs}
    )


def steps_of(plan: Plan) -> int:
    """Of the optimizer."""
    return sum(stage.epochs * stage.iterations_per_epoch for stage in plan.stages.values())
