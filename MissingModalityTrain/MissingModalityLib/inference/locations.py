"""Where students lie: those that come with the project, and those that the user has trained."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from ..core.errors import StudentError

STUDENT_SUFFIX = ".safetensors"

_SEQUENCE_CHECK = "sequence-check"
"""Name of the one file beside students that is none: :mod:`~MissingModalityLib.clinical.sequence_network`."""


def bundled_student() -> Path:
    """The trained network that is used when nobody names another: the first by name, where several lie there.

    Looks for ``Resources/Models/*.safetensors`` inside the package (pip), beside it (an installed Slicer
    module) and beside the folder that holds it (a checkout).

    Raises:
        StudentError: none of these folders holds a student.
    """
    package = Path(__file__).resolve().parents[1]  # of the library; this file lies in one of its rooms
    for base in (package, package.parent, package.parents[1]):
        found = students_in(base / "Resources" / "Models")
        if found:
            return found[0]
    raise StudentError(
        "No model (trained network) comes with this installation: Resources/Models holds no .safetensors "
        "file. Name one with --model, or install MissingModality again."
    )


def students_in(folder: Path) -> list[Path]:
    """Student files of a folder, by name; without the network that checks sequences, which lies there too."""
    return sorted(path for path in folder.glob(f"*{STUDENT_SUFFIX}") if path.stem != _SEQUENCE_CHECK)


def user_models() -> Path:
    """The folder of the user's own students, which may not exist; MISSINGMODALITY_MODELS names another."""
    chosen = os.environ.get("MISSINGMODALITY_MODELS")
    if chosen:
        return Path(chosen)
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Application Support"
    else:
        base = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return base / "MissingModality" / "models"
