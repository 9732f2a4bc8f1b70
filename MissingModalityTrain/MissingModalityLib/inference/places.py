"""Which sequences show which place of a case, where some end inside the brain.

A network is told of each sequence whether it is there, not where: beyond the last slice of a slab it would
take the zeros for tissue of average brightness. Each place is segmented from the sequences that show it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..core.modalities import Subset, subset_of
from ..imaging.plausibility import DOUBTFUL_OVERLAP
from ..imaging.prepared import Prepared
from .sliding_window import RawPrediction


@dataclass(frozen=True)
class Places:
    """Subsets of a case's sequences, and where each is used.

    Attributes:
        available: (4,) bool where one subset serves everywhere, else (S, 4).
        number: (D, H, W) uint8, of the subset used there; None where one serves everywhere.
        subset: the one that most of the brain is segmented from.
    """

    available: np.ndarray
    number: np.ndarray | None
    subset: Subset

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


def places_of(prepared: Prepared) -> Places:
    """By place the subset of the sequences that show it.

    A sequence that shows most of the brain counts as there everywhere: where it has no voxels, at the rim of
    the brain, networks have learned what zeros are.
    """
    shown = prepared.image != 0
    whole = DOUBTFUL_OVERLAP * np.count_nonzero(prepared.brain)
    parts = [m for m in prepared.subset if np.count_nonzero(shown[m]) < whole]
    if not parts:
        return Places(prepared.available, None, prepared.subset)
    code = np.zeros(prepared.brain.shape, np.uint8)
    for bit, modality in enumerate(parts):
        code |= (shown[modality] & prepared.brain).astype(np.uint8) << bit
    codes, counts = np.unique(code[prepared.brain], return_counts=True)
    available = np.tile(prepared.available, (len(codes), 1))
    for bit, modality in enumerate(parts):
        available[:, modality] = codes >> bit & 1
    # a voxel of exactly average brightness looks as if no sequence showed it
    available[~available.any(axis=1)] = prepared.available
    number = np.searchsorted(codes, code).clip(max=len(codes) - 1).astype(np.uint8)
    return Places(available, number, subset_of(available[counts.argmax()]))
