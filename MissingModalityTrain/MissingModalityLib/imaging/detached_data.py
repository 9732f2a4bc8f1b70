"""Voxels that lie in files of their own beside a header: which files a header may name.

A header comes from anywhere and names what it likes: a device without end, or somebody's private files. So
only regular files in the header's folder or below are read.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path, PureWindowsPath

from ..core.errors import ImageError

_MOST_FILES = 10_000
"""Slices of one volume."""

_WHOLE = re.compile(r"[+-]?[0-9]{1,18}")

# one number, as printf fills it in: %d, %03d, %i, %u
_PLACEHOLDER = re.compile(r"%(0?)([0-9]{0,2})[diu]")


def whole_number(text: str) -> int:
    """A whole number as readers written in C understand it; int() knows more, such as 1_000.

    Raises:
        ValueError: it is none.
    """
    if not _WHOLE.fullmatch(text):
        raise ValueError(f"'{text[:40]}' is no whole number")
    return int(text)


def header_lines(raw: bytes) -> Iterator[tuple[str, int]]:
    """Lines of a header without their ends, and the byte after each.

    Raises:
        ValueError: a carriage return inside a line; readers differ in what it means.
    """
    end = 0
    while end < len(raw):
        begin, end = end, (raw.find(b"\n", end) + 1) or len(raw)
        line = raw[begin:end].decode("latin-1").removesuffix("\n").removesuffix("\r")
        if "\r" in line:
            raise ValueError("a carriage return inside a line")
        yield line, end


def data_files(header: Path, names: Sequence[str]) -> list[Path]:
    """The files that a header names.

    Args:
        header: path of the header.
        names: as they stand there.

    Raises:
        ImageError: none or too many; one that lies elsewhere, is absent, or no regular file.
    """
    if not 0 < len(names) <= _MOST_FILES:
        raise ImageError(f"{header}: it names {len(names)} data files. Save the volume in one file.")
    return [_data_file(header, name) for name in names]


def numbered_names(words: Sequence[str]) -> list[str]:
    """Names of one file per slice, from a pattern, the first number, the last one and the step.

    Raises:
        ValueError: the words are something else.
    """
    pattern, *numbers = words
    first, last, step = (whole_number(number) for number in numbers)
    if len(_PLACEHOLDER.findall(pattern)) != 1 or pattern.count("%") != 1 or not step:
        raise ValueError("the pattern of data files")
    steps = range(first, last + (1 if step > 0 else -1), step)
    if len(steps) > _MOST_FILES:
        raise ValueError("too many data files")
    return [pattern % number for number in steps]


def _data_file(header: Path, name: str) -> Path:
    windows = PureWindowsPath(name)  # knows both kinds of slashes
    path = header.parent / name
    folder = os.path.realpath(header.parent)
    inside = not windows.anchor and ".." not in windows.parts and name.isprintable() and bool(windows.parts)
    if inside:
        inside = Path(os.path.realpath(path)).is_relative_to(folder)
    if not inside:
        raise ImageError(
            f"{header}: its data file '{name}' lies outside the header's folder, where nothing is read. Put "
            "both files into one folder and correct the name in the header."
        )
    if not path.exists():
        raise ImageError(f"{header}: its data file {path} does not exist. Put both files into one folder.")
    if not path.is_file():
        raise ImageError(
            f"{header}: its data file {path} is no regular file. Correct the name in the header."
        )
    return path
