"""Which sequences show which place of a case, where some end inside the brain.

A network is told of each sequence whether it is there, not where: beyond its last slice it would take the
zeros for tissue of average brightness. Each place is segmented from the sequences that show it, and one that
shows less than half of the brain is left out where another shows it whole.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..core.modalities import Modality, Subset, subset_of
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


def places_of(prepared: Prepared, names: Mapping[Modality, str]) -> Places:
    """By place the subset of the sequences that show it.

    A sequence that shows most of the brain counts as there everywhere: where it has no voxels, at the rim of
    the brain, networks have learned what zeros are.

    Args:
        prepared: the case.
        names: of its volumes, for the sentences.
    """
    shown = prepared.image != 0
    size = max(1, np.count_nonzero(prepared.brain))
    shares = {modality: np.count_nonzero(shown[modality]) / size for modality in prepared.subset}
    parts = [modality for modality, share in shares.items() if share < DOUBTFUL_OVERLAP]
    if not parts:
        return Places(prepared.available, None, prepared.subset)
    small = [one for one in parts if shares[one] < SMALLEST_SHARE and len(parts) < len(shares)]
    told = tuple(_told(names[one], shares[one], one in small) for one in parts)
    everywhere = prepared.available.copy()
    everywhere[small] = False
    available, number = _by_place(
        shown, prepared.brain, everywhere, [one for one in parts if one not in small]
    )
    most = np.bincount(number[prepared.brain], minlength=len(available)).argmax()
    if len(available) == 1:
        return Places(everywhere, None, subset_of(everywhere), told)
    return Places(available, number, subset_of(available[most]), told)


def _told(name: str, share: float, is_small: bool) -> str:
    what = (
        "too little to compare its brightness with that of whole brains: it was left out"
        if is_small
        else "where it ends, the others are used alone"
    )
    return f"{name} shows {share:.0%} of the brain; {what}."


def _by_place(
    shown: np.ndarray, brain: np.ndarray, everywhere: np.ndarray, parts: Sequence[Modality]
) -> tuple[np.ndarray, np.ndarray]:
    """Subsets (S, 4), and the number of the one that each voxel (D, H, W) of the brain has.

    Args:
        shown: (4, D, H, W) bool.
        brain: (D, H, W) bool.
        everywhere: (4,) bool, sequences to use.
        parts: those of them that do not show the whole brain.
    """
    code = np.zeros(brain.shape, np.uint8)
    for bit, modality in enumerate(parts):
        code |= (shown[modality] & brain).astype(np.uint8) << bit
    codes = np.unique(code[brain])
    available = np.tile(everywhere, (len(codes), 1))
    for bit, modality in enumerate(parts):
        available[:, modality] = codes >> bit & 1
    # a voxel of exactly average brightness looks as if no sequence showed it
    available[~available.any(axis=1)] = everywhere
    return available, np.searchsorted(codes, code).clip(max=len(codes) - 1).astype(np.uint8)
