"""The program of the child process that reads volumes, see :mod:`.child_reader`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..core.errors import MissingModalityError
from ..runtime.limited_child import Answer, memory_limit, serve
from .sent_image import as_answer
from .volumes import read_here

_TIMES = 4
"""Of a volume's size: ITK holds it as stored and as read, which for scaled numbers takes twice the room."""

_ROOM = 256 << 20
"""Bytes beside: buffers, and what libraries reserve when they are first used."""


def answer(request: Mapping[str, Any]) -> Answer:
    """The image as its geometry and its bytes, or a message; never an exception."""
    if request["folder"]:
        with suppress(OSError):  # relative names are those of the parent
            os.chdir(request["folder"])
    try:
        image = read_here(
            Path(request["path"]), request["channel"], lambda stated: memory_limit(_TIMES * stated + _ROOM)
        )
    except MissingModalityError as error:
        return {"error": str(error)}, b""
    except Exception as error:  # whatever a file makes of the libraries
        said = " ".join(str(error).split())
        return {
            "error": f"{request['path']} cannot be read ({type(error).__name__}: {said}). The file is "
            "damaged or not an image; copy it again from its source."
        }, b""
    return as_answer(image)


if __name__ == "__main__":
    serve(answer)
