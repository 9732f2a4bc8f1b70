"""Trains every line of a comparison with several seeds and puts the scores into one table.

    make comparison TRAIN=folder TEST=folder                    recipes of AEM+KD with one light network
    make comparison TRAIN=folder TEST=folder LINES=systems      RFNet, AEM+KD, MST-KDNet and AdaMM
    make comparison TRAIN=folder TEST=folder LINES=synthesis    tumors cut out or grown, both light networks

All lines make the same number of optimizer steps, spread evenly over their stages (to whole epochs:
a multiple of 300 divides without rest). One of the recipes makes a fifth of them, which is how the
published comparison treats its baseline. With --folds the lines are cross-validated inside the training
folder instead, which is how the bundled student's recipe is chosen. Stopped at any moment it goes on where
it was when called again.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from statistics import fmean
from typing import Any

import torch

from bundled_student import EXPERIMENTS_ONLY
from MissingModalityLib.core.errors import MissingModalityError, OptionError
from MissingModalityLib.core.labels import REGIONS
from MissingModalityLib.core.progress import Progress, progress_printer
from MissingModalityLib.datasets.discovery import find_cases
from MissingModalityLib.evaluation.averages import GROUPS
from MissingModalityLib.evaluation.comparison import compare_folders
from MissingModalityLib.evaluation.evaluate import evaluate_folder, read_evaluation
from MissingModalityLib.training.plan import Plan, make_plan
from MissingModalityLib.training.record import RunRecord
from MissingModalityLib.training.run import train
from MissingModalityLib.training.run_folder import RunFolder
from MissingModalityLib.training.stage_students import export

ROOT = Path(__file__).resolve().parents[1]
EXCLUDED = EXPERIMENTS_ONLY
"""Left out as the bundled student leaves it out: a comparison tells of what could ship."""


@dataclass(frozen=True)
class Line:
    """One line of a comparison: a recipe, its network, what is changed in it, and its share of the steps."""

    recipe: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    share: float = 1.0
    network: str | None = None


@dataclass(frozen=True)
class Comparison:
    """Lines by name, and what they have in common: preset, settings over it, steps, seeds."""

    lines: Mapping[str, Line]
    preset: str
    settings: Mapping[str, Any]
    steps: int
    seeds: int


SIGNED = {"pretrain.synthesis.difference": "signed"}
RFNET = {"patch_size": 80, "supervised.fusion_start_epoch": 5}
GROWN = {"pretrain.synthesis.method": "grown"}
COMPARISONS = {
    "recipes": Comparison(
        {
            "baseline": Line("baseline"),
            "baseline, a fifth of the steps": Line("baseline", share=0.2),
            "+AEM absolute": Line("aem"),
            "+AEM signed": Line("aem", SIGNED),
            "+AEM absolute +KD": Line("aem-kd"),
            "+AEM signed +KD": Line("aem-kd", SIGNED),
        },
        "paper",
        {
            # 600 steps are 30 epochs: 10 for each of three stages, 6 for the line with a fifth of them
            "iterations_per_epoch": 20,
            "batch_size": 1,
            "learning_rate": 4e-3,
            "ema_decay": 0.99,
            "precision": "bfloat16",
            "validation_fraction": 0,
            "patch_size": 96,
            "network.width": 8,
            "num_workers": 0,
        },
        steps=600,
        seeds=3,
    ),
    "systems": Comparison(
        {
            "RFNet one-to-many": Line("baseline", network="rfnet"),
            "AEM+KD": Line("aem-kd", network="rfnet"),
            "MST-KDNet": Line("mst-kd"),
            "AdaMM": Line("adamm"),
        },
        "light",
        {
            "iterations_per_epoch": 20,
            "patch_size": 96,
            # 300 steps are 5 epochs for each of three stages: the preset's 10 would never fuse in the first
            "supervised.fusion_start_epoch": 2,
            "precision": "bfloat16",
            "validation_fraction": 0,
            "num_workers": 0,
        },
        steps=300,
        seeds=1,
    ),
    "synthesis": Comparison(
        {
            "SegResNet": Line("baseline"),
            "+AEM": Line("aem"),
            "+grown": Line("aem", GROWN),
            "+AEM +KD": Line("aem-kd"),
            "+grown +KD": Line("aem-kd", GROWN),
            "gated fusion": Line("baseline", network="gatedfusion"),
            # the crop of its paper: at full resolution one of 128 takes many times as long
            "RFNet": Line("baseline", RFNET, network="rfnet"),
        },
        "light",
        {
            "iterations_per_epoch": 50,
            "ema_decay": 0.998,
            "subset_weights": "clinical",
            "precision": "bfloat16",
            "validation_fraction": 0,
            "num_workers": 0,
        },
        steps=1800,
        seeds=3,
    ),
}
"""What two cores of a CPU can train in one to two hours; "synthesis" asks for a night."""


@dataclass(frozen=True)
class Job:
    """One training with its evaluation.

    Attributes:
        name: of the line.
        line: what to train.
        preset: of the line's network.
        settings: put over the preset; all but the length of the stages.
        steps: of the optimizer, over all stages.
        seed: of the training.
        folder: of the run; its ``evaluation`` inside.
        test: folder of the cases to score.
    """

    name: str
    line: Line
    preset: str
    settings: Mapping[str, Any]
    steps: int
    seed: int
    folder: Path
    test: Path

    def choices(self) -> dict[str, Any]:
        """What makes the plan of the training."""
        chosen = {"recipe": self.line.recipe, "network": self.line.network, "preset": self.preset}
        stages = len(make_plan(**chosen).stages)
        epochs = round(self.steps * self.line.share / self.settings["iterations_per_epoch"] / stages)
        return {**chosen, "settings": {**self.settings, "epochs": epochs}}


def main() -> int:
    """Run all trainings; 0 done, 2 bad input with one message."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--train", type=Path, required=True, help="folder of training cases")
    parser.add_argument("--test", type=Path, help="folder of cases to score on; not with --folds")
    parser.add_argument("--lines", choices=COMPARISONS, default="recipes", help="default: %(default)s")
    parser.add_argument("--output", type=Path, help="folder of results; default: runs/comparison/LINES")
    parser.add_argument("--seeds", type=int, help=f"trainings per line; default: {_defaults('seeds')}")
    parser.add_argument("--steps", type=int, help=f"optimizer steps; default: {_defaults('steps')}")
    parser.add_argument("--folds", type=int, default=0, help="cross-validate inside the training folder")
    parser.add_argument("--at-once", type=int, default=1, help="trainings side by side, sharing the cores")
    options = parser.parse_args()
    if bool(options.test) == bool(options.folds):
        parser.error("give either --test or --folds")
    compared = COMPARISONS[options.lines]
    options.output = options.output or ROOT / "runs" / "comparison" / options.lines
    options.steps = options.steps or compared.steps
    options.seeds = options.seeds or compared.seeds
    try:
        jobs = list(_folds(options) if options.folds else _repeats(options))
        if options.at_once > 1:
            _side_by_side(jobs, options)
        else:
            with progress_printer("bar") as progress:
                for job in jobs:
                    _work(job, options, progress)
        print(_report(jobs, options.output, bool(options.folds)))
    except (MissingModalityError, OSError) as error:
        print(f"compare_recipes: error: {error}", file=sys.stderr)
        return 2
    return 0


