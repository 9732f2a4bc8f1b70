"""The runs of a study: one for each training, division and seed, in folders named by what they are made of.

Two studies in one output folder share runs whose content is the same. A run begun is resumed, a finished one
is used; one whose settings were changed has another folder.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from itertools import product
from pathlib import Path
from typing import Any

from ..core import strict_json
from ..core.errors import CaseError
from ..core.progress import Progress
from ..networks.registry import NETWORKS
from ..runtime import lock
from ..training.plan import Plan, to_json
from ..training.recipes import RECIPES
from ..training.record import RunRecord
from ..training.run_folder import RunFolder
from .division import Division
from .sizes import Size, plan_of, rows_of, steps_of
from .study import Row, Study, Training

_DIGITS = 8
"""Of the hash in a folder's name; a study has some dozen runs."""


@dataclass(frozen=True)
class StudyRun:
    """One run.

    Attributes:
        training: what it is a run of.
        plan: with all settings.
        division: who trains.
        seed: of the run.
        after: whose network it begins with.
        folder: of the run.
    """

    training: Training
    plan: Plan
    division: Division
    seed: int
    after: StudyRun | None
    folder: RunFolder

    @property
    def student(self) -> Path:
        """What it ends with."""
        return self.folder.student(self.training.stage)

    @property
    def is_over(self) -> bool:
        """Whether it has been trained to its end."""
        return self.student.is_file()

    @property
    def is_begun(self) -> bool:
        """Whether training goes on with what is there, or is over."""
        return self.is_over or self.folder.has_checkpoint

    @property
    def state(self) -> str:
        """In a word, for lists."""
        if lock.is_held(self.folder.path):
            return "in work"
        if self.is_over:
            return "over"
        return "begun" if self.is_begun else "to do"

    @property
    def steps(self) -> int:
        """Of the optimizer."""
        return steps_of(self.plan)

    @property
    def steps_in_all(self) -> int:
        """With those of what it begins with; its own as its folder says, for it may have been trained on."""
        try:
            own = steps_of(RunRecord.read(self.folder).plan)
        except CaseError:  # not begun yet
            own = self.steps
        return own + sum(run.steps for run in needed_for(self)) - self.steps


@dataclass(frozen=True)
class Cell:
    """What a row is scored by with one division and seed: its network for all subsets, or for one of them."""

    row: Row
    run: StudyRun
    subset: str = ""


@dataclass(frozen=True)
class Runs:
    """All runs of a study.

    Attributes:
        runs: in the order in which they can be trained: whatever a run begins with stands before it; whole
            rounds of a seed, so that a study that was stopped is still a fair one.
        cells: what rows are scored by.
    """

    runs: Sequence[StudyRun]
    cells: Sequence[Cell]


def is_available(row: Row) -> bool:
    """Whether this version has the networks and recipes of a row."""
    return all(
        part.network in NETWORKS and part.recipe in RECIPES
        for _, training in row.scored()
        for part in training.chain()
    )


def runs_of(
    study: Study,
    size: Size,
    divisions: Sequence[Division],
    seeds: int,
    output: Path,
    changes: Mapping[str, Any],
) -> Runs:
    """The runs of the rows that are available.

    Args:
        study: what is trained.
        size: how large and long.
        divisions: who trains and is scored.
        seeds: how often, with the seeds 0, 1, ...
        output: folder that the runs' folders are in.
        changes: settings put over those of all runs.

    Raises:
        OptionError: a setting that does not exist or is out of its range.
    """
    runs: dict[Path, StudyRun] = {}
    cells = []
    rows = [row for row in rows_of(study, size) if is_available(row)]
    longest = max((len(one.chain()) for row in rows for _, one in row.scored()), default=1)
    planned = cache(partial(plan_of, size=size, changes=changes))  # of each training once, which takes time
    for seed, division, row in product(range(seeds), divisions, rows):
        for subset, training in row.scored():
            chain = training.chain()
            last = None
            for part in chain:
                plan = planned(part, share=len(chain) if study.equal_steps else longest)
                run = _run(part, plan, division, seed, last, output)
                last = runs.setdefault(run.folder.path, run)
            cells.append(Cell(row, last, subset))
    return Runs(tuple(runs.values()), tuple(cells))


def _run(
    training: Training, plan: Plan, division: Division, seed: int, after: StudyRun | None, output: Path
) -> StudyRun:
    content = [to_json(plan), division.training, seed, after and after.folder.path.name]
    key = hashlib.sha256(strict_json.dumps(content).encode()).hexdigest()[:_DIGITS]
    parts = (training.network, training.recipe, training.stage, f"seed{seed}", key)
    return StudyRun(training, plan, division, seed, after, RunFolder(output / "runs" / "-".join(parts)))


def needed_for(run: StudyRun) -> Iterator[StudyRun]:
    """The run and what it begins with, in the order of training."""
    if run.after is not None:
        yield from needed_for(run.after)
    yield run


def train_run(
    run: StudyRun,
    data: Path,
    prepared: Path,
    device: str,
    convention: str | None,
    report: Progress,
) -> None:
    """Train a run to its end, from where it is; what it begins with is over.

    Raises:
        CaseError, StudentError, OptionError: as :func:`~..training.run.train`.
    """
    from ..training.run import train  # loads PyTorch, which lists of runs do without

    common = {"device": device, "on_progress": report}
    if run.folder.has_checkpoint:
        train(data, run.folder.path, resume=True, prepared=prepared, **common)
        return
    train(
        data,
        run.folder.path,
        settings=run.plan,
        initial=run.after and run.after.student,
        seed=run.seed,
        convention=convention,
        prepared=prepared,
        cases=run.division.training_list,
        **common,
    )
