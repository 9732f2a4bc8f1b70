"""``cases``: what a folder holds."""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import Any

from .last_word import show_result
from .options import add_command, add_convention, add_folder, folder_of
from .speech import add_speech

_EXAMPLES = (
    "cases FOLDER",
    "cases FOLDER --convention brats2020",
)


def add(commands: Any) -> None:
    """Describe the options."""
    parser = add_command(
        commands, "cases", run, "List the cases in a folder, and what was skipped and why.", _EXAMPLES
    )
    add_folder(parser, "folder of cases")
    add_convention(parser)
    add_speech(parser)


def run(options: argparse.Namespace) -> None:
    """List."""
    from ..datasets.discovery import find_cases
    from ..imaging.copies import copied_cases

    # no voxel is read, so a case listed here can still turn out to be damaged
    listing = find_cases(folder_of(options), options.convention)
    listing = replace(listing, warnings=(*listing.warnings, *copied_cases(listing.cases)))
    show_result(options, listing.to_json(), listing.describe())
