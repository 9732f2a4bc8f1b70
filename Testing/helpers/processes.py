"""Real processes under torchrun, on this machine, talking through gloo."""

from __future__ import annotations

import os
import subprocess
import sys

from checkout import LIBRARY

TORCHRUN = (sys.executable, "-m", "torch.distributed.run")


def torchrun(*arguments: object, options: tuple[str, ...] = ()) -> subprocess.CompletedProcess:
    """Two processes of a script, or of a module with ``-m`` before it; waits for their end."""
    return subprocess.run(
        [*TORCHRUN, "--standalone", "--nproc-per-node", "2", *options, *map(str, arguments)],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=600,
    )


def environment() -> dict[str, str]:
    """Of processes that find the library under test."""
    return {**os.environ, "PYTHONPATH": str(LIBRARY)}
