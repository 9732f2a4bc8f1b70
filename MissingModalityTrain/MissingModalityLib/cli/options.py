"""Options that several commands share, and how a command is added."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..clinical.steps import BIAS_FIELD, REGISTRATION, STRIPPING, Steps
from ..core.errors import OptionError
from ..core.labels import CONVENTIONS
from ..inference.card import PRECISIONS
from .option_values import label_numbers, pair
from .parser import Parser, with_examples

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


def add_choice(
    parser: argparse.ArgumentParser, option: str, choices: Mapping[str, str], default: str, text: str
) -> None:
    """An option of a few words, each with what it means.

    Args:
        choices: by word, the meaning.
        text: what is chosen.
    """
    meanings = "; ".join(f"{word}: {meaning}" for word, meaning in choices.items())
    parser.add_argument(
        option, choices=tuple(choices), default=default, help=f"{text}; {meanings} (default: %(default)s)"
    )


def add_precision(parser: Any) -> None:
    """What a network computes in."""
    parser.add_argument(
        "--precision",
        choices=PRECISIONS,
        default=PRECISIONS[0],
        help="of the network: auto is half precision where the device has it natively (default: %(default)s)",
    )


def add_labels(parser: argparse.ArgumentParser, where: str) -> None:
    """``--labels``, the numbers that results are written with."""
    parser.add_argument(
        "--labels",
        type=label_numbers,
        metavar="NAME",
        default="classes",
        help=f"numbers in {where}; classes: 1 NCR/NET, 2 ED, 3 ET; brats2021: 4 for ET; also brats2015, "
        "brats2023, brats2024, msd (default: %(default)s)",
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
