"""Import all that is installed in a folder, the argument, and open both panels; a missing file fails."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path

import slicer_standin

MODULES = ("MissingModalitySeg", "MissingModalityTrain")


def look_at(folder: Path) -> None:
    """Raise what the first missing file raises."""
    slicer_standin.install()
    for path in sorted(folder.rglob("*.py")):
        if path.name != "__main__.py":
            name = ".".join(path.relative_to(folder).with_suffix("").parts).removesuffix(".__init__")
            module = importlib.import_module(name)
            assert Path(module.__file__).is_relative_to(folder), f"{name} comes from {module.__file__}"
    for name in MODULES:
        module = slicer_standin.load_module(name)
        widget = getattr(module, f"{name}Widget")(slicer_standin.module_area())
        widget.setup()
        named = re.findall(r'resourcePath\("([^"]+)"\)', Path(module.__file__).read_text("utf-8"))
        for resource in (*named, widget.requirements):
            assert Path(widget.resourcePath(resource)).exists(), f"{name} misses Resources/{resource}"
        widget.cleanup()
    from MissingModalityLib.inference.locations import bundled_student

    assert bundled_student().is_relative_to(folder)


if __name__ == "__main__":
    look_at(Path(sys.argv[1]).resolve())
    print("complete")
