"""Which sequences show which place of a case, where some end inside the brain.

A network is told of each sequence whether it is there, not where: beyond its last slice it would take the
zeros for tissue of average brightness. Each place is segmented from the sequences that show it, and one that
shows too little of the brain is left out where another shows it whole.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from ..core.modalities import Modality, Subset, subset_of
from ..imaging.grid import Grid, corners
from ..imaging.plausibility import DOUBTFUL_OVERLAP, SMALLEST_SHARE
from ..imaging.prepared import Prepared
from .sliding_window import RawPrediction


@dataclass(frozen=True)
class Places:
    """Subsets of a case's sequences, and where each is used.

    Attributes:
        available: (4,) bool where one subset serves everywhere, else (S, 4).
        number: (D, H, W) uint8, of the subset used there; None where one serves everywhere.
        subset: the one that most of the brain is segmented from.
        told: a sentence for each sequence that is not used everywhere.
    """

    available: np.ndarray
    number: np.ndarray | None
    subset: Subset
    told: tuple[str, ...] = ()

    @property
    def used(self) -> Subset:
        """All sequences that are used somewhere, in channel order."""
        return subset_of(np.atleast_2d(self.available).any(axis=0))

    def together(
        self, found: RawPrediction, gated: Callable[[np.ndarray, np.ndarray | None], np.ndarray]
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """One answer of those of all subsets.

        Args:
            found: for ``available``.
            gated: probabilities (K, D, H, W) of one subset, and its presence -> those to decide by.

        Returns:
            Probabilities (K, D, H, W), at each place of its own subset; and the presence (3,), the largest of
            any subset, or None where the network does not tell.
        """
        if self.number is None:
            return gated(found.probabilities, found.presence), found.presence
        presences = [None] * len(self.available) if found.presence is None else found.presence
        result, *others = map(gated, found.probabilities, presences)
        for number, other in enumerate(others, 1):
            here = self.number == number
            result[:, here] = other[:, here]
        return result, None if found.presence is None else found.presence.max(axis=0)


def places_of(prepared: Prepared, grids: Mapping[Modality, Grid], names: Mapping[Modality, str]) -> Places:
    """By place the subset of the sequences whose field of view it lies in.

    A sequence that shows most of the brain counts as there everywhere: where it has no voxels, at the rim of
    the brain, networks have learned what zeros are.

    Args:
        prepared: the case.
        grids: of its volumes, in the same space.
        names: of its volumes, for the sentences.
    """
    box = corners(prepared.grid)
    cut = [modality for modality in prepared.subset if not grids[modality].covers(box).all()]
    if not cut:
        return Places(prepared.available, None, prepared.subset)
    points = prepared.grid.points(np.argwhere(prepared.brain)[:, ::-1])
    shown = {modality: grids[modality].covers(points) for modality in cut}
    parts = {modality: float(where.mean()) for modality, where in shown.items()}
    parts = {modality: share for modality, share in parts.items() if share < DOUBTFUL_OVERLAP}
    completed = len(parts) < len(prepared.subset)
    small = [modality for modality, share in parts.items() if share < SMALLEST_SHARE and completed]
    told = tuple(_told(names[modality], share, modality in small) for modality, share in parts.items())
    everywhere = prepared.available.copy()
    everywhere[small] = False
    available, numbers = _by_place({m: shown[m] for m in parts if m not in small}, everywhere)
    if len(available) == 1:
        return Places(everywhere, None, subset_of(everywhere), told)
    number = np.zeros(prepared.brain.shape, np.uint8)
    number[prepared.brain] = numbers
    return Places(available, number, subset_of(available[np.bincount(numbers).argmax()]), told)


def _told(name: str, share: float, is_small: bool) -> str:
    what = (
        "too little to be of use beside whole volumes: it was left out"
        if is_small
        else "where it ends, the others are used alone"
    )
    return f"{name} shows {share:.0%} of the brain; {what}."


def _by_place(shown: Mapping[Modality, np.ndarray], everywhere: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Subsets (S, 4), and the number (n,) of the one that each voxel of the brain has.

    Args:
        shown: (n,) bool of each sequence that shows a part of the brain.
        everywhere: (4,) bool, these and those that show all of it.
    """
    codes = np.zeros(len(next(iter(shown.values()), ())), np.uint8)
    for bit, where in enumerate(shown.values()):
        codes |= where.astype(np.uint8) << bit
    found, numbers = np.unique(codes, return_inverse=True) if shown else (np.zeros(1, np.uint8), codes)
    available = np.tile(everywhere, (len(found), 1))
    for bit, modality in enumerate(shown):
        available[:, modality] = found >> bit & 1
    available[~available.any(axis=1)] = everywhere  # at the edge of all fields of view
    return available, numbers
