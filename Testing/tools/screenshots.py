"""Pictures of the panels for people to look at: ``make screenshots``.

Drawn by real Qt without a screen; Slicer's own widgets are plain stand-ins (see qt_standin.py), so the
pictures show what is on the panels and how it is laid out, not the exact looks inside Slicer.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import slicer

import seg_screenshots
import slicer_standin
import train_screenshots


def main(folder: Path) -> None:
    """Write one PNG per panel and state."""
    folder.mkdir(parents=True, exist_ok=True)
    seg_screenshots.main(folder, save)
    slicer_standin.new_scene()
    with tempfile.TemporaryDirectory() as work:
        train_screenshots.main(folder, Path(work), save)


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
