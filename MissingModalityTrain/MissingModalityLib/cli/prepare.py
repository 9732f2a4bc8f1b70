"""``prepare``: a folder of cases in, the cache that trainings share out."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from ..core.words import counted
from .last_word import failure_code, show_result, skipped_lines, warning_lines
from .options import add_command, add_convention, add_data, add_output
from .speech import add_speech, shown_progress

_EXAMPLES = (
    "prepare --data CASES --output PREPARED",
    "train --data PREPARED --output run",
)


def add(commands: Any) -> None:
    """Describe the options."""
    parser = add_command(
        commands,
        "prepare",
        run,
        "Prepare a folder of cases once, for all trainings that share it.",
        _EXAMPLES,
    )
    add_data(parser, "folder of cases with labels")
    add_output(parser, "DIR", "folder for the prepared cases")
    add_convention(parser)
    add_speech(parser)


def run(options: argparse.Namespace) -> int:
    """Prepare."""
    from ..imaging.prepared_folder import prepare_cases

    with shown_progress(options) as progress:
        report = prepare_cases(options.data, options.output, options.convention, progress)
    show_result(options, report, _summary(report))
    return failure_code(report)


def _summary(report: Mapping[str, Any]) -> str:
    lines = [*skipped_lines(report["skipped"]), *warning_lines(report["warnings"])]
    cases = counted(len(report["cases"]), "case")
    lines.append(f"{cases}, {report['bytes'] / 2**20:.0f} MiB, in {report['seconds']:.1f} s")
    return "\n".join([*lines, f"Wrote {report['output']}"])
