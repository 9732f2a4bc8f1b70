"""Pictures of the panels for people to look at: ``python Testing/screenshots.py FOLDER``.

Drawn by real Qt without a screen; Slicer's own widgets are plain stand-ins (see qt_standin.py), so the
pictures show what is on the panels and how it is laid out, not the exact looks inside Slicer.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import slicer

import slicer_standin
import train_screenshots
from MissingModalityLib import mrml
from small_patient import brain_volume


def main(folder: Path) -> None:
    """Write one PNG per panel and state."""
    folder.mkdir(parents=True, exist_ok=True)
    panel = open_panel("MissingModalitySeg")
    save(panel, folder / "seg_empty.png")
    for number, name in enumerate(("3: sag T2 FLAIR", "5: T1 MPRAGE post Gd", "7: T2 TSE tra", "T2 again")):
        mrml.add_volume(slicer.mrmlScene, brain_volume(number), name)
    panel.ui.detectButton.click()
    save(panel, folder / "seg_detected.png")
    slicer_standin.new_scene()
    with tempfile.TemporaryDirectory() as work:
        train_screenshots.main(folder, Path(work), save)


def open_panel(name: str) -> Any:
    """A module's panel in an empty scene."""
    module = slicer_standin.load_module(name)
    slicer_standin.new_scene()
    panel = getattr(module, f"{name}Widget")(slicer_standin.module_area())
    panel.setup()
    return panel


def save(panel: Any, path: Path) -> None:
    panel.parent.show()
    slicer.app.processEvents()
    panel.parent.resize(440, panel.layout.heightForWidth(440))
    slicer.app.processEvents()
    panel.parent.grab().save(str(path))
    print(path)


if __name__ == "__main__":
    slicer_standin.install()
    main(Path(sys.argv[1]))
