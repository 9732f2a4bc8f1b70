"""The command line, called in this process or in one of its own."""

from __future__ import annotations

import subprocess
import sys

from MissingModalityLib.__main__ import main
from processes import environment


def exit_code(arguments: list[str]) -> int | str | None:
    """What the process would exit with; argparse exits by itself."""
    try:
        return main(arguments)
    except SystemExit as stop:
        return stop.code


def run_child(*arguments: object, code: str | None = None) -> subprocess.CompletedProcess[str]:
    """A child interpreter with the library on its path: the command line, or ``code``."""
    command = ["-c", code] if code else ["-m", "MissingModalityLib", *map(str, arguments)]
    return subprocess.run(
        [sys.executable, *command], capture_output=True, text=True, env=environment(), check=False
    )
