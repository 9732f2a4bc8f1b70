"""Small words of messages: numbers with their nouns, and names that were nearly right."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def counted(number: int, noun: str, plural: str = "") -> str:
    """``1, "case"`` -> ``"1 case"``, ``2, "case"`` -> ``"2 cases"``; ``plural`` where it is no plain s."""
    return f"{number} {noun if number == 1 else plural or f'{noun}s'}"


def nearest(word: str, known: Iterable[str]) -> str:
    """The known name that was probably meant: like ``word``, or beginning with it; "" where none is near."""
    names = {name.lower(): name for name in known}
    meant = word.lower()
    near = difflib.get_close_matches(meant, names, 1) or [name for name in names if name.startswith(meant)]
    return names[near[0]] if near and len(meant.strip("-")) > 1 else ""


def unknown_name(kind: str, name: str, known: Iterable[str], listed: str = "Choose one of") -> str:
    """``"Unknown recipe 'aemkd'. Did you mean aem-kd? Choose one of: ..."``."""
    names = list(known)
    near = nearest(name.rpartition(".")[2], names) or nearest(name, names)
    meant = f" Did you mean {near}?" if near else ""
    return f"Unknown {kind} '{name}'.{meant} {listed}: {', '.join(names)}."
