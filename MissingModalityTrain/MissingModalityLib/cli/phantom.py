"""``phantom``: synthetic patients with a tumor and its label."""

from __future__ import annotations

import argparse
from typing import Any

from .option_values import at_least
from .options import add_command, add_output

_MOST_PATIENTS = 100_000
"""Of one command: some terabytes. It is for mistyped numbers."""


_EXAMPLES = (
    "phantom --output FOLDER",
    "phantom --output FOLDER --seed 1 --count 5",
    "phantom --output FOLDER --raw",
)


def add(commands: Any) -> None:
    """Describe the options."""
    parser = add_command(
        commands, "phantom", run, "Grow synthetic patients with a tumor and its label.", _EXAMPLES
    )
    add_output(parser, "DIR", "folder for the patients")
    parser.add_argument(
        "--seed", type=at_least(0), default=0, metavar="N", help="of the first patient (default: 0)"
    )
    parser.add_argument(
        "--count", type=at_least(1, _MOST_PATIENTS), default=1, metavar="K", help="how many (default: 1)"
    )
    parser.add_argument(
        "--raw",
        action="store_true",
        help="as a scanner gives them: skull on, each sequence on a grid of its own, moved in between",
    )


def run(options: argparse.Namespace) -> None:
    """Grow."""
    from ..phantom.patient import write_patient
    from ..phantom.raw_patient import write_raw_patient

    write = write_raw_patient if options.raw else write_patient
    # a patient depends on its own seed alone: a larger --count adds patients and changes none
    for seed in range(options.seed, options.seed + options.count):
        print(write(options.output, seed))
