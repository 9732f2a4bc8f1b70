"""Volumes read by a child process, which alone lets ITK at users' files."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import SimpleITK as sitk

from ..core.errors import ImageError
from ..runtime.limited_child import ChildEnded, LimitedChild
from .sent_image import from_answer

_SECONDS = 120.0
"""For one file: a volume of 10 MB takes a tenth of a second, a gigabyte from a network disk a minute."""

_child = LimitedChild("MissingModalityLib.imaging.reader_child", _SECONDS)


def read_apart(path: Path, channel: int | None = None) -> sitk.Image:
    """:func:`.volumes.read_here`, in the child.

    Raises:
        ImageError: as there; or the child crashed or took too long over the file.
        ChildUnavailable: there is no child.
    """
    request = {"path": str(path), "channel": channel, "folder": None}
    with suppress(OSError):  # of a shell whose folder was removed
        request["folder"] = os.getcwd()
    try:
        reply, content = _child.ask(request)
    except ChildEnded as error:
        raise ImageError(
            f"{path} cannot be read: the process that read it {error}. The file is damaged, or made to do "
            "harm; copy it again from its source."
        ) from error
    return from_answer(reply, content, str(path))
