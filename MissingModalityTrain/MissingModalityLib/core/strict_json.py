"""JSON as its standard has it (RFC 8259), read and written by every file of the library.

Python's own module takes more than that: of a key given twice it keeps the last value without a word, and it
reads and writes NaN and infinity, which no other program understands.
"""

from __future__ import annotations

import json
import math
from typing import Any


def loads(text: str | bytes) -> Any:
    """The value of a text.

    Args:
        text: bytes are UTF-8.

    Raises:
        ValueError: it is no JSON, nests too deep, has a key twice in one object, or holds a number that is
            not finite.
    """
    if isinstance(text, bytes):  # json.loads would guess at other encodings
        text = text.decode("utf-8")
    try:
        return json.loads(
            text, object_pairs_hook=_object, parse_constant=_no_constant, parse_float=_finite_float
        )
    except RecursionError:
        raise ValueError("its brackets nest too deep") from None


def dumps(value: Any, indent: int | None = None) -> str:
    """A value as text.

    Raises:
        ValueError: it holds a number that is not finite.
    """
    return json.dumps(value, indent=indent, allow_nan=False)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{twice!r:.60} stands twice in one object")
    return found


def _no_constant(word: str) -> Any:
    raise ValueError(f"it holds {word}, which is no number of JSON")


def _finite_float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"the number {text:.60} is beyond all floats")
    return value
