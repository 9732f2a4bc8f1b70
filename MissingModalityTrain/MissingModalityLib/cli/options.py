"""What several commands share: how a command is added, common options, kinds of values, the last word."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..clinical.steps import BIAS_FIELD, REGISTRATION, STRIPPING, Steps
from ..core import strict_json
from ..core.errors import OptionError
from ..core.labels import CONVENTIONS, convention
from ..core.modalities import Modality, modality_named
from ..core.printable import printable
from ..inference.card import PRECISIONS
from ..runtime.ranks import launched_rank
from .parser import Parser, with_examples
from .speech import LOG

_MOST_LINES = 20
"""Cases and files that a summary names, a screenful; the report has them all."""

Handler = Callable[[argparse.Namespace], None]


def add_command(
    commands: Any, name: str, run: Handler, text: str, examples: Sequence[str] = (), **more: Any
) -> Parser:
    """A parser for ``name`` whose options hold ``run``.

    Args:
        text: what it does, for both helps.
        examples: what may stand after ``missing-modality``.
        more: of the parser, as argparse has them.
    """
    parser = commands.add_parser(name, help=text, description=text, **more)
    parser.set_defaults(run=run)
    if examples:
        with_examples(parser, examples)
    return parser


def add_data(parser: Any, text: str, required: bool = True) -> None:
    """``--data DIR``, by which every command takes the folder that it reads."""
    parser.add_argument(
        "--data", "-i", "--input", type=Path, required=required, metavar="DIR", help=text, dest="data"
    )


def add_folder(parser: argparse.ArgumentParser, text: str) -> None:
    """``--data DIR`` of a command that reads one folder and writes nothing, where ``DIR`` alone will do."""
    parser.add_argument("folder", nargs="?", type=Path, metavar="DIR", help=text)
    add_data(parser, "the same, named as in all other commands", required=False)


def folder_of(options: argparse.Namespace) -> Path:
    """What :func:`add_folder` was given.

    Raises:
        OptionError: nothing, or two folders.
    """
    given = [folder for folder in (options.folder, options.data) if folder is not None]
    if len(given) != 1:
        what = f"'{given[0]}' and '{given[1]}' are two folders" if given else "No folder to look at"
        raise OptionError(f"{what}. Name one, by itself or with --data.")
    return given[0]


def add_output(parser: Any, metavar: str, text: str, required: bool = True) -> None:
    """``--output``."""
    parser.add_argument("--output", "-o", type=Path, required=required, metavar=metavar, help=text)


def add_student(parser: argparse.ArgumentParser) -> None:
    """``--model``; ``--student`` is its earlier name."""
    parser.add_argument(
        "--model",
        "--student",
        type=Path,
        metavar="FILE",
        help="trained network (default: the bundled one)",
        dest="student",
    )


def add_cross_validation(parser: argparse.ArgumentParser, text: str) -> None:
    """Describe ``--cross-validation``, folders of evaluations."""
    parser.add_argument("--cross-validation", type=Path, nargs="+", default=[], metavar="DIR", help=text)


def add_device(parser: Any) -> None:
    """``--device``, as :func:`devices.choose_device` takes it."""
    parser.add_argument(
        "--device", default="auto", metavar="D", help="auto, cpu, cuda (or gpu) or cuda:N (default: auto)"
    )


def add_precision(parser: Any) -> None:
    """What a network computes in."""
    parser.add_argument(
        "--precision",
        choices=PRECISIONS,
        default=PRECISIONS[0],
        help="of the network: auto is half precision where the device has it natively (default: %(default)s)",
    )


def add_regions(parser: argparse.ArgumentParser) -> None:
    """``--regions``."""
    parser.add_argument(
        "--regions", action="store_true", help="add whole tumor and tumor core, to DICOM objects alone"
    )


def add_one_visit(parser: argparse.ArgumentParser) -> None:
    """``--one-visit``."""
    parser.add_argument(
        "--one-visit",
        action="store_true",
        help="all images of the DICOM folder are of one patient and visit, whatever their headers say, as "
        "where each series got another ID when names were removed",
    )


def add_steps(parser: argparse.ArgumentParser, mask: bool) -> None:
    """What is done to raw volumes, see :class:`..clinical.steps.Steps`; a brain mask where ``mask``."""
    parser.add_argument(
        "--registration",
        choices=REGISTRATION,
        default=REGISTRATION[0],
        help="move volumes onto the first one where they do not lie on it (default: %(default)s)",
    )
    parser.add_argument(
        "--stripping",
        choices=STRIPPING,
        default=STRIPPING[0],
        help="tell the brain from the head where the skull is still there (default: %(default)s)",
    )
    if mask:
        parser.add_argument(
            "--brain-mask",
            type=Path,
            metavar="FILE",
            help="mask of the brain in place of stripping, on any grid of the patient",
        )
    parser.add_argument(
        "--bias-field",
        choices=BIAS_FIELD,
        default=BIAS_FIELD[0],
        help="free volumes with their skull of the coil's unevenness (default: %(default)s)",
    )
    parser.add_argument(
        "--no-content-check",
        action="store_true",
        help="do not look in the voxels whether each volume is the sequence that it was given as",
    )


def chosen_steps(options: argparse.Namespace) -> Steps:
    """What the options of :func:`add_steps` say."""
    mask = getattr(options, "brain_mask", None)
    return Steps(
        options.registration, options.stripping, mask, not options.no_content_check, options.bias_field
    )


def add_convention(parser: Any) -> None:
    """``--convention``, one of :data:`labels.CONVENTIONS` or nothing."""
    parser.add_argument(
        "--convention",
        type=label_numbers,
        metavar="NAME",
        help=f"label numbers in the files: {', '.join(CONVENTIONS)}, or another year of BraTS "
        "(default: as the layout says)",
    )


def warning_lines(warnings: Iterable[Mapping[str, str]]) -> list[str]:
    """A line for each ``case`` (empty for the whole folder) and ``warning``, a screenful at most."""
    lines = [
        f"Warning: {entry['case']}: {entry['warning']}" if entry["case"] else f"Warning: {entry['warning']}"
        for entry in warnings
    ]
    # those about the whole folder come last, and must not be the ones that are cut off
    left_out = len(lines) - _MOST_LINES
    return [f"Warning: {left_out} more in the report.", *lines[left_out:]] if left_out > 0 else lines


def other_methods_lines(evaluation: Mapping[str, Any]) -> list[str]:
    """A warning where an entry ``evaluation`` of a model counts scores of models by other methods."""
    unlike = evaluation.get("other_methods")
    if not unlike:
        return []
    return [
        f"Warning: the models of the cross-validation were trained by {unlike} as this one, which may be "
        "better or worse than what their scores make to be expected of it."
    ]


def skipped_lines(skipped: Sequence[Mapping[str, str]]) -> list[str]:
    """A line for each ``path`` and ``reason``, a screenful at most."""
    lines = [f"Warning: skipped {entry['path']}: {entry['reason']}" for entry in skipped[:_MOST_LINES]]
    more = len(skipped) - _MOST_LINES
    return [*lines, f"Warning: skipped {more} more, see the report."] if more > 0 else lines


def add_settings(parser: Any, text: str) -> None:
    """``--set KEY=VALUE ...`` as pairs in ``settings``."""
    parser.add_argument(
        "--set",
        nargs="+",
        action="extend",  # --set may stand more than once; of one key given twice the last value holds
        default=[],
        metavar="KEY=VALUE",
        dest="settings",
        type=pair,
        help=text,
    )


def at_least(minimum: int, most: int | None = None) -> Callable[[str], int]:
    """A kind of option value: whole numbers from ``minimum``, as far as ``most`` where it is given."""
    limit = "" if most is None else f" and at most {most}"

    def whole_number(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = minimum - 1  # one message for words and for numbers that are too small
        if value < minimum or (most is not None and value > most):
            raise argparse.ArgumentTypeError(f"'{text}' is not a whole number of at least {minimum}{limit}")
        return value

    return whole_number


def number(text: str) -> float:
    """A kind of option value: any number."""
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number") from None


def label_numbers(text: str) -> str:
    """A kind of option value: the name of a label convention, or a year of BraTS that numbers alike."""
    try:
        return convention(text.lower()).name
    except OptionError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def modality(text: str) -> Modality:
    """A kind of option value: any name of a sequence."""
    try:
        return modality_named(text)
    except OptionError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def pair(text: str) -> tuple[str, str]:
    """A kind of option value: KEY=VALUE; the value may hold further equals signs."""
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise argparse.ArgumentTypeError(f"'{text}' is not of the form KEY=VALUE")
    return key, value


def failure_code(result: Mapping[str, Any]) -> int:
    """The exit code of a command on many cases: 1 where one was to be done and could not be.

    That is what pipelines of the field end with then, such as fMRIPrep, and what schedulers take for failed.
    """
    return 1 if result["unforeseen"] or result.get("failed") else 0


def show_result(options: argparse.Namespace, result: Mapping[str, Any], summary: str) -> None:
    """The last word of a command: one JSON line for a parent process, text for people.

    Of several processes that torchrun has started for one command, the first has it.
    """
    if launched_rank():
        return
    summary = printable(summary, lines=True)
    # to a pipe Python prints in blocks, and who waits for this line shall not wait for the process's end
    LOG.info("%s", summary)
    if options.progress == "json":
        print(strict_json.dumps({"event": "result", "result": result}), flush=True)
    elif options.quiet:
        warnings = [line for line in summary.splitlines() if line.startswith("Warning: ")]
        print(*warnings, sep="\n", end="\n" if warnings else "", file=sys.stderr)
    else:
        print(summary, flush=True)
