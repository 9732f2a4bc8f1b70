"""The recipe of the bundled student, trained for a given time: as many epochs as end in it.

    python Scripts/timed_training.py --data PREPARED --output FOLDER --until $(($(date +%s) + 400))

Epochs are chosen from the speed that the first ones of each stage had, in the recipe's proportions, and
chosen again where the speed changes; the run is resumed with them, so learning rates fall as in a run that
was planned so. Once a minute and at the end, student and state go into ``FOLDER/pieces``, see ``pieces.py``:
whatever ends the process, they are there. The run goes on anywhere else, from what ``pieces.py`` joins:

    python Scripts/pieces.py FOLDER/pieces JOINED
    missing-modality train --resume --output JOINED/run --data CASES --set train.epochs=200
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import torch

import bundled_student
import pieces
from MissingModalityLib.cli.options import add_settings
from MissingModalityLib.core.errors import CaseError, MissingModalityError
from MissingModalityLib.core.files import atomic_write
from MissingModalityLib.core.progress import Event
from MissingModalityLib.datasets.discovery import find_cases
from MissingModalityLib.datasets.splitting import split_cases
from MissingModalityLib.imaging.cache import CachedCase, cache_case
from MissingModalityLib.runtime.devices import choose_device
from MissingModalityLib.synthesis.options import SynthesisOptions
from MissingModalityLib.synthesis.pairing import grow_cases
from MissingModalityLib.synthesis.tumor_cache import cache_tumor, tumor_folder
from MissingModalityLib.training.record import RunRecord
from MissingModalityLib.training.run import train
from MissingModalityLib.training.run_folder import RunFolder
from MissingModalityLib.training.stage_students import export

STUDENT, PIECES = "student.safetensors", "pieces"
SEED = 0
"""Of the run, and so of its synthesis."""

KEEP_SECONDS = 60.0
"""Between two times that student and state are kept: what a process that is killed loses at most."""

MOST_WORKERS = 8
"""Processes that cut crops for a GPU; the recipe's own number is for a CPU that computes the network too."""

_DRIFT = 0.1
"""Of the time left: how far a run may be from ending in time before its epochs are chosen anew."""

_SPARE = 0.02
"""Of the time left: not planned with, since the last epochs may be slower than those measured."""

_LEAST_PAUSE = 30.0
"""Seconds between two choices of epochs, each of which costs a start of the training."""


class Interrupted(Exception):
    """Raised in a training's progress: its epochs are to be chosen anew, or its time is over."""


def fit_epochs(
    wanted: Mapping[str, int], done: Mapping[str, int], seconds: Mapping[str, float], left: float
) -> dict[str, int]:
    """Epochs of the stages that are not over, so that a run ends in the time left.

    Args:
        wanted: epochs of each stage that is not over by the recipe, in order.
        done: how many of them are done; stages that have not begun may be absent.
        seconds: that an epoch of each takes.
        left: seconds.

    Returns:
        Epochs by stage, in the proportions of ``wanted`` as far as whole numbers allow: at least one, and not
        fewer than are done.
    """
    spent = sum(done.get(stage, 0) * seconds[stage] for stage in wanted)
    factor = (max(0.0, left) + spent) / sum(wanted[stage] * seconds[stage] for stage in wanted)
    return {stage: max(1, done.get(stage, 0), int(factor * wanted[stage])) for stage in wanted}


