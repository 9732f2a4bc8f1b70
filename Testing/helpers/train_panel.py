"""The training panel opened for a test, and how tests use it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import qt_standin
import slicer_standin
from event_loop import run_events

train = slicer_standin.load_module("MissingModalityTrain")


@contextmanager
def opened_panel(folder: Path) -> Iterator[Any]:
    """The panel in an empty scene, with user settings of its own in ``folder``; a training of it is ended."""
    qt_standin.keep_settings_in(str(folder / "settings"))
    slicer_standin.new_scene()
    panel = new_panel()
    yield panel
    if panel.training.alive:
        panel.training.onStop()
    panel.cleanup()


def new_panel() -> Any:
    """One more panel, as the application makes it anew."""
    panel = train.MissingModalityTrainWidget(slicer_standin.module_area())
    panel.setup()
    panel.enter()
    return panel


def choose(panel: Any, **paths: Path | str) -> None:
    """Paths by the beginning of their edit's name."""
    for name, path in paths.items():
        getattr(panel.ui, f"{name}PathEdit").setCurrentPath(str(path))


def start(panel: Any, folder: Path) -> None:
    """Train on the cases of a folder, in its subfolder ``run``."""
    choose(panel, data=folder, run=folder / "run")
    panel.ui.startButton.click()


def arguments(run: Path) -> str:
    """What a process of a test has said, its arguments first."""
    return (run / "process.log").read_text()


def choose_item(selector: Any, data: str) -> None:
    """The item of a combo box that holds a text."""
    assert selector.findData(data) >= 0, data
    selector.setCurrentIndex(selector.findData(data))


def look(panel: Any, folder: Path) -> None:
    """Choose a folder of cases and press Look at folder."""
    choose(panel, data=folder)
    panel.ui.lookButton.click()
    run_events(lambda: panel.ui.lookButton.enabled)


def texts(table: Any) -> list[list[str]]:
    """What a table says."""
    return [
        [table.item(row, column).text() for column in range(table.columnCount)]
        for row in range(table.rowCount)
    ]


def line(stage: str, step: int, total: int, message: str = "") -> str:
    """A progress event as a process prints it."""
    record = {"event": "progress", "stage": stage, "step": step, "total": total}
    return json.dumps({**record, "message": message, "values": {"loss": 0.5}})


def write_run(folder: Path, epochs: int = 2, finished: bool = False, **facts: Any) -> Path:
    """What a training of one stage of 4 epochs with 10 steps leaves, as far as the panel reads it.

    Args:
        facts: further entries of run.json.
    """
    folder.mkdir(parents=True, exist_ok=True)
    stages = {"train": {"epochs": 4, "iterations_per_epoch": 10}}
    record = {
        "recipe": "aem",
        "preset": "quick",
        "cases": {"a": "T1", "b": "T1", "c": "T2"},
        "validation": ["b"],
        "settings": {"network": "rfnet", "stages": stages},
        "data": str(folder.parent / "cases"),
        **facts,
    }
    (folder / "run.json").write_text(json.dumps(record))
    (folder / "checkpoint.pt").touch()
    lines = [
        {"stage": "train", "epoch": epoch, "loss": {"total": 1 / epoch}, "seconds": 20.0}
        for epoch in range(1, epochs + 1)
    ]
    if lines:
        lines[-1]["dice"] = {"FLAIR WT": 0.5, "FLAIR TC": 0.4, "FLAIR ET": 0.3, "T2 WT": 0.7, "mean": 0.475}
    (folder / "log.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in lines))
    if finished:
        (folder / "train.safetensors").touch()
    return folder
