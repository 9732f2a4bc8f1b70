"""``select``: a cross-validation in, the choices of a student's card out."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..core.errors import OptionError
from ..core.words import counted
from .last_word import show_result
from .option_values import at_least, for_regions, number
from .options import add_command, add_data, add_device
from .speech import add_speech, shown_progress

_EXAMPLES = (
    "select --run FOLDS --store model.safetensors",
    "select --run FOLDS --reuse --store another.safetensors",
)
_READ_ANEW = ("smoothing_mm", "overlap", "mirror", "mirror_windows", "data")
"""Options of what predicts, which ``--reuse`` does not."""


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
        type=for_regions,
        nargs="+",
        default=[],
        metavar="MM",
        help="try probabilities smoothed by Gaussians of these deviations, each for all regions, or WT,TC,ET",
    )
    parser.add_argument(
        "--overlap", type=number, nargs="+", default=[], metavar="SHARE", help="try these overlaps of windows"
    )
    add_data(parser, "folder of the cases, only if it has moved since the cross-validation", required=False)
    _add_axes(parser, "--mirror", "try the mean with cases mirrored along these axes")
    _add_axes(parser, "--mirror-windows", "try every other window mirrored along these axes")
    parser.add_argument(
        "--reuse",
        action="store_true",
        help="choose nothing anew: tell and store what the last selection on these folds has chosen",
    )
    parser.add_argument(
        "--store",
        type=Path,
        nargs="+",
        default=[],
        metavar="MODEL",
        help="let these model files decide by what was chosen alone; their evaluation is taken out",
    )
    add_device(parser)
    add_speech(parser)


def _add_axes(parser: argparse.ArgumentParser, name: str, meaning: str) -> None:
    parser.add_argument(
        name,
        type=at_least(0, 2),
        nargs="+",
        action="append",
        default=[],
        metavar="AXIS",
        help=f"{meaning}, 0: z, 1: y, 2: x (left and right); may stand more than once",
    )


def run(options: argparse.Namespace) -> None:
    """Select."""
    from ..evaluation.attach import store_choices
    from ..training.selection import check_fits

    # a mistyped name is told before hours of predictions
    unlike = {student: check_fits(options.folder, student) for student in options.store}
    selection = _earlier(options) if options.reuse else _anew(options)
    lines = _in_words(selection)
    for student in options.store:
        gone = store_choices(student, selection["chosen"])
        lines.append(f"Stored in {student}" + (f", which lost {', '.join(gone)}" if gone else ""))
        if unlike[student]:
            lines.append(
                f"Warning: what was chosen is of models that were trained by {unlike[student]} as this one: "
                "its own best choices may be others."
            )
    show_result(options, selection, "\n".join(lines))


def _anew(options: argparse.Namespace) -> dict[str, Any]:
    from ..training.selection import select

    with shown_progress(options) as progress:
        return select(
            options.folder,
            options.smoothing_mm,
            options.overlap,
            options.mirror,
            options.mirror_windows,
            options.device,
            on_progress=progress,
            data=options.data,
        )


def _earlier(options: argparse.Namespace) -> dict[str, Any]:
    from ..training.selection import read_selection

    asked = [f"--{name.replace('_', '-')}" for name in _READ_ANEW if getattr(options, name)]
    if asked:
        raise OptionError(f"--reuse predicts nothing anew. Leave out {' and '.join(asked)}, or --reuse.")
    return read_selection(options.folder)


def _in_words(selection: Mapping[str, Any]) -> list[str]:
    lines = [f"{name}: {value}" for name, value in selection["chosen"].items()]
    before, after = (
        ", ".join(f"{region} {100 * dice:.1f}" for region, dice in selection[when].items())
        for when in ("before", "after")
    )
    return [
        *(lines or ["Nothing is worth a change."]),
        *map(_not_taken, _looked_better(selection)),
        *_of_an_earlier_version(selection),
        f"Mean Dice over {counted(selection['cases'], 'case')}: {before}; with these choices, made on these "
        f"very cases: {after}",
    ]


def _of_an_earlier_version(selection: Mapping[str, Any]) -> list[str]:
    """A warning where nobody has asked whether what was chosen brings more than chance."""
    tried = [entry for entries in selection.get("tried", {}).values() for entry in entries]
    if not tried or any("gain" in entry for entry in tried):
        return []
    return [
        "Warning: an earlier version has chosen this, which took the best value, whatever chance brings. "
        "Select anew, without --reuse, for choices that bring more."
    ]


def _looked_better(selection: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Of each choice the value of the largest gain, with its name, where something else was taken."""
    from ..evaluation.worth import LEAST_GAIN

    for name, entries in selection.get("tried", {}).items():
        for region in dict.fromkeys(entry.get("region") for entry in entries):
            of_choice = [entry for entry in entries if entry.get("region") == region]
            best = max(of_choice, key=lambda entry: entry.get("gain", 0))
            # earlier versions told neither
            if best.get("gain", 0) >= LEAST_GAIN and not best.get("taken", True):
                yield f"{name} {region}" if region else name, best


def _not_taken(looked_better: tuple[str, Mapping[str, Any]]) -> str:
    name, entry = looked_better
    dice = "lesion-wise Dice" if "lesion_dice" in entry else "Dice"
    error = entry.get("gain_error")
    surely = "of a single patient" if error is None else f"standard error over patients {100 * error:.2f}"
    return (
        f"Not taken, since chance may have brought it: {name} {entry['value']}, "
        f"{100 * entry['gain']:.2f} points of {dice} more, {surely}"
    )
