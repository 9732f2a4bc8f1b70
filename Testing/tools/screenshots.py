"""Pictures of panels and results for README and tutorial: ``make screenshots``.

Panels are drawn by real Qt without a screen, each picture cropped to the section that it is about; Slicer's
own widgets are plain stand-ins (see qt_standin.py), so the pictures show what is on the panels and how it is
laid out, not the exact looks inside Slicer.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import slicer
from PySide6 import QtCore

import sample_icons
import seg_screenshots
import slicer_standin
import train_screenshots
from checkout import ROOT

DEMO = ROOT / "Scripts" / "demo.py"
ICONS = ROOT / "MissingModalitySeg" / "Resources" / "Icons"

WIDTH, MARGIN = 440, 4
"""Of a panel, and of what is shown around a section, in pixels."""

WORK = Path(tempfile.gettempdir()) / "tutorial"
"""Folder whose paths the pictures show: short, and the same every time."""

GROUPS = ("segmentation", "training", "overlays", "icons")


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the pictures into a folder."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("folder", type=Path, help="for the pictures")
    parser.add_argument("--only", nargs="+", choices=GROUPS, default=GROUPS, help="some of them")
    parser.add_argument(
        "--case", type=Path, help="a real patient, of a data set whose license allows a picture"
    )
    options = parser.parse_args(arguments)
    options.folder.mkdir(parents=True, exist_ok=True)
    WORK.mkdir()  # what lies there is of a run that has not ended, or somebody else's
    try:
        if "segmentation" in options.only:
            seg_screenshots.main(options.folder, save, options.case)
        if "training" in options.only:
            slicer_standin.new_scene()
            train_screenshots.main(options.folder, WORK, save)
        if "overlays" in options.only:
            draw_overlays(options.folder, options.case)
        if "icons" in options.only:
            samples = slicer_standin.load_module("MissingModalitySegLib.sampledata")
            sample_icons.main(ICONS, samples.SAMPLE_NAME, samples.RAW_SAMPLE_NAME, samples.SEED)
    finally:
        shutil.rmtree(WORK)


def save(panel: Any, path: Path, first: str, last: str = "") -> None:
    """Draw a panel from the top of one of its widgets to the bottom of another, or of the same."""
    panel.parent.show()
    for _ in range(2):  # text that wraps tells its height only after it has been laid out
        slicer.app.processEvents()
        panel.parent.resize(WIDTH, panel.layout.heightForWidth(WIDTH))
    slicer.app.processEvents()
    upper, lower = (getattr(panel.ui, name) for name in (first, last or first))
    top = upper.mapTo(panel.parent, QtCore.QPoint(0, 0)).y() - MARGIN
    bottom = lower.mapTo(panel.parent, QtCore.QPoint(0, lower.height)).y() + MARGIN
    panel.parent.grab(QtCore.QRect(0, top, WIDTH, bottom - top)).save(str(path))
    print(path, flush=True)


def draw_overlays(folder: Path, case: Path | None) -> None:
    """What the demo draws of its synthetic patient, and of a real one where there is one."""
    for name, chosen in (("demo", []), *([("real_patient", ["--case", str(case)])] if case else [])):
        arguments = [DEMO, *chosen, "--device", "cpu", "--output", WORK / name]
        subprocess.run([sys.executable, *map(str, arguments)], check=True)  # a process: it has its own Slicer
        (picture,) = (WORK / name).glob("*/*/overlay.png")
        shutil.copy(picture, folder / f"{name}.png")
        print(folder / f"{name}.png", flush=True)


if __name__ == "__main__":
    slicer_standin.install()
    main()
