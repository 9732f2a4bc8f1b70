"""``train``: a folder of cases in, a run out."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..core import strict_json
from ..core.errors import OptionError
from ..core.progress import progress_printer
from ..networks.registry import NETWORKS
from ..training.describe import describe_settings, to_yaml
from ..training.presets import PRESET_NAMES
from ..training.request import TrainRequest
from .options import (
    add_command,
    add_convention,
    add_device,
    add_progress,
    add_settings,
    at_least,
    show_result,
    warning_lines,
)


def add(commands: Any) -> None:
    """Describe the options."""
    parser = add_command(commands, "train", run, "Train a network on a folder of cases.")
    parser.add_argument(
        "--data", type=Path, metavar="DIR", help="folder of cases; with --resume only if it has moved"
    )
    parser.add_argument("--output", type=Path, metavar="RUN", help="folder of the run")
    _add_choices(parser)
    _add_course(parser)
    _add_folds(parser)
    _add_plan(parser)
    add_settings(parser, "change single settings of the recipe, see below", describe_settings())
    add_convention(parser)
    add_device(parser)
    add_progress(parser)


def _add_choices(parser: argparse.ArgumentParser) -> None:
    """What is trained."""
    parser.add_argument(
        "--recipe", default="baseline", metavar="NAME", help="its stages, see below (default: %(default)s)"
    )
    parser.add_argument(
        "--network",
        metavar="NAME",
        help=f"one of {', '.join(NETWORKS)} (default: the one that the recipe is made for, else segresnet)",
    )
    parser.add_argument(
        "--preset",
        choices=PRESET_NAMES,
        default="paper",
        help="how large and how long (default: %(default)s)",
    )
    parser.add_argument(
        "--stages",
        type=lambda text: tuple(text.split(",")),  # checked with the recipe, which knows its stages
        metavar="STAGE[,STAGE...]",
        help="go through these stages of the recipe only",
    )
    parser.add_argument(
        "--init", type=Path, metavar="STUDENT", dest="initial", help="begin with the weights of this student"
    )


def _add_course(parser: argparse.ArgumentParser) -> None:
    """How the run goes on, and what fixes its course."""
    parser.add_argument(
        "--prepared",
        type=Path,
        metavar="DIR",
        help="folder that 'prepare' has filled; what it lacks is added (default: with --resume the one that "
        "the run had, else inside RUN)",
    )
    parser.add_argument("--resume", action="store_true", help="go on from the run's last checkpoint")
    parser.add_argument(
        "--restart", metavar="STAGE", help="with --resume: begin this stage anew, with what went before it"
    )
    parser.add_argument(
        "--accept-changes",
        action="store_true",
        help="with --resume: go on though files of the run's cases hold other voxels than when it began",
    )
    # from 0, since numpy's SeedSequence takes no negative number
    parser.add_argument(
        "--seed", type=at_least(0), default=0, metavar="N", help="fixes all randomness (default: 0)"
    )


def _add_folds(parser: argparse.ArgumentParser) -> None:
    """Cross-validation."""
    parser.add_argument(
        "--folds",
        type=at_least(2),
        metavar="K",
        help="cross-validate: K runs in RUN/fold0 ..., each scored on the patients that it has held out, a "
        "like share of every source (first parts of the cases' names); scores of all in RUN/evaluation; with "
        "--resume whole folds are kept and those that lack are begun",
    )
    parser.add_argument(
        "--fold", type=at_least(0), metavar="I", help="with --folds, train this one alone, counted from 0"
    )


def _add_plan(parser: argparse.ArgumentParser) -> None:
    """Settings from a file, and into one."""
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="YAML file of settings, or of a plan that --show-plan has printed; --set replaces the same keys",
    )
    parser.add_argument(
        "--show-plan",
        action="store_true",
        help="print the whole plan as YAML for --config, and train nothing",
    )


def run(options: argparse.Namespace) -> None:
    """Train, or print the plan of it."""
    if options.show_plan:
        print(_plan_of(options), end="")
        return
    if options.output is None:
        raise OptionError("No folder for the run. Name it with --output.")
    from ..training.run import train  # loads PyTorch, some seconds; what help lists comes from light files

    request = TrainRequest.from_options(options)
    with progress_printer(options.progress) as progress:
        folder = train(**vars(request), on_progress=progress)
    warnings = _warnings_of(folder)
    summary = "\n".join([*warning_lines(warnings), f"Wrote {folder}"])
    show_result(options, {"output": str(folder), "warnings": warnings}, summary)


def _warnings_of(folder: Path) -> list[dict[str, str]]:
    """What a run, or the folds in its folder, had to say about the data, each once."""
    records = [path for pattern in ("run.json", "fold*/run.json") for path in sorted(folder.glob(pattern))]
    told = [strict_json.loads(path.read_text("utf-8")).get("warnings", ()) for path in records]
    return [dict(entry) for entry in dict.fromkeys(tuple(entry.items()) for run in told for entry in run)]


def _plan_of(options: argparse.Namespace) -> str:
    if options.resume:
        raise OptionError("A run that is resumed has its plan, in run.json. Leave out --show-plan.")
    # no run is made, so it needs no folder
    request = TrainRequest.from_options(argparse.Namespace(**{**vars(options), "output": Path()}))
    return to_yaml(request.plan()[0])
