"""Finds the students that come with the project."""

from __future__ import annotations

from pathlib import Path

from .errors import StudentError


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