def _defaults(name: str) -> str:
    return ", ".join(f"{getattr(compared, name)} ({lines})" for lines, compared in COMPARISONS.items())


def _repeats(options: argparse.Namespace) -> Iterator[Job]:
    """Every line with every seed; whole rounds, so that a stopped comparison is still a fair one."""
    left_out = tuple(case.name for case in find_cases(options.train).cases if case.name in EXCLUDED)
    for seed in range(options.seeds):
        for name in COMPARISONS[options.lines].lines:
            yield _job(name, options, seed, f"seed{seed}", left_out, options.test)


def _folds(options: argparse.Namespace) -> Iterator[Job]:
    """Every line but the short one on every fold; fold k scores the cases k, k + K, k + 2K, ..."""
    listing = find_cases(options.train)
    always = tuple(case.name for case in listing.cases if case.name in EXCLUDED)
    cases = [case for case in listing.labeled()[0] if case.name not in always]
    for fold in range(options.folds):
        left_out = cases[fold :: options.folds]
        part = f"fold{fold}of{options.folds}"  # other numbers of folds leave out other cases
        test = options.output / "folds" / part
        test.mkdir(parents=True, exist_ok=True)
        for case in left_out:
            if not (test / case.name).exists():
                # a link, since volumes are large; Windows allows it to administrators and in developer mode
                os.symlink(case.folder.resolve(), test / case.name)
        names = (*always, *(case.name for case in left_out))
        for name, line in COMPARISONS[options.lines].lines.items():
            if line.share == 1:
                yield _job(name, options, fold, part, names, test)


