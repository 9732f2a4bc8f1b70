"""``segment-folder``: many patients in, a label map of each and a table of volumes out."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

from ..core.words import counted
from .last_word import failure_code, show_result
from .option_values import modality
from .options import (
    add_command,
    add_data,
    add_device,
    add_labels,
    add_output,
    add_precision,
    add_regions,
    add_steps,
    add_student,
    chosen_steps,
)
from .speech import add_speech, shown_progress

_EXAMPLES = (
    "segment-folder --data FOLDER --output RESULTS",
    "segment-folder -i FOLDER -o RESULTS --suffix .nii.gz --device cuda:1",
)

_MOST_NAMED = 3
"""Skipped files that a line names."""


def add(commands: Any) -> None:
    """Describe the options."""
    parser = add_command(
        commands,
        "segment-folder",
        run,
        "Segment all cases of a folder from the volumes each has; called again, it goes on where it was. "
        "Exit code 1: some could not be segmented, the others are done.",
        _EXAMPLES,
    )
    add_data(parser, "folder of cases")
    add_output(parser, "DIR", "folder for the results")
    add_student(parser)
    parser.add_argument(
        "--suffix",  # without choices: their list lies in a file that loads SimpleITK
        default=".seg.nrrd",
        metavar="S",
        help="kind of file: .seg.nrrd, .nii.gz, .nii, .nrrd, or for DICOM .dcm (default: %(default)s)",
    )
    parser.add_argument(
        "--grid",
        type=modality,
        metavar="SEQUENCE",
        help="on whose voxels results lie: flair, t1ce, t1 or t2 (default: those of the first volume)",
    )
    add_regions(parser)
    add_labels(parser, "the files")
    add_steps(parser, mask=False)
    add_device(parser)
    add_precision(parser)
    add_speech(parser)


def run(options: argparse.Namespace) -> int:
    """Segment all."""
    from ..inference.segment_folder import segment_folder

    with shown_progress(options) as progress:
        result = segment_folder(
            options.data,
            options.output,
            options.student,
            options.device,
            options.labels,
            options.suffix,
            progress,
            chosen_steps(options),
            options.grid,
            options.regions,
            options.precision,
        )
    show_result(options, result, _summary(result))
    return failure_code(result)


def _summary(result: Mapping[str, Any]) -> str:
    kept = f", {len(result['kept'])} done before" if result["kept"] else ""
    return "\n".join(
        [
            *(f"Warning: {name} was not segmented. {why}" for name, why in result["failed"].items()),
            *_skipped(result["skipped"]),
            *(f"Warning: {warning}" for warning in result["warnings"]),
            f"Segmented {counted(len(result['segmented']), 'case')}{kept}, {len(result['failed'])} failed",
            f"Wrote {result['table']}",
        ]
    )


def _skipped(entries: Sequence[Mapping[str, str]]) -> list[str]:
    """A sentence for each reason: a series that lies there twice has hundreds of files."""
    files: dict[str, list[str]] = {}
    for entry in entries:
        files.setdefault(entry["reason"], []).append(entry["path"])
    lines = []
    for reason, paths in files.items():
        more = f" and {len(paths) - _MOST_NAMED} more" if len(paths) > _MOST_NAMED else ""
        were = "was" if len(paths) == 1 else "were"
        lines.append(f"Warning: {', '.join(paths[:_MOST_NAMED])}{more} {were} skipped: {reason}")
    return lines
