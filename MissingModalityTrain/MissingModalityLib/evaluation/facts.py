"""Nested facts of a card as a table of two columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .tables import markdown_lines


def facts_table(facts: Mapping[str, Any]) -> str:
    """A line for each fact, floats with six digits."""
    return markdown_lines(["", ""], [[key, _text(value)] for key, value in facts.items()])


def flattened(values: Mapping[str, Any]) -> dict[str, Any]:
    """``{"options": {"filters": 16}}`` -> ``{"options: filters": 16}``; underscores become spaces."""

    def walk(prefix: str, branch: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
        for key, value in branch.items():
            name = prefix + str(key).replace("_", " ")
            if isinstance(value, Mapping):
                yield from walk(f"{name}: ", value)
            else:
                yield name, value

    return dict(walk("", values))


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list | tuple):
        return ", ".join(_text(item) for item in value)
    return str(value).replace("\n", " ")
