"""Which patients a student learned from, by what their volumes hold; by name where its card has no hashes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..datasets.patients import volumes_of
from .card import read_card

BEFORE = "learned_before"
"""Key of a card's training: cases that models had learned from which a run began with, or was taught by."""


class Learned:
    """The training cases of a student and of those before it, without what was held out to validate on.

    Args:
        training: the entry of that name in the student's card; None or empty for one that tells nothing.

    Attributes:
        cases: hashes of their volumes by name, none where they are not known.
    """

    def __init__(self, training: Mapping[str, Any] | None) -> None:
        training = training or {}
        # cases held out stand among the cases of the run, but nothing was learned from them
        names = set(training.get("cases") or ()) - set(training.get("validation") or ())
        hashes = training.get("voxels_sha256") or {}
        own = {name: list(hashes.get(name) or ()) for name in sorted(names)}
        parts = (own, training.get(BEFORE) or {})
        self.cases = joined(*parts)
        self._without_hashes = {name for part in parts for name, volumes in part.items() if not volumes}
        self._volumes = {volume for volumes in self.cases.values() for volume in volumes}

    def has(self, name: str, content: Mapping[str, str] | None) -> bool:
        """Whether the student learned from a case, that is from one of its volumes.

        Args:
            name: of the case; decides alone where hashes are not known on one of both sides.
            content: hashes of its voxels by sequence, if they are known.
        """
        if not content:
            return name in self.cases
        return name in self._without_hashes or not self._volumes.isdisjoint(volumes_of(content))


def learned_by(models: Iterable[Path | str]) -> dict[str, list[str]]:
    """What any of several model files learned from, as :attr:`Learned.cases`.

    Raises:
        StudentError: one cannot be read.
    """
    return joined(*(Learned(read_card(path).get("training")).cases for path in models))


def joined(*parts: Mapping[str, Iterable[str]]) -> dict[str, list[str]]:
    """Cases of several models, each with all hashes under its name."""
    found: dict[str, set[str]] = {}
    for part in parts:
        for name, volumes in part.items():
            found.setdefault(name, set()).update(volumes)
    return {name: sorted(volumes) for name, volumes in found.items()}
