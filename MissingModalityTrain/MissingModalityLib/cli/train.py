"""``train``: a folder of cases in, a run out."""

from __future__ import annotations

import argparse
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

from ..core import strict_json
from ..core.errors import OptionError
from ..networks.registry import NETWORKS
from ..runtime.ranks import launched_world_size
from ..training import log
from ..training.describe import describe_recipes, describe_settings, to_yaml
from ..training.presets import PRESET_NAMES
from ..training.request import TrainRequest
from ..training.run_folder import RunFolder
from ..training.settings import Settings
from .last_word import show_result, warning_lines
from .option_values import at_least
from .options import add_command, add_convention, add_data, add_device, add_output, add_settings
from .parser import with_examples
from .speech import LOG, add_speech, shown_progress

_EXAMPLES = (
    "train --data CASES --output run --preset light",
    "train --data CASES --output run --recipe aem-kd",
    "train --data CASES --output run --set epochs=100 batch_size=4",
    "train --data CASES --output run --cases lists/training.txt --validation-cases lists/validation.txt",
    "train --output run --resume",
)


class _ShowSettings(argparse.Action):
    """``--help-settings``: their list alone, which is long."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        print(describe_settings())
        parser.exit()


def add(commands: Any) -> None:
    """Describe the options, in groups; those that matter first come first."""
    parser = add_command(commands, "train", run, "Train a network on a folder of cases.", add_help=False)
    _add_first(parser.add_argument_group("what matters first"))
    _add_choices(parser.add_argument_group("what is trained"))
    _add_course(parser.add_argument_group("how the run goes on"))
    _add_split(parser.add_argument_group("who is held out"))
    others = parser.add_argument_group("data, computer and output")
    add_convention(others)
    add_device(others)
    add_speech(others)
    others.add_argument("-h", "--help", action="help", help="show this help message and exit")
    with_examples(parser, _EXAMPLES, describe_recipes())
    parser.settings = [item.name for item in fields(Settings)]


def _add_first(parser: Any) -> None:
    """The four without which nobody begins."""
    add_data(parser, "folder of cases; with --resume only if it has moved", required=False)
    add_output(parser, "RUN", "folder of the run", required=False)
    parser.add_argument(
        "--recipe", default="baseline", metavar="NAME", help="its stages, see below (default: %(default)s)"
    )
    parser.add_argument(
        "--preset",
        choices=PRESET_NAMES,
        default="paper",
        help="how large and how long: paper, a GPU for days; light, for a computer without GPU; quick, for a "
        "trial (default: %(default)s)",
    )


def _add_choices(parser: Any) -> None:
    """What is trained."""
    parser.add_argument(
        "--network",
        metavar="NAME",
        help=f"one of {', '.join(NETWORKS)} (default: the one that the recipe is made for, else segresnet)",
    )
    parser.add_argument(
        "--stages",
        type=lambda text: tuple(text.split(",")),  # checked with the recipe, which knows its stages
        metavar="STAGE[,STAGE...]",
        help="go through these stages of the recipe only",
    )
    parser.add_argument(
        "--init", type=Path, metavar="MODEL", dest="initial", help="begin with the weights of this model"
    )
    add_settings(parser, "change single settings of the recipe, see --help-settings")
    parser.add_argument("--help-settings", action=_ShowSettings, nargs=0, help="list them with their meaning")
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


def _add_course(parser: Any) -> None:
    """How the run goes on, and what fixes its course."""
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on from the run's last checkpoint; recipe, network, preset, stages, seed and cases stay the "
        "run's, whatever is given",
    )
    parser.add_argument(
        "--restart", metavar="STAGE", help="with --resume: begin this stage anew, with what went before it"
    )
    parser.add_argument(
        "--accept-changes",
        action="store_true",
        help="with --resume: go on though files of the run's cases hold other voxels than when it began, or "
        "models and label maps that it reads something else",
    )
    parser.add_argument(
        "--track",
        type=lambda text: tuple(text.split(",")),
        default=(),
        metavar="NAME[,NAME]",
        help="show every epoch in tensorboard or mlflow too; log.csv and progress.png lie in RUN anyway",
    )
    parser.add_argument(
        "--prepared",
        type=Path,
        metavar="DIR",
        help="folder that 'prepare' has filled; what it lacks is added (default: with --resume the one that "
        "the run had, else inside RUN)",
    )
    # from 0, since numpy's SeedSequence takes no negative number
    parser.add_argument(
        "--seed", type=at_least(0), default=0, metavar="N", help="fixes all randomness (default: 0)"
    )


def _add_split(parser: Any) -> None:
    """Lists of names, and cross-validation."""
    parser.add_argument(
        "--cases",
        type=Path,
        metavar="FILE",
        help="text file with the names of the cases to use, one a line (default: all); 'split' writes such",
    )
    parser.add_argument(
        "--validation-cases",
        type=Path,
        metavar="FILE",
        help="likewise those to hold out, in place of the share that the setting validation_fraction says",
    )
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


def run(options: argparse.Namespace) -> None:
    """Train, or print the plan of it."""
    if options.show_plan:
        print(_plan_of(options), end="")
        return
    if options.output is None:
        raise OptionError("No folder for the run. Name it with --output.")
    from ..training.run import train  # loads PyTorch, some seconds; what help lists comes from light files

    request = TrainRequest.from_options(options)
    _tell_time(options, request)
    before = log.read(RunFolder(request.output))
    with shown_progress(options) as progress:
        folder = train(**vars(request), on_progress=progress)
    warnings = _warnings_of(folder)
    idle = request.resume and request.folds is None and log.read(RunFolder(folder)) == before
    last = f"All stages of '{folder}' were over: nothing was trained." if idle else f"Wrote {folder}"
    summary = "\n".join([*warning_lines(warnings), last])
    show_result(options, {"output": str(folder), "warnings": warnings}, summary)


def _tell_time(options: argparse.Namespace, request: TrainRequest) -> None:
    """How long it will take at least, before it begins; a run that goes on tells by its bar."""
    from ..runtime.devices import choose_device
    from ..training.folds import fold_requests
    from ..training.resolve import resolve
    from ..training.time_estimate import told_before

    if options.quiet or options.progress != "bar" or request.resume or launched_world_size() > 1:
        return  # several processes would each measure while the others do
    parts = [request] if request.folds is None else list(fold_requests(request))
    record, state = resolve(parts[0])  # refuses what cannot be trained before any time is spent
    if state is not None:
        return
    told = told_before(record.plan, record.preset, choose_device(request.device), len(parts))
    if told:
        LOG.info("%s", told)
        print(told, file=sys.stderr, flush=True)


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