def _job(
    name: str, options: argparse.Namespace, seed: int, part: str, exclude: tuple[str, ...], test: Path
) -> Job:
    compared = COMPARISONS[options.lines]
    line = compared.lines[name]
    settings = {**compared.settings, "exclude": exclude, **line.changes}
    folder = options.output / _slug(name) / part
    return Job(name, line, compared.preset, settings, options.steps, seed, folder, test)


def _side_by_side(jobs: Sequence[Job], options: argparse.Namespace) -> None:
    """All jobs in processes of their own, as many at a time as asked for; a line for each that is done."""
    threads = max(1, torch.get_num_threads() // options.at_once)
    # spawned, because a forked process may hang in PyTorch's threads, which it has no copy of
    with ProcessPoolExecutor(
        options.at_once, get_context("spawn"), torch.set_num_threads, (threads,)
    ) as processes:
        waiting = {processes.submit(_work, job, options): job for job in jobs}
        try:
            for number, done in enumerate(as_completed(waiting), 1):
                done.result()
                print(f"{number} of {len(jobs)}: {waiting[done].folder}", file=sys.stderr, flush=True)
        except BaseException:  # else leaving the block would first wait for every training in the queue
            processes.shutdown(wait=False, cancel_futures=True)
            raise


def _work(job: Job, options: argparse.Namespace, progress: Progress = lambda event: None) -> None:
    """Train, export and score, as far as that is not done."""
    choices = job.choices()
    begun = RunFolder(job.folder).has_checkpoint
    if begun and _plan(job.folder) != make_plan(**choices):
        raise OptionError(
            f"{job.folder} holds a training of another length or with other settings. "
            "Give --steps as before, or another --output."
        )
    if (job.folder / "evaluation" / "summary.json").exists():
        scored = read_evaluation(job.folder / "evaluation")["data"]
        if scored != job.test.resolve().name:
            raise OptionError(f"{job.folder} was scored on {scored}. Give --test as before.")
        return
    prepared = options.output / "prepared"
    if begun:
        train(options.train, job.folder, resume=True, prepared=prepared, on_progress=progress)
    else:
        train(options.train, job.folder, **choices, seed=job.seed, prepared=prepared, on_progress=progress)
    # a quarter of overlap in place of half saves time, for all lines alike
    student = export(job.folder, job.folder / "student.safetensors", {"name": job.name, "overlap": 0.25})
    # last, and its summary last of all: a job that has one is done
    evaluate_folder(student, job.test, job.folder / "evaluation", on_progress=progress)


def _plan(run: Path) -> Plan:
    return RunRecord.read(RunFolder(run)).plan


def _report(jobs: list[Job], output: Path, folds: bool) -> str:
    groups: dict[str, list[Path]] = {}
    for job in jobs:
        groups.setdefault(job.name, []).append(job.folder / "evaluation")
    if not folds:
        return compare_folders(groups, output)["markdown"]
    # folds hold different cases, so their scores are averaged and not compared
    means = {
        line: _mean_averages([read_evaluation(path) for path in paths]) for line, paths in groups.items()
    }
    (output / "cross_validation.json").write_text(json.dumps(means, indent=2), encoding="utf-8")
    return json.dumps(means, indent=2)


def _mean_averages(evaluations: list[dict[str, Any]]) -> dict[str, float]:
    """Mean Dice over folds, weighted by their cases: over all subsets and each group that all folds have."""
    weights = [len(evaluation["cases"]) for evaluation in evaluations]
    means = {}
    for group in [group for group in GROUPS if all(group in one["averages"] for one in evaluations)]:
        for region in REGIONS:
            scores = [evaluation["averages"][group]["dice"][region] for evaluation in evaluations]
            means[f"{group} {region}"] = round(fmean(scores, weights), 4)
    return means


def _slug(name: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in name.lower()).strip("-")


if __name__ == "__main__":
    sys.exit(main())
