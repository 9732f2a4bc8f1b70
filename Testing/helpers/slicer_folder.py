"""Where the Python files of the Slicer lie that MISSINGMODALITY_SLICER names; imports nothing heavy."""

from __future__ import annotations

import os
from pathlib import Path

VARIABLE = "MISSINGMODALITY_SLICER"

PACKAGES = (
    "Base/Python/slicer",
    "bin/Python/slicer",
    "Contents/bin/Python/slicer",
    "Slicer.app/Contents/bin/Python/slicer",
    "Slicer-build/bin/Python/slicer",
    "Python/slicer",
    "slicer",
    ".",
)
"""Where Slicer's package lies: in its sources, where it is installed, on a Mac, in a build, and below."""

SAMPLE_DATA = ("Modules/Scripted/SampleData", "lib/Slicer-*/qt-scripted-modules", "SampleData", ".")
"""Where the module SampleData lies, likewise; the last two where somebody has copied the files alone."""

NEEDED = ("ScriptedLoadableModule.py", "i18n.py", "parameterNodeWrapper")
"""What the panels import of every Slicer from 5.10 on; slicer.packaging came with 5.12."""

ABOVE = 3
"""From lib/Slicer-5.12/qt-scripted-modules, where extensions lie too, up to the folder that has bin."""


def folder() -> Path | None:
    """The folder that is named; None where none is.

    Raises:
        FileNotFoundError: it is no Slicer's; the message says where was looked.
    """
    named = os.environ.get(VARIABLE)
    if named is None:
        return None
    if not named:
        raise FileNotFoundError(f"{VARIABLE} is set and empty. Name the folder of a Slicer, or unset it.")
    root = Path(named).expanduser().resolve()
    package(root)
    return root


def package(root: Path) -> Path:
    """The folder of Slicer's Python package, below or around a folder.

    Raises:
        FileNotFoundError: there is none, or one without a file that the panels need.
    """
    if not root.is_dir():
        raise FileNotFoundError(f"{VARIABLE}={root}: there is no such folder.")
    for base in (root, *root.parents[:ABOVE]):
        for place in PACKAGES:
            found = base / place
            if (found / NEEDED[0]).is_file():
                missing = [name for name in NEEDED if not (found / name).exists()]
                if missing:
                    raise FileNotFoundError(
                        f"{VARIABLE}={root}: {found} lacks {', '.join(missing)}. Slicer 5.10 or later has it."
                    )
                return found
    raise FileNotFoundError(
        f"{VARIABLE}={root}: neither a Slicer nor its sources; no {NEEDED[0]} in any of "
        f"{', '.join(PACKAGES)} below it."
    )


def sample_data(root: Path) -> Path | None:
    """The file SampleData.py of the same Slicer; None where only its package was named."""
    above = (root, *package(root).parents[:3])  # up to the folder with bin and lib, or Base and Modules
    found = (path for base in above for place in SAMPLE_DATA for path in base.glob(f"{place}/SampleData.py"))
    return next(found, None)
