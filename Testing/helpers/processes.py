"""Real processes under torchrun, on this machine, talking through gloo."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable

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


def wait_for(condition: Callable[[], object], seconds: float = 60) -> None:
    """Sleep until a condition holds; fails after a while, long on purpose."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.02)
