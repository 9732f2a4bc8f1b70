"""The command line: ``missing-modality COMMAND ...`` or ``python -m MissingModalityLib COMMAND ...``.

Exit codes: 0 done; 2 bad input or options or a package that is not installed, one message on stderr; 130
interrupted; 1 a bug, with a traceback.
Each command has one function that describes its options and one that runs it; the latter imports what it
needs, so that help appears at once.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from . import __version__
from .errors import MissingModalityError
from .evaluation.rules import HD95_RULES
from .modalities import MODALITIES, Modality
from .progress import STYLES, progress_printer
from .regions import CONVENTIONS
from .training.settings import describe_settings

Handler = Callable[[argparse.Namespace], None]

_REQUIRED = ("torch", "monai", "safetensors", "SimpleITK", "scipy", "matplotlib", "tqdm")
"""Packages that Slicer or a plain Python may lack."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    try:
        options = build_parser().parse_args(arguments)
        options.run(options)
    except MissingModalityError as error:
        print(f"missing-modality: error: {error}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in _REQUIRED:
            raise
        print(f"missing-modality: error: {_remedy(package)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


def _remedy(package: str) -> str:
    return (
        f"The Python package '{package}' is not installed. In 3D Slicer: install the extension PyTorch and "
        "press Apply in the segmentation panel once, which installs what is missing. Elsewhere: "
        f"{Path(sys.executable).name} -m pip install {package}"
    )


class _Parser(argparse.ArgumentParser):
    """argparse without abbreviated options and with errors in the form of our own."""

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, **options)

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"missing-modality: error: {message} (see {self.prog} --help)\n")


class _Volume(argparse.Action):
    """Collects ``--flair F`` and its like in the order in which they are given, each at most once."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        modality = Modality[self.const]
        if modality in namespace.inputs:
            parser.error(f"{option_string} was given twice: {namespace.inputs[modality]} and {values}")
        namespace.inputs = {**namespace.inputs, modality: values}


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands; the options that it returns hold the command's function as ``run``."""
    parser = _Parser(
        prog="missing-modality",
        description="Brain tumor segmentation from any subset of FLAIR, T1ce, T1 and T2 MRI. "
        "Research use only, not a medical device.",
    )
    parser.add_argument("--version", action="version", version=f"missing-modality {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for add in (_add_segment, _add_cases, _add_train, _add_export, _add_evaluate, _add_phantom):
        add(commands)
    return parser


def _command(commands: Any, name: str, run: Handler, text: str) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=text, description=text)
    parser.set_defaults(run=run)
    return parser


def _add_progress(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--progress", choices=STYLES, default="bar", help="how to show progress (default: %(default)s)"
    )


def _add_device(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--device", default="auto", metavar="D", help="auto, cpu, cuda or cuda:N (default: auto)"
    )


def _add_convention(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--convention",
        choices=tuple(CONVENTIONS),
        help="label numbers in the files (default: as the layout says)",
    )


def _add_segment(commands: Any) -> None:
    parser = _command(
        commands, "segment", _segment, "Segment the tumor of one patient from one to four volumes."
    )
    for modality in MODALITIES:
        parser.add_argument(
            f"--{modality.name.lower()}",
            type=Path,
            action=_Volume,
            const=modality.name,
            dest="inputs",
            default={},
            metavar="FILE",
            help=f"{modality.title} volume",
        )
    parser.add_argument(
        "--output",
        type=Path,
        required=True,
        metavar="OUT",
        help=".seg.nrrd for 3D Slicer, or .nii.gz, .nii, .nrrd; on the grid of the volume named first",
    )
    parser.add_argument(
        "--student", type=Path, metavar="S", help="trained network (default: the bundled one)"
    )
    parser.add_argument(
        "--labels",
        choices=tuple(CONVENTIONS),
        default="classes",
        help="numbers in OUT; classes: 1 NCR/NET, 2 ED, 3 ET; brats2021: 4 for ET (default: %(default)s)",
    )
    _add_device(parser)
    _add_progress(parser)


def _segment(options: argparse.Namespace) -> None:
    from .segmentation import segment_files

    with progress_printer(options.progress) as progress:
        report = segment_files(
            options.inputs, options.output, options.student, options.device, options.labels, progress
        )
    _show_result(options, report, _segment_summary(report))


def _segment_summary(report: Mapping[str, Any]) -> str:
    volumes = ", ".join(f"{name} {value:.1f}" for name, value in report["volumes_cm3"].items())
    return "\n".join(
        [
            *(f"Warning: {warning}" for warning in report["warnings"]),
            f"Used {report['modalities']} on {report['device']['name']}: {report['seconds']['total']:.1f} s, "
            f"{report['peak_memory_bytes'] / 2**30:.1f} GiB",
            f"Volumes in cm3: {volumes}",
            f"Wrote {report['output']}",
        ]
    )


def _add_cases(commands: Any) -> None:
    parser = _command(commands, "cases", _cases, "List the cases in a folder, and what was skipped and why.")
    parser.add_argument("folder", type=Path, metavar="DIR")
    _add_convention(parser)


def _cases(options: argparse.Namespace) -> None:
    from .cases import find_cases

    print(find_cases(options.folder, options.convention).describe())


