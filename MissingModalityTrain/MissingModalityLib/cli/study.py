"""``study``: a folder of cases in, a paper's table out."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..core.errors import OptionError
from ..core.words import counted
from ..studies.registry import STUDIES, study_named
from ..studies.sizes import SIZES, size_named
from .last_word import show_result
from .option_values import at_least
from .options import add_command, add_convention, add_data, add_device, add_output, add_settings
from .parser import with_examples
from .speech import add_speech, shown_progress

_EXAMPLES = (
    "study --list",
    "study --list --preset paper --gpu h100",
    "study table4 --list --preset light --steps 300 --seeds 3",
    "study table4 --data CASES --output studies --preset light --seeds 3",
    "study table4 --data TRAINING_CASES --test TEST_CASES --output studies --preset quick",
    "study table4 --data CASES --output studies --list-runs",
    "study table4 --data CASES --output studies --only 5",
)


def add(commands: Any) -> None:
    """Describe the options."""
    parser = add_command(
        commands, "study", run, "Train, score and print a paper's table, beside its printed numbers."
    )
    parser.add_argument("name", nargs="?", metavar="NAME", help="one of those below")
    add_data(parser, "folder of cases; divided as the paper has it, unless --test or --lists is given", False)
    add_output(parser, "DIR", "folder of runs and tables; studies in one folder share runs", required=False)
    parser.add_argument(
        "--preset",
        choices=tuple(SIZES),
        default="paper",
        help="as published, light for a computer without GPU, quick for a trial (default: %(default)s)",
    )
    parser.add_argument(
        "--seeds", type=at_least(1), default=1, metavar="N", help="trainings for each row (default: 1)"
    )
    _add_cases(parser.add_argument_group("who trains and who is scored"))
    _add_course(parser.add_argument_group("what is done"))
    others = parser.add_argument_group("settings, computer and output")
    others.add_argument(
        "--steps", type=at_least(1), metavar="N", help="optimizer steps of each row, with light and quick"
    )
    add_settings(others, "change single settings of all trainings, see train --help-settings")
    others.add_argument(
        "--prepared", type=Path, metavar="DIR", help="folder that 'prepare' has filled (default: inside DIR)"
    )
    add_device(others)
    add_speech(others)
    names = "\n".join(f"  {study.name:<12} {study.title}" for study in STUDIES.values())
    with_examples(parser, _EXAMPLES, f"studies (table1 to table10: AEM+KD, mst-...: MST-KDNet):\n{names}")


def _add_cases(parser: Any) -> None:
    """Data and its division."""
    parser.add_argument(
        "--test", type=Path, metavar="DIR", help="folder of the cases to score; all of --data trains"
    )
    parser.add_argument(
        "--lists",
        type=Path,
        metavar="DIR",
        help="folder of training.txt and test.txt, as 'split' writes them",
    )
    parser.add_argument(
        "--data-set", metavar="NAME", help="which of the paper's, where it has the table for several"
    )
    add_convention(parser)


def _add_course(parser: Any) -> None:
    """All of it, or a part."""
    course = parser.add_mutually_exclusive_group()
    course.add_argument(
        "--list",
        action="store_true",
        help="say what studies, or the named one, cost in steps and hours, and train nothing",
    )
    course.add_argument(
        "--list-runs", action="store_true", help="list the runs of the study with their numbers and states"
    )
    course.add_argument(
        "--only",  # torchrun would take --run for the beginning of an option of its own
        type=at_least(0),
        metavar="K",
        help="train and score run K alone, for several machines or the tasks of a Slurm array; no table",
    )
    course.add_argument(
        "--table", action="store_true", help="write the table of what has been scored, and train nothing"
    )
    parser.add_argument(
        "--gpu",
        metavar="NAME",
        help="with --list: hours that plan predicts for this GPU, such as h100",
    )


def run(options: argparse.Namespace) -> None:
    """Conduct the study, or a part of it, or list."""
    if options.list:
        _list(options)
        return
    if options.gpu:
        raise OptionError("--gpu says which GPU --list tells hours of. Add --list, or leave it out.")
    for value, what in ((options.name, "the study"), (options.data, "--data"), (options.output, "--output")):
        if value is None:
            raise OptionError(f"{what} is missing. Name it; 'study --help' lists studies and options.")
    chosen = ("name", "data", "output", "preset", "seeds", "test", "lists", "data_set", "steps")
    asked = {name: getattr(options, name) for name in (*chosen, "prepared", "device", "convention")}
    asked["settings"] = dict(options.settings) or None
    if options.list_runs:
        _list_runs(options, asked)
        return
    from ..studies.conduct import study  # loads PyTorch

    with shown_progress(options) as progress:
        result = study(**asked, run=options.only, train=not options.table, on_progress=progress)
    show_result(options, result, result.get("markdown", f"Run {options.only} of {options.name} is over."))


def _list(options: argparse.Namespace) -> None:
    from ..runtime.devices import choose_device
    from ..studies.cost import costs, predicted_on
    from ..training.machines import gpu, this_machine
    from ..training.time_estimate import in_words

    machine = gpu(options.gpu) if options.gpu else this_machine(choose_device(options.device))
    lines = [
        f"Preset {options.preset}, seeds {options.seeds}; time of all steps on {machine.name}"
        f"{'' if options.gpu else ', as busy as it is now'}, as 'plan' predicts it:"
    ]
    found = []
    studies = [study_named(options.name)] if options.name else list(STUDIES.values())
    size = size_named(options.preset, options.steps)
    with shown_progress(options) as progress:  # counting a step of each network takes half a minute
        counts = costs(studies, size, options.seeds, predicted_on(machine), dict(options.settings), progress)
    for cost in counts:
        absent = f"; not available: {counted(cost.absent, 'row')}" if cost.absent else ""
        lines.append(
            f"  {cost.study.name:<12} {counted(cost.runs, 'run'):>8} {cost.steps:>9} steps  "
            f"{in_words(cost.seconds)}{absent}"
        )
        facts = {"study": cost.study.name, "runs": cost.runs, "steps": cost.steps, "seconds": cost.seconds}
        found.append(facts)
    show_result(options, {"studies": found}, "\n".join(lines))


def _list_runs(options: argparse.Namespace, asked: dict[str, Any]) -> None:
    from ..studies.conduct import StudyRequest, prepare_study

    runs = prepare_study(StudyRequest(**asked)).runs.runs
    found = [
        {"run": number, "state": run.state, "steps": run.steps, "folder": str(run.folder.path)}
        for number, run in enumerate(runs)
    ]
    lines = [f"{one['run']:>4}  {one['state']:<8} {one['steps']:>8} steps  {one['folder']}" for one in found]
    show_result(options, {"runs": found}, "\n".join(lines))
