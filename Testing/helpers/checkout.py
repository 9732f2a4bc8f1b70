"""Where things lie: the checkout, its parts, and the shared data beside it."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

import MissingModalityLib

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = Path(MissingModalityLib.__file__).parent
"""The library under test, whether of the checkout or installed."""

LIBRARY = PACKAGE.parent
"""What a child process needs on its path to import the library."""

MODULES = ("MissingModalitySeg", "MissingModalityTrain")
FIXTURES = ROOT / "Testing" / "fixtures"


def shared_folder() -> Path:
    """Where shared data lies: MISSINGMODALITY_SHARED, else the folder `shared` beside the checkout."""
    return Path(os.environ.get("MISSINGMODALITY_SHARED") or ROOT.parent / "shared")


def terminology() -> Path:
    """The extension's own terminology, of the module that is on the path."""
    module = Path(find_spec("MissingModalitySeg").origin)
    return module.with_name("Resources") / "SegmentationCategoryTypeModifier-MissingModality.term.json"


def bundled_files(folder: Path) -> list[str]:
    """Everything below a folder that a package of the extension must hold, relative to it."""
    generated = {"__pycache__", "missing_modality.egg-info"}
    return sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file()
        and not generated.intersection(path.parts)
        and path.name != "CMakeLists.txt"
        and not path.name.startswith(".")
    )
