"""The application's event loop in tests of panels and their logic."""

from __future__ import annotations

import time
from collections.abc import Callable

import slicer


def run_events(until: Callable[[], object], seconds: float = 300) -> None:
    """Let the event loop turn until a condition holds; fails after a while, long on purpose."""
    deadline = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < deadline, f"nothing happened in {seconds:.0f} s"
        slicer.app.processEvents()
        time.sleep(0.01)
