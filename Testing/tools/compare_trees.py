"""Shows that a change of the code changes no result: two checkouts do the same work and are compared.

    python Testing/tools/compare_trees.py BEFORE AFTER
    python Testing/tools/compare_trees.py BEFORE AFTER --small --only interface baseline

BEFORE and AFTER are folders of checkouts, say of `git worktree add ../before COMMIT`; neither is written to.
Each runs in processes of its own with its own library, one thread each. Checks, all by default:

interface     commands, their options, public functions with their parameters, and keywords of public classes
              that BEFORE has are there in AFTER
phantom       the same synthetic patients to the bit
synthesis     the same synthetic volumes to the bit, transplanted and mixed
segmentation  the same label maps of the bundled student to the bit: a phantom in all 15 subsets, and two real
              cases, where there are any, with all sequences and with each alone
baseline, aem-kd, mst-kd, adamm
              a small run of that recipe, each with another network, that is killed in BEFORE and resumed in
              AFTER ends with the weights and losses of one that BEFORE alone made; both export the same
              student, and what BEFORE exported segments and scores the same in AFTER

Settings have the names that BEFORE knows, so that AFTER has to read earlier ones. Prints a table; exit code 0
where nothing differs, else 1.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import combinations
from pathlib import Path

import tree_differences

PROBE = Path(__file__).resolve().with_name("tree_probe.py")
SHARED = Path(os.environ.get("MISSINGMODALITY_SHARED") or PROBE.parents[2].parent / "shared")

SYNTHESES = {
    "aem": {"difference": "signed"},
    "aem with everything": {
        **{"difference": "signed", "placement": "random", "clip": "true", "scale": "0.2", "rotation": "15"},
        **{"flip": "true", "blend": "2", "tumors": "2"},
    },
    "mixup": {"alpha": "0.3"},
}
KILLED = 9
"""Exit code of a training that ended itself as it was told."""


@dataclass(frozen=True)
class Training:
    """A run of seconds: its network, what is set beside :data:`QUICK`, and the step at which it is killed."""

    network: str
    settings: Mapping[str, str]
    killed_at: int = 3


QUICK = {
    **{"epochs": "2", "iterations": "2", "batch": "1", "crop": "16", "average": "0.9", "workers": "0"},
    **{"validate_every": "2", "subsets": "FLAIR", "foreground": "0.5", "clip": "1.0"},
}
TRAININGS = {
    "baseline": Training(
        "segresnet", {"network.filters": "8", "network.blocks": "1,1", "network.dropout": "0.2"}
    ),
    "aem-kd": Training(
        "rfnet",
        {
            **{"network.width": "4", "fusion_start": "1", "teacher_every": "1", "distilled": "encoder"},
            **{"pretrain.factor": "2", "pretrain.synthetic.clip": "true", "pretrain.synthetic.scale": "0.2"},
        },
        killed_at=11,  # in the second epoch of the third stage: a teacher has been replaced by then
    ),
    "mst-kd": Training(
        "mstkdnet",
        {
            **{"network.width": "8", "network.embedding": "16", "network.layers": "4", "network.heads": "4"},
            **{"network.hidden": "16", "network.decoder": "16", "network.grid": "1,1,1", "crop": "32"},
            **{"joint.entropy": "0.5", "joint.scales": "0.4"},
        },
    ),
    "adamm": Training(
        "adamm", {"network.width": "8", "network.adapters": "2", "network.nodes": "2", "joint.entropy": "0.5"}
    ),
}


class TreeError(Exception):
    """A process of one of the checkouts failed where it should not have."""


@dataclass(frozen=True)
class Tree:
    """A checkout.

    Attributes:
        name: BEFORE or AFTER.
        root: its folder.
    """

    name: str
    root: Path

    def python(self, *arguments: object, code: int = 0) -> str:
        """Standard output of Python with this checkout's library.

        Raises:
            TreeError: it ended with another exit code than ``code``.
        """
        environment = {
            **os.environ,
            **{"PYTHONPATH": str(self.root / "MissingModalityTrain"), "PYTHONDONTWRITEBYTECODE": "1"},
            # last digits of sums depend on the number of threads
            **{"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "COLUMNS": "100"},
        }
        command = [sys.executable, *map(str, arguments)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        if done.returncode != code:
            last = (done.stderr.strip() or done.stdout.strip() or "silent").splitlines()[-1]
            shown = " ".join(Path(each).name for each in command[1:5])
            raise TreeError(f"{self.name}: `{shown} ...` ended with {done.returncode}: {last}")
        return done.stdout

    def run(self, *arguments: object) -> str:
        """Standard output of a console command."""
        return self.python("-m", "MissingModalityLib", *arguments)

    def commands(self) -> list[str]:
        """Names, as the help lists them."""
        _, _, listed = self.run("--help").partition("COMMAND\n")
        return re.findall(r"^ {4}([a-z][a-z-]*)(?: |$)", listed, re.MULTILINE)

    def options(self, command: str) -> set[str]:
        """``--output`` and the like that the help of a command names."""
        return set(re.findall(r"--[a-z][a-z0-9-]*", self.run(command, "--help")))


@dataclass(frozen=True)
class Trees:
    """The two checkouts, and a folder to work in."""

    before: Tree
    after: Tree
    work: Path
    small: bool

    @cached_property
    def cases(self) -> Path:
        """Small labeled cases, made by BEFORE."""
        self.before.python(PROBE, "cases", self.work / "cases")
        return self.work / "cases"

    def both(self, name: str, *arguments: object) -> tuple[Path, Path]:
        """A console command in both, and the folders ``name`` that it filled."""
        folders = self.work / "before" / name, self.work / "after" / name
        for tree, folder in zip((self.before, self.after), folders, strict=True):
            folder.parent.mkdir(parents=True, exist_ok=True)
            tree.run(*arguments, "--output", folder)
        return folders


Results = Iterator[tuple[str, str]]
"""What was compared, and how it differs; an empty text where it does not."""


def check_interface(trees: Trees) -> Results:
    """Commands, options, public names."""
    offered = trees.after.commands()
    for command in trees.before.commands():
        if command not in offered:
            yield f"command {command}", "is gone"
            continue
        gone = trees.before.options(command) - trees.after.options(command)
        yield f"command {command}", f"lacks {', '.join(sorted(gone))}" if gone else ""
    before, after = (json.loads(tree.python(PROBE, "interface")) for tree in (trees.before, trees.after))
    for name, parameters in before["functions"].items():
        kept = after["functions"].get(name)
        gone = [each for each in parameters if kept is not None and each not in kept]
        yield f"mm.{name}", "is gone" if kept is None else f"lacks {', '.join(gone)}" if gone else ""
    refused = json.loads(trees.after.python(PROBE, "accepts", json.dumps(before["classes"])))
    yield "keywords of public classes", "; ".join(f"{name}: {why}" for name, why in refused.items())


def check_phantom(trees: Trees) -> Results:
    """The small cases of both; without --small a full-size one too."""
    trees.after.python(PROBE, "cases", trees.work / "after" / "cases")
    yield "coarse phantoms", tree_differences.volumes(trees.cases, trees.work / "after" / "cases")
    if not trees.small:
        yield "phantom", tree_differences.volumes(*trees.both("phantom", "phantom", "--seed", 1))


def check_synthesis(trees: Trees) -> Results:
    """Folders of synthetic cases, and the steps of one pair."""
    common = ("synthesize", "--data", trees.cases, "--seed", 3, "--progress", "none")
    for name, options in SYNTHESES.items():
        method = ("--factor", 2, "--method", name.split()[0], "--set", *_pairs(options))
        yield name, tree_differences.volumes(*trees.both(f"synthesis/{name}", *common, *method))
    pair = ("--pair", "patient_0000", "patient_0002", "--modality", "T1CE")
    yield "steps of a pair", tree_differences.volumes(*trees.both("pair", *common, *pair))


def check_segmentation(trees: Trees) -> Results:
    """Label maps of the bundled student."""
    if trees.small:
        cases = [trees.cases / "patient_0000"]
    else:
        trees.before.run("phantom", "--seed", 1, "--output", trees.work / "patients")
        real = sorted(path for path in (SHARED / "data/cases/test").glob("*") if path.is_dir())[:2]
        cases = [trees.work / "patients" / "patient_0001", *real]
    for case in cases:
        folder = trees.work / "subsets" / case.name
        count = _write_subsets(case, folder, every=case is cases[0])
        arguments = ("segment-folder", "--data", folder, "--suffix", ".nii.gz", "--progress", "none")
        results = trees.both(f"segmentation/{case.name}", *arguments)
        yield f"{case.name}, {count} subsets", tree_differences.volumes(*results)


def _write_subsets(case: Path, folder: Path, every: bool) -> int:
    """A case for each subset of the sequences of one: all subsets, or all sequences and each alone."""
    images = {
        path.name.removesuffix(".nii.gz").rpartition("_")[2]: path
        for path in sorted(case.glob("*.nii.gz"))
        if not path.name.endswith("seg.nii.gz")
    }
    sizes = range(1, len(images) + 1) if every else (1, len(images))
    subsets = [subset for size in sizes for subset in combinations(images, size)]
    for subset in subsets:
        target = folder / f"{case.name}_{'_'.join(subset)}"
        target.mkdir(parents=True)
        for name in subset:
            shutil.copyfile(images[name], target / f"{name}.nii.gz")
    return len(subsets)


def check_training(recipe: str, trees: Trees) -> Results:
    """A run killed in BEFORE and resumed in AFTER beside one of BEFORE; their students."""
    training, folder = TRAININGS[recipe], trees.work / "runs" / recipe
    settings = QUICK | training.settings
    whole, cut = folder / "whole", folder / "cut"
    chosen = ("--recipe", recipe, "--network", training.network, "--preset", "quick", "--seed", 3)
    common = ("--data", trees.cases, "--device", "cpu", "--progress", "none", "--set", *_pairs(settings))
    trees.before.run("train", "--output", whole, *chosen, *common)
    arguments = {"data": str(trees.cases), "output": str(cut), "recipe": recipe, "network": training.network}
    arguments |= {"preset": "quick", "seed": 3, "device": "cpu", "settings": settings}
    trees.before.python(PROBE, "train", training.killed_at, KILLED, json.dumps(arguments), code=KILLED)
    trees.after.run("train", "--output", cut, "--resume", *common)
    yield "resumed: weights", tree_differences.checkpoints(whole / "checkpoint.pt", cut / "checkpoint.pt")
    yield "resumed: losses", tree_differences.logs(whole / "log.jsonl", cut / "log.jsonl")
    student, resumed = folder / "before.safetensors", folder / "after.safetensors"
    trees.before.run("export", "--run", whole, "--output", student, "--progress", "none")
    trees.after.run("export", "--run", cut, "--output", resumed, "--progress", "none")
    yield "exported students", tree_differences.students(student, resumed)
    # the patient who lacks sequences: few subsets, so little to predict
    case = trees.cases / "patient_0002"
    use = ("--student", student, "--data", case, "--device", "cpu", "--progress", "none")
    maps = trees.both(f"{recipe}/maps", "segment-folder", *use, "--suffix", ".nii.gz")
    yield "label maps of the student", tree_differences.volumes(*maps)
    scores = trees.both(f"{recipe}/scores", "evaluate", *use)
    yield "scores of the student", tree_differences.evaluations(*scores)


CHECKS: Mapping[str, Callable[[Trees], Results]] = {
    "interface": check_interface,
    "phantom": check_phantom,
    "synthesis": check_synthesis,
    "segmentation": check_segmentation,
    **{recipe: partial(check_training, recipe) for recipe in TRAININGS},
}


def compare(trees: Trees, checks: Sequence[str]) -> bool:
    """Print a line for everything compared; whether nothing differs."""
    print(f"{'check':<14}{'of':<40}result", flush=True)
    same = True
    for name in checks:
        try:
            for what, difference in CHECKS[name](trees):
                print(f"{name:<14}{what:<40}{difference or 'same'}", flush=True)
                same &= not difference
        except TreeError as error:
            print(f"{name:<14}{'':<40}{error}", flush=True)
            same = False
    return same


def _pairs(settings: Mapping[str, str]) -> list[str]:
    return [f"{key}={value}" for key, value in settings.items()]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("before", type=Path, metavar="BEFORE", help="checkout whose results are right")
    parser.add_argument("after", type=Path, metavar="AFTER", help="checkout that is held to them")
    parser.add_argument("--only", nargs="+", choices=CHECKS, default=tuple(CHECKS), metavar="CHECK")
    parser.add_argument("--small", action="store_true", help="coarse phantoms alone, for seconds not minutes")
    parser.add_argument("--work", type=Path, help="new folder to keep everything in (default: none is kept)")
    options = parser.parse_args(arguments)
    for root in (options.before, options.after):
        if not (root / "MissingModalityTrain" / "MissingModalityLib").is_dir():
            parser.error(f"{root} is no checkout: it holds no MissingModalityTrain/MissingModalityLib")
    with tempfile.TemporaryDirectory() as scratch:
        work = (options.work or Path(scratch)).resolve()
        work.mkdir(parents=True, exist_ok=True)
        before, after = Tree("BEFORE", options.before.resolve()), Tree("AFTER", options.after.resolve())
        same = compare(Trees(before, after, work, options.small), options.only)
    print("Nothing differs." if same else "There are differences.")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