def _add_train(commands: Any) -> None:
    parser = _command(commands, "train", _train, "Train a network on a folder of cases.")
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = describe_settings()
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder of cases")
    parser.add_argument("--output", type=Path, required=True, metavar="RUN", help="folder of the run")
    parser.add_argument(
        "--recipe", default="segresnet", metavar="NAME", help="what to train (default: %(default)s)"
    )
    parser.add_argument(
        "--preset", choices=("paper", "quick"), default="quick", help="how long (default: quick)"
    )
    parser.add_argument("--resume", action="store_true", help="go on from the run's last checkpoint")
    parser.add_argument(
        "--seed", type=_at_least(0), default=0, metavar="N", help="fixes all randomness (default: 0)"
    )
    parser.add_argument(
        "--set",
        nargs="+",
        action="extend",
        default=[],
        metavar="KEY=VALUE",
        dest="settings",
        type=_setting,
        help="change single settings of the recipe, see below",
    )
    _add_convention(parser)
    _add_device(parser)
    _add_progress(parser)


def _at_least(minimum: int) -> Callable[[str], int]:
    def whole_number(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = minimum - 1
        if value < minimum:
            raise argparse.ArgumentTypeError(f"'{text}' is not a whole number of at least {minimum}")
        return value

    return whole_number


def _setting(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise argparse.ArgumentTypeError(f"'{text}' is not of the form KEY=VALUE")
    return key, value


def _train(options: argparse.Namespace) -> None:
    from .training.run import train

    with progress_printer(options.progress) as progress:
        checkpoint = train(
            options.data,
            options.output,
            recipe=options.recipe,
            preset=options.preset,
            resume=options.resume,
            seed=options.seed,
            device=options.device,
            settings=dict(options.settings),
            convention=options.convention,
            progress=progress,
        )
    _show_result(options, {"output": str(checkpoint)}, f"Wrote {checkpoint}")


def _add_export(commands: Any) -> None:
    parser = _command(commands, "export", _export, "Turn a training run into one student file.")
    parser.add_argument(
        "--run", type=Path, required=True, metavar="RUN", dest="folder", help="folder of the run"
    )
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="a .safetensors file")
    parser.add_argument("--name", help="what to call the student")
    parser.add_argument("--license", metavar="TEXT", help="of the student file")
    parser.add_argument(
        "--evaluation",
        type=Path,
        metavar="DIR",
        help="folder that 'evaluate' has written for an earlier export of this very run; its table is stored",
    )
    _add_progress(parser)


def _export(options: argparse.Namespace) -> None:
    from .evaluation.attach import attach_evaluation
    from .evaluation.run import read_evaluation
    from .training.run import export

    if options.evaluation:
        read_evaluation(options.evaluation)  # refuse what is no evaluation before anything is written
    facts = {"name": options.name, "license": options.license}
    student = export(options.folder, options.output, {key: text for key, text in facts.items() if text})
    if options.evaluation:
        attach_evaluation(student, options.evaluation)
    _show_result(options, {"output": str(student)}, f"Wrote {student}")


def _add_evaluate(commands: Any) -> None:
    parser = _command(
        commands, "evaluate", _evaluate, "Score a student on cases with labels, over all subsets."
    )
    parser.add_argument("--student", type=Path, required=True, metavar="S", help="trained network")
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder of cases with labels")
    parser.add_argument(
        "--output", type=Path, required=True, metavar="DIR", help="folder for tables and report"
    )
    parser.add_argument(
        "--hd95-rule",
        choices=tuple(HD95_RULES),
        default="penalty",
        help="HD95 where a region is empty; "
        + "; ".join(f"{name}: {text}" for name, text in HD95_RULES.items())
        + " (default: %(default)s)",
    )
    parser.add_argument("--store", action="store_true", help="keep the table in the student file too")
    _add_convention(parser)
    _add_device(parser)
    _add_progress(parser)


def _evaluate(options: argparse.Namespace) -> None:
    from .evaluation.attach import attach_evaluation
    from .evaluation.run import evaluate_folder

    with progress_printer(options.progress) as progress:
        result = evaluate_folder(
            options.student,
            options.data,
            options.output,
            device=options.device,
            convention=options.convention,
            progress=progress,
            hd95_rule=options.hd95_rule,
        )
    if options.store:
        attach_evaluation(options.student, options.output)
    _show_result(options, result, f"Wrote {options.output}")


def _add_phantom(commands: Any) -> None:
    parser = _command(commands, "phantom", _phantom, "Grow synthetic patients with a tumor and its label.")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder for the patients")
    parser.add_argument("--seed", type=_at_least(0), required=True, metavar="N", help="of the first patient")
    parser.add_argument("--count", type=_at_least(1), default=1, metavar="K", help="how many (default: 1)")


def _phantom(options: argparse.Namespace) -> None:
    from .phantom import write_patient

    for seed in range(options.seed, options.seed + options.count):
        print(write_patient(options.output, seed))


def _show_result(options: argparse.Namespace, result: Mapping[str, Any], summary: str) -> None:
    """The last word of a command: one JSON line for a parent process, text for people."""
    print(
        json.dumps({"event": "result", "result": result}) if options.progress == "json" else summary,
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
