"""Texts of strangers on their way to a terminal or a panel: names of files, headers, cards, settings."""

from __future__ import annotations

import re

_STEERING = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
"""Control characters, with which terminals change colors and write over what was said; and those that turn
the direction of writing, after which a name reads as another (Unicode Standard Annex 9)."""


def printable(text: str, lines: bool = False) -> str:
    r"""A text in which nothing moves a cursor: each such character is written as Python does, ``\x1b``.

    Args:
        text: for people.
        lines: whether it is of several lines, whose ends stay as they are.
    """
    return _STEERING.sub(lambda found: found[0] if lines and found[0] == "\n" else repr(found[0])[1:-1], text)
