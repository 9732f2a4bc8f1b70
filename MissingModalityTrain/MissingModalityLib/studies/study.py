"""What a study is: the rows of a table, and the trainings that each row needs; plain values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Training:
    """One stage of a recipe on one network; equal ones are trained once, whatever rows and tables need them.

    Attributes:
        network: name in the registry; a study may name one that is not there, whose rows say so.
        recipe: whose stage it is.
        stage: of the recipe.
        settings: put over the preset, as ``--set`` takes them.
        after: the training whose network it begins with; None for fresh weights.
        epochs: as published, of the preset ``paper``; None for what that has.
        length: of the smaller presets, which give all stages equal lengths, how much longer this one is.
    """

    network: str
    recipe: str = "baseline"
    stage: str = "train"
    settings: tuple[tuple[str, Any], ...] = ()
    after: Training | None = None
    epochs: int | None = None
    length: float = 1.0

    def chain(self) -> tuple[Training, ...]:
        """All that has to be trained, in order; this one last."""
        return (*(self.after.chain() if self.after else ()), self)


@dataclass(frozen=True)
class Row:
    """A line of a table, or a column where subsets are lines.

    Attributes:
        name: as the paper prints it.
        training: whose network is scored; None where each subset has its own.
        printed: the method's name in the file of printed numbers; empty where there are none.
        base: name of the row that it is tested against; empty for none.
        by_subset: where a network for each subset is scored on that subset alone, these.
    """

    name: str
    training: Training | None
    printed: str = ""
    base: str = ""
    by_subset: tuple[tuple[str, Training], ...] = ()

    def scored(self) -> tuple[tuple[str, Training], ...]:
        """The trainings whose networks are scored, each with its subset; an empty name stands for all."""
        return (*((("", self.training),) if self.training else ()), *self.by_subset)


@dataclass(frozen=True)
class DataSet:
    """The data that a table is about.

    Attributes:
        name: in the file of printed numbers.
        splits: names of divisions of published sizes; the table has the mean over them.
    """

    name: str
    splits: tuple[str, ...]


@dataclass(frozen=True)
class Study:
    """A table.

    Attributes:
        name: by which it is asked for.
        title: what it compares, one line.
        rows: in the table's order.
        source: of its numbers, as the file of printed numbers names it; empty for a comparison of our own.
        data: the data sets that the paper has it for, the usual one first.
        layout: "means" (a line for each row), "subsets" (a line for each subset, a column for each row) or
            "methods" (a line for each row, a column for each subset).
        metrics: of "dice" and "hd95".
        subsets: of the layout "methods", its columns by name; empty for all, and their mean.
        et_filtered: whether the printed ET is most likely that without fewer than 500 voxels.
        equal_steps: whether the smaller presets give all rows equally many steps.
        hd95_rule, hd95_definition: keys of :data:`~..evaluation.hd95_rules.HD95_RULES` and
            ``HD95_DEFINITIONS``.
        course: the stage over whose epochs the rows are drawn as curves too; empty for none.
        further: rows that the paper does not have, of the smaller presets.
    """

    name: str
    title: str
    rows: Sequence[Row]
    source: str = ""
    data: Sequence[DataSet] = field(default=(DataSet("", ("",)),))
    layout: str = "means"
    metrics: Sequence[str] = ("dice",)
    subsets: Sequence[str] = ()
    et_filtered: bool = False
    equal_steps: bool = True
    hd95_rule: str = "penalty"
    hd95_definition: str = "directed"
    course: str = ""
    further: Sequence[Row] = ()