class Pace:
    """Seconds that epochs of each stage take, from the times at which they begin."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.startup = 0.0
        self._asked = 0.0
        self._place: tuple[str, int] | None = None
        self._since: tuple[int, float] | None = None

    def start(self, now: float) -> None:
        """The training is started, or started again."""
        self._asked, self._place, self._since = now, None, None

    def step(self, stage: str, done: int, now: float) -> bool:
        """A step was made after ``done`` epochs of a stage; whether it is the first of its epoch."""
        if self._place == (stage, done):
            return False
        if self._place is None:
            self.startup = now - self._asked
        if self._place is None or self._place[0] != stage:
            self._since = None  # the first epoch of a start or stage also waits for files and kernels
        elif self._since is None:
            self._since = done, now
        else:
            since, start = self._since
            self.seconds[stage] = (now - start) / (done - since)
        self._place = stage, done
        return True


class TimedRun:
    """A run of the bundled recipe that ends in time.

    Args:
        data: folder of cases.
        run: folder of the run, absent or to be resumed.
        ends: when training has to be over, on ``clock``.
        keep: keeps student and state; called between epochs and at the end.
        settings: over those of the recipe.
        device: to train on.
        clock: seconds.
    """

    def __init__(
        self,
        data: Path,
        run: Path,
        ends: float,
        keep: Callable[[], None],
        settings: Mapping[str, Any] | None = None,
        device: str = "auto",
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.data, self.folder, self.ends, self.keep = data, RunFolder(run), ends, keep
        self.settings, self.device, self.clock = dict(settings or {}), device, clock
        self.pace = Pace()
        self.wanted: dict[str, int] = {}
        self.epochs: dict[str, int] = {}
        self._steps: dict[str, int] = {}
        self._chosen: dict[str, float] = {}
        self._kept = clock()

    def train(self) -> None:
        """Train until the schedule ends or the time is over.

        Raises:
            MissingModalityError: as :func:`~MissingModalityLib.training.run.train`.
        """
        while self.clock() < self.ends:
            self.pace.start(self.clock())
            try:
                self._train()
                break
            except Interrupted as reason:
                print(reason, flush=True)
        if self.folder.has_checkpoint:
            self.keep()

    def _train(self) -> None:
        choices: dict[str, Any] = {"device": self.device, "on_progress": self._watch}
        if self.folder.has_checkpoint:
            epochs = {f"{stage}.epochs": number for stage, number in self.epochs.items()}
            train(self.data, self.folder.path, resume=True, settings=epochs, **choices)
        else:
            bundled_student.begin(self.data, self.folder.path, self.settings, seed=SEED, **choices)

    def _watch(self, event: Event) -> None:
        """Progress of the training: measures epochs, and stops what would not end in time.

        Raises:
            Interrupted: go on with other epochs, or end.
        """
        if self.clock() >= self.ends:
            raise Interrupted("The time for training is over.")
        if not self.wanted and self.folder.record.exists():
            stages = RunRecord.read(self.folder).plan.stages
            self._steps = {name: stage.iterations_per_epoch for name, stage in stages.items()}
            self.wanted = {name: stage.epochs for name, stage in stages.items()}
            self.epochs = dict(self.wanted)
        if event.stage not in self.wanted:
            return
        # before the first step of an epoch the one before it has been written to the checkpoint
        done = max(0, event.step - 1) // self._steps[event.stage]
        if self.pace.step(event.stage, done, self.clock()) and done:
            if self.clock() - self._kept >= KEEP_SECONDS:
                self.keep()
                self._kept = self.clock()
            if event.stage in self.pace.seconds:
                self._choose(event.stage, done)

    def _choose(self, stage: str, done: int) -> None:
        """Choose epochs anew where those of now would end too early or too late.

        Raises:
            Interrupted: with other epochs.
        """
        now, cost = self.clock(), self.pace.seconds[stage]
        if stage in self._chosen and now - self._chosen[stage] < _LEAST_PAUSE:
            return
        names = list(self.wanted)
        wanted = {name: self.wanted[name] for name in names[names.index(stage) :]}
        # other epochs mean one start more; a first one, which may also make files, took longer
        left = (1 - _SPARE) * (self.ends - now - self.pace.startup)
        costs = {name: self.pace.seconds.get(name, cost) for name in wanted}
        planned = sum(self.epochs[name] * costs[name] for name in wanted) - done * cost
        self._chosen[stage] = now
        if abs(planned - left) <= _DRIFT * max(left, cost):
            return
        chosen = fit_epochs(wanted, {stage: done}, costs, left)
        if any(self.epochs[name] != number for name, number in chosen.items()):
            self.epochs.update(chosen)
            raise Interrupted(f"{stage}: {cost:.2f} s an epoch, {left:.0f} s left; epochs: {self.epochs}")


def make_tumors(data: Path, exclude: Sequence[str] = ()) -> None:
    """Cut or grow the tumors of the recipe's synthesis, in a process per core; training itself takes one.

    Args:
        data: folder of prepared cases; the tumors go where training looks for them.
        exclude: names of cases that are not trained on.
    """
    plan, folder = bundled_student.plan(), tumor_folder(data)
    usable = [case for case in find_cases(data).cases if case.name not in exclude]
    real = [cache_case(case, data) for case in split_cases(usable, plan.validation_fraction, SEED)[0]]
    shares = os.cpu_count() or 1
    context = multiprocessing.get_context("spawn")  # a copy of this process would share PyTorch's threads
    with ProcessPoolExecutor(shares, context, torch.set_num_threads, (1,)) as pool:
        jobs = []
        for synthesis in (stage.synthesis for stage in plan.stages.values()):
            if synthesis.method == "aem":
                with_tumor = [case for case in real if len(case.tumor_voxels())]
                jobs += [pool.submit(cache_tumor, case, folder, synthesis.options) for case in with_tumor]
            elif synthesis.method == "grown":
                numbers = range((synthesis.factor - 1) * len(real))
                parts = filter(None, (numbers[part::shares] for part in range(shares)))
                jobs += [pool.submit(_grow, real, part, folder, synthesis.options) for part in parts]
        for job in jobs:
            job.result()


def _grow(cases: Sequence[CachedCase], numbers: range, folder: Path, options: SynthesisOptions) -> None:
    grow_cases(cases, numbers, SEED, options, folder)


def keep_result(run: Path, output: Path) -> None:
    """Keep a run's student and state in pieces, and the student as a file where it is small enough.

    Args:
        run: folder of the run; the student is made beside it.
        output: folder for ``pieces`` and the student.
    """
    student = export(run, run.parent / STUDENT, bundled_student.FACTS)
    folder = RunFolder(run)
    stages = [folder.student(stage) for stage in RunRecord.read(folder).plan.stages]
    state = [path for path in (folder.record, folder.checkpoint, folder.log, *stages) if path.exists()]
    pieces.split([student, *state], run.parent, output / PIECES)
    if student.stat().st_size <= pieces.LARGEST_PIECE:
        with atomic_write(output / STUDENT) as temporary:
            shutil.copyfile(student, temporary)


def main(arguments: Sequence[str] | None = None) -> int:
    """Train; 0 done, 2 with a message where that cannot be."""
    options = _options(arguments)
    with tempfile.TemporaryDirectory() as work:
        run = Path(work) / "run"
        try:
            _check_new(options.output)
            own = _settings(options.device)
            options.output.mkdir(parents=True, exist_ok=True)
            make_tumors(options.data, bundled_student.excluded(options.data))
            keep = partial(keep_result, run, options.output)
            settings = {**own, **dict(options.settings)}
            TimedRun(options.data, run, options.until, keep, settings, options.device).train()
        except (MissingModalityError, OSError) as error:
            print(f"timed_training: error: {error}", file=sys.stderr)
            return 2
    return 0


def _check_new(output: Path) -> None:
    """Refuse a folder whose run would be replaced."""
    if (output / PIECES / pieces.MANIFEST).exists():
        raise CaseError(
            f"{output}: holds the student and the state of an earlier run, which this one would replace. "
            "Choose another folder."
        )


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder of cases")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="for student and state")
    # a time of day, not a duration: on a busy machine the imports above take their share of it
    parser.add_argument(
        "--until", type=float, required=True, metavar="TIME", help="end of training, in seconds since 1970"
    )
    parser.add_argument("--device", default="auto", help="default: %(default)s")
    add_settings(parser, "other settings than the recipe's, such as patch_size=32 to try the script")
    return parser.parse_args(arguments)


def _settings(device: str) -> dict[str, Any]:
    """What differs from the bundled recipe because of the machine."""
    if choose_device(device).type != "cuda":
        return {}
    return {"num_workers": min(MOST_WORKERS, (os.cpu_count() or 1) - 1)}


if __name__ == "__main__":
    sys.exit(main())
