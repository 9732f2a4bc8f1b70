"""Which patients a student learned from, by what their volumes hold; by name where its card has no hashes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..datasets.patients import volumes_of


class Learned:
    """The training cases of a student, without those that were held out to validate on.

    Args:
        training: the entry of that name in the student's card; None or empty for one that tells nothing.
    """

    def __init__(self, training: Mapping[str, Any] | None) -> None:
        training = training or {}
        # cases held out stand among the cases of the run, but nothing was learned from them
        self._names = set(training.get("cases") or ()) - set(training.get("validation") or ())
        hashes = training.get("voxels_sha256") or {}
        self._without_hashes = {name for name in self._names if not hashes.get(name)}
        self._volumes = {volume for name in self._names for volume in hashes.get(name) or ()}

    def has(self, name: str, content: Mapping[str, str] | None) -> bool:
        """Whether the student learned from a case, that is from one of its volumes.

        Args:
            name: of the case; decides alone where hashes are not known on one of both sides.
            content: hashes of its voxels by sequence, if they are known.
        """
        if not content:
            return name in self._names
        return name in self._without_hashes or not self._volumes.isdisjoint(volumes_of(content))
