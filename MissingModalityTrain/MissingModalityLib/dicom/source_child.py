"""The program of the child process that reads whole headers, for objects that refer to their files."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pydicom

from ..core import strict_json
from ..runtime.limited_child import Answer, memory_limit, serve

_ROOM = 512 << 20
"""Bytes for the headers of a request; those of a thousand slices take a tenth."""

_BINARY = {"OB", "OD", "OF", "OL", "OV", "OW", "UN"}
"""Value representations of bytes: pixels, curves, and what is not known."""


def answer(request: Mapping[str, Any]) -> Answer:
    """Headers without pixels and private attributes, in DICOM's JSON (PS3.18 F), or a message."""
    if request["folder"]:
        with suppress(OSError):  # relative names are those of the parent
            os.chdir(request["folder"])
    texts = []
    for path in request["paths"]:
        try:
            with memory_limit(_ROOM):
                texts.append(strict_json.dumps(_header(Path(path))))
        except Exception as error:  # whatever a file makes of the library
            said = " ".join(str(error).split())
            return {"error": f"{path} cannot be read as DICOM ({type(error).__name__}: {said})."}, b""
    return {}, f"[{','.join(texts)}]".encode()


def _header(path: Path) -> dict[str, Any]:
    header = pydicom.dcmread(path, stop_before_pixels=True, force=True)
    header.remove_private_tags()
    for element in list(header):
        if element.VR in _BINARY:
            del header[element.tag]
    return header.to_json_dict(suppress_invalid_tags=True)


if __name__ == "__main__":
    serve(answer)
