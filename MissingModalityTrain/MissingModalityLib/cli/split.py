"""``split``: a folder of cases in, lists of names for training, validation and test out."""

from __future__ import annotations

import argparse
from typing import Any

from ..core.errors import OptionError
from ..datasets.published_splits import PARTS, SPLITS
from .last_word import show_result
from .option_values import at_least
from .options import add_command, add_data, add_output
from .speech import add_speech

_EXAMPLES = (
    "split brats2020 --data CASES --output lists",
    "split --sizes 40,4,10 --seed 1 --data CASES --output lists",
)


def add(commands: Any) -> None:
    """Describe the options."""
    parser = add_command(
        commands,
        "split",
        run,
        "Divide cases into training, validation and test, as lists of names for --cases.",
        _EXAMPLES,
    )
    parser.add_argument(
        "split",
        nargs="?",
        metavar="NAME",
        help="a paper's sizes and a recorded seed: "
        + ", ".join(f"{name} ({'/'.join(map(str, split.sizes))})" for name, split in SPLITS.items()),
    )
    add_data(parser, "folder of cases; those without a label are left out")
    add_output(parser, "DIR", f"folder for {', '.join(f'{part}.txt' for part in PARTS)}")
    parser.add_argument(
        "--sizes", type=_sizes, metavar="N,N,N", help="other numbers of training, validation and test cases"
    )
    parser.add_argument(
        "--seed", type=at_least(0), metavar="N", help="with --sizes: draws who is where (default: 0)"
    )
    add_speech(parser)


def run(options: argparse.Namespace) -> None:
    """Divide."""
    from ..datasets.discovery import find_cases
    from ..datasets.published_splits import divide, published_split, write_lists

    if (options.split is None) == (options.sizes is None):
        known = ", ".join(SPLITS)
        raise OptionError(f"Name a split ({known}) or give --sizes such as 40,4,10, one of the two.")
    if options.split is not None and options.seed is not None:
        raise OptionError(f"The split {options.split} has its seed. Leave out --seed, or give --sizes too.")
    if options.split is not None:
        published = published_split(options.split)
        sizes, seed = published.sizes, published.seed
    else:
        sizes, seed = options.sizes, options.seed or 0
    division = divide(find_cases(options.data).labeled()[0], sizes, seed)
    write_lists(division, options.output)
    counts = ", ".join(f"{len(names)} {part}" for part, names in division.items())
    show_result(options, dict(division), f"Wrote {options.output}: {counts}")


def _sizes(text: str) -> tuple[int, ...]:
    """A kind of option value: as many whole numbers as there are parts, of which the first is above 0."""
    parts = text.split(",")
    if len(parts) != len(PARTS) or not all(part.isdecimal() for part in parts) or not int(parts[0]):
        raise argparse.ArgumentTypeError(f"'{text}' is not three whole numbers such as 40,4,10")
    return tuple(map(int, parts))
