"""What several commands share: how a command is added, common options, kinds of values, the last word."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..clinical.steps import REGISTRATION, STRIPPING, Steps
from ..core import strict_json
from ..core.labels import CONVENTIONS
from ..core.modalities import Modality
from ..core.progress import STYLES
from ..runtime.ranks import launched_rank

_MOST_LINES = 20
"""Cases and files that a summary names, a screenful; the report has them all."""

Handler = Callable[[argparse.Namespace], None]


def add_command(commands: Any, name: str, run: Handler, text: str) -> argparse.ArgumentParser:
    """A parser for ``name`` whose options hold ``run``; ``text`` says in both helps what it does."""
    parser = commands.add_parser(name, help=text, description=text)
    parser.set_defaults(run=run)
    return parser


def add_progress(parser: argparse.ArgumentParser) -> None:
    """``--progress``, one of :data:`progress.STYLES`."""
    parser.add_argument(
        "--progress", choices=STYLES, default="bar", help="how to show progress (default: %(default)s)"
    )


def add_device(parser: argparse.ArgumentParser) -> None:
    """``--device``, as :func:`devices.choose_device` takes it."""
    parser.add_argument(
        "--device", default="auto", metavar="D", help="auto, cpu, cuda or cuda:N (default: auto)"
    )


def add_regions(parser: argparse.ArgumentParser) -> None:
    """``--regions``."""
    parser.add_argument(
        "--regions", action="store_true", help="add whole tumor and tumor core, to DICOM objects alone"
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
        "--no-content-check",
        action="store_true",
        help="do not look in the voxels whether each volume is the sequence that it was given as",
    )


def chosen_steps(options: argparse.Namespace) -> Steps:
    """What the options of :func:`add_steps` say."""
    mask = getattr(options, "brain_mask", None)
    return Steps(options.registration, options.stripping, mask, not options.no_content_check)


def add_convention(parser: argparse.ArgumentParser) -> None:
    """``--convention``, one of :data:`labels.CONVENTIONS` or nothing."""
    parser.add_argument(
        "--convention",
        choices=tuple(CONVENTIONS),
        help="label numbers in the files (default: as the layout says)",
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


def skipped_lines(skipped: Sequence[Mapping[str, str]]) -> list[str]:
    """A line for each ``path`` and ``reason``, a screenful at most."""
    lines = [f"Skipped {entry['path']}: {entry['reason']}" for entry in skipped[:_MOST_LINES]]
    more = len(skipped) - _MOST_LINES
    return [*lines, f"Skipped {more} more, see the report"] if more > 0 else lines


def add_settings(parser: argparse.ArgumentParser, text: str, epilog: str) -> None:
    """``--set KEY=VALUE ...`` as pairs in ``settings``; the epilog says which there are."""
    # argparse would fill the list of settings into one paragraph
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = epilog
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


def modality(text: str) -> Modality:
    """A kind of option value: the name of a sequence, in any case."""
    try:
        return Modality[text.upper()]
    except KeyError:
        raise argparse.ArgumentTypeError(f"'{text}' is no sequence") from None


def pair(text: str) -> tuple[str, str]:
    """A kind of option value: KEY=VALUE; the value may hold further equals signs."""
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise argparse.ArgumentTypeError(f"'{text}' is not of the form KEY=VALUE")
    return key, value


def failure_code(result: Mapping[str, Any]) -> int:
    """The exit code of a command on many cases: 1 where a fault of the program has cost one of them."""
    return 1 if result["unforeseen"] else 0


def show_result(options: argparse.Namespace, result: Mapping[str, Any], summary: str) -> None:
    """The last word of a command: one JSON line for a parent process, text for people.

    Of several processes that torchrun has started for one command, the first has it.
    """
    if launched_rank():
        return
    # to a pipe Python prints in blocks, and who waits for this line shall not wait for the process's end
    print(
        strict_json.dumps({"event": "result", "result": result}) if options.progress == "json" else summary,
        flush=True,
    )
