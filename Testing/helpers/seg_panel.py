"""The segmentation panel opened for a test, and how tests use it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import pytest
import slicer

import slicer_standin
from event_loop import run_events
from MissingModalityLib import mrml
from small_patient import brain_volume

seg = slicer_standin.load_module("MissingModalitySeg")
devicesection = slicer_standin.load_module("MissingModalitySegLib.devicesection")


class Silence:
    """A job that never tells anything: looking for devices would start a process for every test."""

    asked: ClassVar[list[list[str]]] = []

    def __init__(self, arguments: list[str], *_callbacks: Any, **_options: Any) -> None:
        self.asked.append(arguments)

    def start(self) -> Silence:
        return self

    def poll(self) -> None: ...

    def cancel(self) -> None: ...


@contextmanager
def opened_panel(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Iterator[Any]:
    """The panel as it opens: in an empty scene, with no student trained here."""
    monkeypatch.setenv("MISSINGMODALITY_MODELS", str(folder / "models"))
    monkeypatch.setattr(devicesection, "Job", Silence)
    slicer_standin.new_scene()
    widget = seg.MissingModalitySegWidget(slicer_standin.module_area())
    widget.setup()
    widget.enter()
    yield widget
    widget.cleanup()


def add_volumes(*names: str) -> list[Any]:
    """A brain for each name."""
    return [
        mrml.add_volume(slicer.mrmlScene, brain_volume(number), name) for number, name in enumerate(names)
    ]


def choose_student(panel: Any, path: Path) -> None:
    """A model from a file."""
    panel.ui.studentSelector.setCurrentIndex(panel.ui.studentSelector.count - 1)
    panel.ui.studentPathEdit.setCurrentPath(str(path))


def finish(panel: Any) -> None:
    """Wait for the end of the run."""
    run_events(lambda: not panel.ui.cancelButton.enabled, 300)


def made() -> Any:
    """The segmentation that came into the scene last."""
    count = slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode")
    return slicer.mrmlScene.GetNthNodeByClass(count - 1, "vtkMRMLSegmentationNode")
