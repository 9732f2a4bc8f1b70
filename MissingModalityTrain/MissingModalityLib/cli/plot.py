"""``plot``: a training run in, its curves and its table out."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..core.errors import CaseError, OptionError
from .last_word import show_result
from .options import add_command
from .speech import add_speech

_EXAMPLES = ("plot run",)


def add(commands: Any) -> None:
    """Describe the options."""
    parser = add_command(
        commands,
        "plot",
        run,
        "Draw loss and Dice of a training run, running, stopped or finished: progress.png and log.csv in it.",
        _EXAMPLES,
    )
    parser.add_argument("folder", nargs="?", type=Path, metavar="RUN", help="folder of the run, or of folds")
    parser.add_argument(
        "--run", type=Path, metavar="RUN", dest="named", help="the same, named as in other commands"
    )
    add_speech(parser)


def run(options: argparse.Namespace) -> None:
    """Draw."""
    from ..training import log
    from ..training.followers import draw
    from ..training.run_folder import RunFolder

    given = [folder for folder in (options.folder, options.named) if folder is not None]
    if len(given) != 1:
        raise OptionError("Name the folder of one run, by itself or with --run.")
    folders = [RunFolder(path) for path in (given[0], *sorted(given[0].glob("fold*")))]
    with_log = [folder for folder in folders if log.read(folder)]
    if not with_log:
        raise CaseError(f"'{given[0]}' has no epoch to draw: no {folders[0].log.name} with a line is there.")
    for folder in with_log:
        log.write_table(folder)
        draw(folder)
    written = [str(path) for folder in with_log for path in (folder.picture, folder.table)]
    show_result(options, {"output": written}, "\n".join(f"Wrote {path}" for path in written))
