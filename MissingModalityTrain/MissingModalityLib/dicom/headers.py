"""Headers of many DICOM files, read by a child process, which alone lets pydicom at users' files."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ..core import strict_json
from ..core.progress import Event, Progress, ProgressStage
from ..datasets.case import Skipped
from ..runtime.limited_child import ChildEnded, ChildUnavailable, LimitedChild

_SECONDS = 30.0
"""For one batch: a header takes a millisecond, from a slow network disk a tenth of a second."""

_BATCH = 64
"""Files for one request: the way to the child and back, under a millisecond, is shared by so many."""

_LARGEST = 1e9
"""No place, time, size or number of a series comes near; NaN, infinity and what overflows are beyond."""

_child = LimitedChild("MissingModalityLib.dicom.header_child", _SECONDS)


@dataclass(frozen=True)
class Frame:
    """One image: what its file's header, and in a multi-frame file its functional groups, say of it.

    Attributes:
        path: the file.
        index: place in a multi-frame file, from 0; None in a file of one image.
        header: text by keyword; several values joined by backslashes; absent where empty.
    """

    path: Path
    index: int | None
    header: Mapping[str, str]

    def text(self, keyword: str) -> str:
        """An attribute; empty where it is absent."""
        return self.header.get(keyword, "")

    def numbers(self, keyword: str) -> tuple[float, ...]:
        """The values of an attribute; none where one of them is no number that can be computed with."""
        try:
            values = tuple(float(word) for word in self.text(keyword).split("\\") if word)
        except ValueError:
            return ()
        return values if all(abs(value) < _LARGEST for value in values) else ()

    def number(self, keyword: str) -> float | None:
        """The first value of an attribute; None where it is absent or no number."""
        return next(iter(self.numbers(keyword)), None)


def read_headers(paths: Sequence[Path], on_progress: Progress) -> tuple[list[Frame], list[Skipped]]:
    """Every image of the files, and every file that is no DICOM or damaged with the reason.

    Raises:
        ModuleNotFoundError: pydicom is not installed.
    """
    if find_spec("pydicom") is None:  # a child would end without a word
        raise ModuleNotFoundError("No module named 'pydicom'", name="pydicom")
    frames: list[Frame] = []
    skipped: list[Skipped] = []
    for first in range(0, len(paths), _BATCH):
        batch = paths[first : first + _BATCH]
        for path, entry in zip(batch, _entries(batch), strict=True):
            if "reason" in entry:
                skipped.append(Skipped(path, entry["reason"]))
            else:
                frames += _frames(path, entry)
        on_progress(Event(ProgressStage.READ, first + len(batch), len(paths), "DICOM headers"))
    return frames, skipped


def _entries(paths: Sequence[Path]) -> list[Mapping[str, Any]]:
    """What the child says of each file; after its end each file is tried alone, so that one costs itself."""
    try:
        return _asked(paths)
    except ChildEnded as error:
        if len(paths) == 1:
            return [{"reason": f"is damaged, or made to do harm: the process that read it {error}"}]
        return [entry for path in paths for entry in _entries([path])]
    except ChildUnavailable as error:
        warnings.warn(
            f"DICOM headers are read without limits of memory and time, for no process of their own can be "
            f"started ({error}). A file made to do harm can end this program.",
            RuntimeWarning,
            stacklevel=2,
        )
        return _read_here(paths)


def _asked(paths: Sequence[Path]) -> list[Mapping[str, Any]]:
    """Raises ChildEnded, ChildUnavailable."""
    _, content = _child.ask({"paths": [os.path.abspath(path) for path in paths]})
    return strict_json.loads(bytes(content))


def _read_here(paths: Sequence[Path]) -> list[Mapping[str, Any]]:
    from .header_child import answer

    return strict_json.loads(bytes(answer({"paths": [str(path) for path in paths]})[1]))


def _frames(path: Path, entry: Mapping[str, Any]) -> Iterator[Frame]:
    header = entry["header"]
    if not entry["frames"]:
        yield Frame(path, None, header)
    for index, frame in enumerate(entry["frames"]):
        yield Frame(path, index, {**header, **frame})
