"""``select``: a cross-validation in, the choices of a student's card out."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..core.words import counted
from .options import add_command, add_device, at_least, number, show_result
from .speech import add_speech, shown_progress

_EXAMPLES = ("select --run FOLDS --store model.safetensors",)


def add(commands: Any) -> None:
    """Describe the options."""
    parser = add_command(
        commands,
        "select",
        run,
        "Choose thresholds and sizes for a model on a cross-validation, made by train --folds.",
        _EXAMPLES,
    )
    parser.add_argument(
        "--run", type=Path, required=True, metavar="RUN", dest="folder", help="folder of the cross-validation"
    )
    parser.add_argument(
        "--smoothing-mm",
        type=number,
        nargs="+",
        default=[],
        metavar="MM",
        help="try probabilities smoothed by Gaussians of these deviations",
    )
    parser.add_argument(
        "--overlap", type=number, nargs="+", default=[], metavar="SHARE", help="try these overlaps of windows"
    )
    parser.add_argument(
        "--mirror",
        type=at_least(0, 2),
        nargs="+",
        action="append",
        default=[],
        metavar="AXIS",
        help="try the mean with cases mirrored along these axes, 0: z, 1: y, 2: x (left and right); may "
        "stand more than once",
    )
    parser.add_argument(
        "--store",
        type=Path,
        nargs="+",
        default=[],
        metavar="MODEL",
        help="put what was chosen into these model files",
    )
    add_device(parser)
    add_speech(parser)


def run(options: argparse.Namespace) -> None:
    """Select."""
    from ..evaluation.attach import store_choices
    from ..inference.card import read_card
    from ..training.selection import select

    for student in options.store:  # a mistyped name is told before hours of predictions
        read_card(student)
    with shown_progress(options) as progress:
        selection = select(
            options.folder,
            options.smoothing_mm,
            options.overlap,
            options.mirror,
            options.device,
            on_progress=progress,
        )
    for student in options.store:
        store_choices(student, selection["chosen"])
    show_result(options, selection, "\n".join(_in_words(selection)))


def _in_words(selection: Mapping[str, Any]) -> list[str]:
    lines = [f"{name}: {value}" for name, value in selection["chosen"].items()]
    before, after = (
        ", ".join(f"{region} {100 * dice:.1f}" for region, dice in selection[when].items())
        for when in ("before", "after")
    )
    return [
        *(lines or ["Nothing is worth a change."]),
        f"Mean Dice over {counted(selection['cases'], 'case')}: {before}; with these choices: {after}",
    ]
