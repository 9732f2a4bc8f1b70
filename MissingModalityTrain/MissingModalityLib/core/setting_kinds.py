"""Values of settings as the kinds that annotations name."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, get_args, get_origin

from .setting_texts import literal


def as_kind(value: Any, kind: Any) -> Any:
    """A value, or a text as ``--set`` takes it, as one of a kind.

    Args:
        value: as it was given.
        kind: int, float, bool, str, a tuple of one of these, or ``dict[str, Any]``.

    Returns:
        None where it cannot be read as one.
    """
    return _read_tuple(value, get_args(kind)) if get_origin(kind) is tuple else _read_one(value, kind)


def in_words(kind: Any) -> str:
    """What a value of a kind must be, for messages."""
    words = {bool: "true or false", int: "a whole number", float: "a finite number", str: "a name"}
    if get_origin(kind) is not tuple:
        return words.get(kind, "options by name")
    items = {int: "whole numbers", float: "finite numbers"}.get(get_args(kind)[0], "names")
    return f"{items} joined by commas"


def _read_one(value: Any, kind: Any) -> Any:
    """None where it is none of the kind."""
    if kind is str:
        return value if isinstance(value, str) else None
    if kind not in (bool, int, float):
        return dict(value) if isinstance(value, Mapping) else None
    value = literal(value)
    if isinstance(value, bool) or kind is bool:
        return value if isinstance(value, bool) and kind is bool else None
    if kind is int:
        return value if isinstance(value, int) else None
    try:
        # neither infinity nor NaN can be computed with, and JSON has no word for them
        return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else None
    except OverflowError:  # a whole number beyond all floats
        return None


def _read_tuple(value: Any, parts: tuple[Any, ...]) -> tuple[Any, ...] | None:
    """None where it is no tuple of such parts: ``(int, ...)`` for any number, else as many as there are."""
    kind, length = parts[0], None if parts[-1] is Ellipsis else len(parts)
    if kind is str and isinstance(value, str):  # names may look like numbers, so no literal of Python
        value = _names(value)
    elif isinstance(value := literal(value), (int, float)) and length:
        value = (value,) * length
    if not isinstance(value, (tuple, list)) or (length is not None and len(value) != length):
        return None
    read = tuple(_read_one(part, kind) for part in value)
    return None if None in read else read


def _names(text: str) -> Any:
    if text[:1] in ("[", "(") and isinstance(listed := literal(text), (list, tuple)):
        return listed
    # a comma at the end names nothing
    return () if text == "none" else tuple(part for part in map(str.strip, text.split(",")) if part)
