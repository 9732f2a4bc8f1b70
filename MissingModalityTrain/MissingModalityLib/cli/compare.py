"""``compare``: several evaluations in, one table out."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..core.errors import OptionError
from .options import add_command, add_output, pair

_EXAMPLES = (
    "compare baseline=results-of-another ours=results --output comparison",
    "compare baseline=a1,a2,a3 ours=b1,b2,b3",
)


def add(commands: Any) -> None:
    """Describe the options."""
    parser = add_command(
        commands,
        "compare",
        run,
        "Put evaluations of the same cases side by side, tested against the first.",
        _EXAMPLES,
    )
    parser.add_argument(
        "lines",
        nargs="+",
        type=pair,
        metavar="NAME=DIR[,DIR...]",
        help="a line of the table and the folders that 'evaluate' has written for it, one per seed",
    )
    add_output(parser, "DIR", "folder for the table and its numbers (default: print it)", required=False)


def run(options: argparse.Namespace) -> None:
    """Compare."""
    from ..evaluation.comparison import compare_folders

    lines: dict[str, list[Path]] = {}
    for name, folders in options.lines:
        if name in lines:
            raise OptionError(f"'{name}' was given twice. Join the folders of one line by commas.")
        # a comma in the name of a folder cannot be told from one between two; the library takes lists
        lines[name] = [Path(folder) for folder in folders.split(",")]
    comparison = compare_folders(lines, options.output)
    print(comparison["markdown"].strip() if options.output is None else f"Wrote {options.output}")
