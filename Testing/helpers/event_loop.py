"""The application's event loop and scene in tests of panels and their logic."""

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


def scene_state() -> list[tuple[str, str]]:
    """ID and name of every node of the scene."""
    nodes = slicer.mrmlScene.GetNodes()
    every = (nodes.GetItemAsObject(index) for index in range(nodes.GetNumberOfItems()))
    return [(node.GetID(), node.GetName()) for node in every]
