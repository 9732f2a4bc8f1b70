"""Pictures of the panels for people to look at: ``python Testing/screenshots.py FOLDER``.

Drawn by real Qt without a screen; Slicer's own widgets are plain stand-ins (see qt_standin.py), so the
pictures show what is on the panels and how it is laid out, not the exact looks inside Slicer.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import slicer

import seg_screenshots
import slicer_standin


def main(folder: Path) -> None:
    """Write one PNG per panel and state."""
    folder.mkdir(parents=True, exist_ok=True)
    seg_screenshots.main(folder, save)
    save(open_panel("MissingModalityTrain"), folder / "train_empty.png")


def open_panel(name: str) -> Any:
    """A module's panel in an empty scene."""
    module = slicer_standin.load_module(name)
    slicer_standin.new_scene()
    panel = getattr(module, f"{name}Widget")(slicer_standin.module_area())
    panel.setup()
    return panel


def save(panel: Any, path: Path) -> None:
    panel.parent.show()
    for _ in range(2):  # text that wraps tells its height only after it has been laid out
        slicer.app.processEvents()
        panel.parent.resize(440, panel.layout.heightForWidth(440))
    slicer.app.processEvents()
    panel.parent.grab().save(str(path))
    print(path)


if __name__ == "__main__":
    slicer_standin.install()
    main(Path(sys.argv[1]))
