"""Values of settings as people type them, and back."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any

_SWITCHES = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
"""Texts for true and false, as YAML reads them."""


def literal(value: Any) -> Any:
    """A text as the value that it stands for in Python or YAML; anything else as it is."""
    if not isinstance(value, str):
        return value
    if value.lower() in _SWITCHES:
        return _SWITCHES[value.lower()]
    try:
        return ast.literal_eval(value)
    # MemoryError and RecursionError: what ast says of very deep brackets
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return value


def as_text(value: Any) -> str:
    """A value as ``--set`` takes it."""
    if isinstance(value, Mapping):
        return " ".join(f"{option}={item}" for option, item in value.items()) or "none"
    if isinstance(value, (tuple, list)):
        return ",".join(map(as_text, value)) or "none"
    try:
        return str(value)
    except ValueError:  # Python prints no whole number of thousands of digits
        return "a number of thousands of digits"
