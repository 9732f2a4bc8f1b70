"""The program that `fuzz.py` attacks: opens one file after another and tells what came of it.

It stands for the user's process. Volumes it reads as everybody does, through the reader's own child.
"""

from __future__ import annotations

import os
import tempfile
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from MissingModalityLib.core.errors import MissingModalityError
from MissingModalityLib.imaging import child_reader
from MissingModalityLib.imaging.volumes import read_image
from MissingModalityLib.inference.student import Student
from MissingModalityLib.runtime.limited_child import Answer, memory_limit, serve
from MissingModalityLib.training.plan import read_config
from MissingModalityLib.training.stage_students import export

MOST_MEMORY = 3 << 30
"""Bytes that any file may cost before the machine is protected from it."""


def open_volume(path: Path) -> int:
    """Read it; the bytes of its voxels."""
    image = read_image(path)
    return image.GetNumberOfPixels() * image.GetSizeOfPixelComponent()


def open_student(path: Path) -> int:
    """Load it; the bytes of the file."""
    Student.load(path)
    return path.stat().st_size


def open_checkpoint(path: Path) -> int:
    """Write the student of the run in whose folder it lies."""
    with tempfile.TemporaryDirectory() as folder:
        export(path.parent, Path(folder) / "student.safetensors")
    return path.stat().st_size


def open_settings(path: Path) -> int:
    """Read the settings in it."""
    read_config(path)
    return path.stat().st_size


OPENERS: dict[str, Callable[[Path], int]] = {
    ".safetensors": open_student,
    ".pt": open_checkpoint,
    ".yaml": open_settings,
}
"""Volumes are all others."""


def answer(request: dict[str, Any]) -> Answer:
    """``outcome`` (read, refused or fault), ``message``, ``printed``, ``stated`` bytes, ``memory`` taken."""
    path = Path(request["path"])
    _forget_peaks()
    before = _memory("rss")
    stated, outcome, message = 0, "read", ""
    with tempfile.TemporaryFile() as printed:
        for stream in (1, 2):
            os.dup2(printed.fileno(), stream)
        try:
            # each time, not once: what is told of a file must not depend on the files before it
            with memory_limit(MOST_MEMORY), warnings.catch_warnings():
                warnings.simplefilter("always")
                stated = OPENERS.get(path.suffix, open_volume)(path)
        except MissingModalityError as error:
            outcome, message = "refused", str(error)
        except BaseException:
            outcome, message = "fault", traceback.format_exc()
        printed.seek(0)
        said = printed.read().decode("utf-8", errors="replace")
    return {
        "outcome": outcome,
        "message": message,
        "printed": said,
        "stated": stated,
        "memory": max(0, _memory("peak") - before),
    }, b""


def _processes() -> list[int]:
    reader = child_reader._child._process
    return [os.getpid(), *([reader.pid] if reader and psutil.pid_exists(reader.pid) else [])]


def _forget_peaks() -> None:
    for pid in _processes():
        Path(f"/proc/{pid}/clear_refs").write_text("5")


def _memory(which: str) -> int:
    """Bytes of main memory that both processes hold, or have held at most since peaks were forgotten."""
    field = {"rss": "VmRSS", "peak": "VmHWM"}[which]
    total = 0
    for pid in _processes():
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        total += next((int(line.split()[1]) for line in lines if line.startswith(field)), 0) * 1024
    return total


if __name__ == "__main__":
    serve(answer)
