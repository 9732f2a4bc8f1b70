"""``prepare``: a folder of cases in, the cache that trainings share out."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..core.progress import progress_printer
from .options import (
    add_command,
    add_convention,
    add_progress,
    failure_code,
    show_result,
    skipped_lines,
    warning_lines,
)


def add(commands: Any) -> None:
    """Describe the options."""
    parser = add_command(
        commands, "prepare", run, "Prepare a folder of cases once, for all trainings that share it."
    )
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder of cases with labels")
    parser.add_argument(
        "--output", type=Path, required=True, metavar="DIR", help="folder for the prepared cases"
    )
    add_convention(parser)
    add_progress(parser)


def run(options: argparse.Namespace) -> int:
    """Prepare."""
    from ..imaging.prepared_folder import prepare_cases

    with progress_printer(options.progress) as progress:
        report = prepare_cases(options.data, options.output, options.convention, progress)
    show_result(options, report, _summary(report))
    return failure_code(report)


def _summary(report: Mapping[str, Any]) -> str:
    lines = [*skipped_lines(report["skipped"]), *warning_lines(report["warnings"])]
    lines.append(
        f"{len(report['cases'])} cases, {report['bytes'] / 2**20:.0f} MiB, in {report['seconds']:.1f} s"
    )
    return "\n".join([*lines, f"Wrote {report['output']}"])
