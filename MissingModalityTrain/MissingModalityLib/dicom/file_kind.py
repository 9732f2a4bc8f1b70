"""Whether a file is DICOM, by its first bytes."""

from __future__ import annotations

from pathlib import Path

PREAMBLE = 128
_MAGIC = b"DICM"

EMPTY = "is empty"
COPY_AGAIN = "copy it again from its source"
"""Ends of the reasons why a file that was cut off is skipped."""

START = PREAMBLE + len(_MAGIC)
"""Bytes that tell."""


def has_preamble(start: bytes) -> bool:
    """Whether a file begins as PS3.10 Section 7.1 has it."""
    return start[PREAMBLE:START] == _MAGIC


def begins_with_data(start: bytes) -> bool:
    """Whether a data set may begin at the first byte, as archives of the last century wrote them.

    Its first element is one of group 2 or 8, little-endian, and has a small number.
    """
    return len(start) == START and start[0] in (2, 8) and start[1] == 0 and start[3] == 0


def is_dicom(path: Path) -> bool:
    """Whether a file looks like DICOM with or without preamble; False where it cannot be read."""
    try:
        if not path.is_file():  # a pipe, which may never end
            return False
        with path.open("rb") as file:
            start = file.read(START)
    except OSError:
        return False
    return has_preamble(start) or begins_with_data(start)
