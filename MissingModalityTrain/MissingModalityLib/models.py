"""Where students lie: those that come with the project, and those that this user has trained."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from .errors import StudentError

FOLDER_VARIABLE = "MISSINGMODALITY_MODELS"
"""Environment variable that names another folder for this user's own students."""


def user_models() -> Path:
    """The folder of the students that this user has trained; it may not be there yet.

    Whoever exports a student makes it; every ``*.safetensors`` in it is offered for segmentation.
    """
    if chosen := os.environ.get(FOLDER_VARIABLE):
        return Path(chosen)
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Application Support"
    else:
        base = Path.home() / ".local" / "share"
    return base / "MissingModality" / "models"


def bundled_student() -> Path:
    """The trained network that is used when nobody names another: the first by name, where several lie there.

    Looks for ``Resources/Models/*.safetensors`` inside the package (pip), beside it (an installed Slicer
    module) and beside the folder that holds it (a checkout).

    Raises:
        StudentError: none of these folders holds a student.
    """
    package = Path(__file__).resolve().parent
    for base in (package, package.parent, package.parents[1]):
        found = sorted((base / "Resources" / "Models").glob("*.safetensors"))
        if found:
            return found[0]
    raise StudentError(
        "No student (trained network) comes with this installation: Resources/Models holds no .safetensors "
        "file. Name one with --student, or install MissingModality again."
    )
