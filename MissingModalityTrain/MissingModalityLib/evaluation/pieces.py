"""Dice for every size of pieces that may be removed, from one look at a prediction.

What :func:`~..inference.decision.decide` does to a class map after its thresholds, taking small pieces of
WT, TC and ET away in turn and then too little enhancing tumor, changes no voxel of a piece that stays, and
each piece of a region lies in one piece of the region around it, so that counts of each piece suffice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from ..core.labels import REGIONS, region_mask
from .counts import DICE_EPSILON
from .lesions import SMALLEST_MM3
from .region import DILATION_VOXELS, grown_lesions


@dataclass(frozen=True)
class Pieces:
    """Counts of voxels in the connected pieces of one region of one prediction.

    Attributes:
        sizes: (n,) of the pieces; voxels that share a corner are connected.
        hit: (n,) of their voxels in the same region of the label.
        around: (n,) number from 0 of the piece of the region around it that a piece lies in; 0 for WT, which
            has none around it.
        label: voxels of the region in the label.
        lesions: (m,) of the region's lesions in the label, those too small to count left out.
        reached: (m, n) bool, whether a piece reaches into the surroundings of a lesion.
        shared: (m, n) voxels of a piece in a lesion itself.
        stray: (n,) bool, pieces that reach no lesion, counted or not.
    """

    sizes: np.ndarray
    hit: np.ndarray
    around: np.ndarray
    label: int
    lesions: np.ndarray
    reached: np.ndarray
    shared: np.ndarray
    stray: np.ndarray

    def kept(self, around: np.ndarray, min_voxels: int) -> np.ndarray:
        """(n,) bool: pieces in what stays around them that are not smaller, and the largest of these.

        Args:
            around: (k,) bool, what of the region around stays.
            min_voxels: the least size.
        """
        there = around[self.around]
        kept = there & (self.sizes >= min_voxels)
        if there.any():
            kept[np.where(there, self.sizes, 0).argmax()] = True
        return kept

    def dice(self, kept: np.ndarray) -> float:
        """Dice, 0..1, of the pieces that stay (n,), see :func:`.metrics.dice`."""
        claimed, hit = self.sizes[kept].sum(), self.hit[kept].sum()
        return float((2 * hit + DICE_EPSILON) / (claimed + self.label + DICE_EPSILON))

    def lesion_dice(self, kept: np.ndarray) -> float:
        """Lesion-wise Dice, 0..1, of the pieces that stay (n,), see :func:`.lesions.lesion_score`."""
        reached = self.reached & kept
        claimed, hit = (reached * self.sizes).sum(1), (self.shared * reached).sum(1)
        count = len(self.lesions) + np.count_nonzero(self.stray & kept)
        return float((2 * hit / (claimed + self.lesions)).sum() / count) if count else 1.0


def pieces_of(classes: np.ndarray, label: np.ndarray) -> dict[str, Pieces]:
    """The pieces of WT, TC and ET of a prediction.

    Args:
        classes: (D, H, W) uint8, the prediction.
        label: (D, H, W) uint8, the truth; both at 1 mm per voxel.
    """
    classes, label = (np.pad(array, DILATION_VOXELS) for array in (classes, label))
    found, outer = {}, np.ones(classes.shape, np.intp)
    for region in REGIONS:
        numbers, count = ndimage.label(region_mask(classes, region), np.ones((3,) * classes.ndim))
        truth = region_mask(label, region)
        inside = np.flatnonzero(numbers)
        place = numbers.ravel()[inside] - 1
        around = np.zeros(count, np.intp)
        around[place] = outer.ravel()[inside] - 1
        found[region] = Pieces(
            sizes=np.bincount(place, minlength=count),
            hit=np.bincount(place[truth.ravel()[inside]], minlength=count),
            around=around,
            label=int(np.count_nonzero(truth)),
            **_lesions(truth, inside, place, count),
        )
        outer = numbers
    return found


def kept_pieces(
    pieces: Mapping[str, Pieces], min_voxels: Mapping[str, int], min_enhancing_voxels: int = 0
) -> dict[str, np.ndarray]:
    """Of each region which pieces (n,) stay.

    Args:
        pieces: from :func:`pieces_of`.
        min_voxels: by region; smaller pieces go, the largest stays.
        min_enhancing_voxels: less enhancing tumor than this, in all pieces that stay, counts as none.
    """
    kept, around = {}, np.ones(1, bool)
    for region, ones in pieces.items():
        kept[region] = around = ones.kept(around, min_voxels[region])
    if pieces["ET"].sizes[kept["ET"]].sum() < min_enhancing_voxels:
        kept["ET"] = np.zeros_like(kept["ET"])
    return kept


def _lesions(truth: np.ndarray, inside: np.ndarray, place: np.ndarray, number: int) -> dict[str, np.ndarray]:
    """How the pieces of a region lie to its lesions.

    Args:
        truth: (D, H, W) bool, the region in the label.
        inside: (v,) flat places of the prediction's voxels.
        place: (v,) the piece of each, from 0.
        number: of pieces.
    """
    lesions, count = grown_lesions(truth)
    lesion = lesions.ravel()[inside]

    def table(chosen: np.ndarray) -> np.ndarray:
        pairs = lesion[chosen] * number + place[chosen]
        return np.bincount(pairs, minlength=(count + 1) * number).reshape(count + 1, number)[1:]

    reached, shared = table(lesion > 0) > 0, table(truth.ravel()[inside])
    sizes = np.bincount(lesions[truth], minlength=count + 1)[1:]
    counted = sizes > SMALLEST_MM3
    return {
        "lesions": sizes[counted],
        "reached": reached[counted],
        "shared": shared[counted],
        "stray": ~reached.any(0),
    }
