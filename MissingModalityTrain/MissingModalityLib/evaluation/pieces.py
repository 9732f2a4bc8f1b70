"""Dice for every size of pieces that may be removed, from one look at a prediction.

What :func:`~..inference.decision.decide` does to a class map after its thresholds, taking small pieces of
tumor away and then too little enhancing tumor, changes no voxel of a piece that stays, so that counts of
each piece suffice.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from ..core.labels import REGIONS, region_mask
from .counts import DICE_EPSILON
from .lesions import SMALLEST_MM3
from .region import DILATION_VOXELS, grown_lesions

_ET = list(REGIONS).index("ET")


@dataclass(frozen=True)
class Pieces:
    """Counts of voxels in the connected pieces of tumor of one prediction.

    Attributes:
        sizes: (n,) of the pieces; voxels that share a corner are connected.
        claimed: (3, n) of them in WT, TC and ET.
        hit: (3, n) of these in the same region of the label.
        label: (3,) of the label's regions.
        lesions: (m,) of the whole tumor's lesions in the label, those too small to count left out.
        reached: (m, n) bool, whether a piece reaches into the surroundings of a lesion.
        shared: (m, n) voxels of a piece in a lesion itself.
        stray: (n,) bool, pieces that reach no lesion, counted or not.
    """

    sizes: np.ndarray
    claimed: np.ndarray
    hit: np.ndarray
    label: np.ndarray
    lesions: np.ndarray
    reached: np.ndarray
    shared: np.ndarray
    stray: np.ndarray

    @classmethod
    def of(cls, classes: np.ndarray, label: np.ndarray) -> Pieces:
        """Count.

        Args:
            classes: (D, H, W) uint8, the prediction.
            label: (D, H, W) uint8, the truth; both at 1 mm per voxel.
        """
        classes, label = (np.pad(array, DILATION_VOXELS) for array in (classes, label))
        places, number = ndimage.label(classes, np.ones((3,) * classes.ndim))
        inside = np.flatnonzero(classes)
        place, found, truth = places.ravel()[inside] - 1, classes.ravel()[inside], label.ravel()[inside]
        claims = [region_mask(found, region) for region in REGIONS]
        hits = [claim & region_mask(truth, region) for claim, region in zip(claims, REGIONS, strict=True)]
        return cls(
            sizes=np.bincount(place, minlength=number),
            claimed=np.stack([np.bincount(place[claim], minlength=number) for claim in claims]),
            hit=np.stack([np.bincount(place[hit], minlength=number) for hit in hits]),
            label=np.array([np.count_nonzero(region_mask(label, region)) for region in REGIONS]),
            **_lesions(label, inside, place, number),
        )

    def dice(self, min_component_voxels: int, min_enhancing_voxels: int) -> np.ndarray:
        """Dice (3,), 0..1, of WT, TC and ET, see :func:`.metrics.dice`.

        Args:
            min_component_voxels: smaller pieces are removed, the largest stays.
            min_enhancing_voxels: less enhancing tumor than this, in all pieces that stay, counts as none.
        """
        kept = self.kept(min_component_voxels)
        claimed, hit = self.claimed[:, kept].sum(1), self.hit[:, kept].sum(1)
        if claimed[_ET] < min_enhancing_voxels:
            claimed[_ET] = hit[_ET] = 0
        return (2 * hit + DICE_EPSILON) / (claimed + self.label + DICE_EPSILON)

    def lesion_dice(self, min_component_voxels: int) -> float:
        """Lesion-wise Dice, 0..1, of the whole tumor, see :func:`.lesions.lesion_score`."""
        kept = self.kept(min_component_voxels)
        reached = self.reached & kept
        claimed, hit = (reached * self.sizes).sum(1), (self.shared * reached).sum(1)
        count = len(self.lesions) + np.count_nonzero(self.stray & kept)
        return float((2 * hit / (claimed + self.lesions)).sum() / count) if count else 1.0

    def kept(self, min_component_voxels: int) -> np.ndarray:
        """(n,) bool: pieces that are not smaller, and the largest."""
        kept = self.sizes >= min_component_voxels
        if len(kept):
            kept[self.sizes.argmax()] = True
        return kept


def _lesions(label: np.ndarray, inside: np.ndarray, place: np.ndarray, number: int) -> dict[str, np.ndarray]:
    """How the pieces lie to the lesions of the whole tumor.

    Args:
        label: (D, H, W) uint8.
        inside: (v,) flat places of the prediction's voxels.
        place: (v,) the piece of each, from 0.
        number: of pieces.
    """
    truth = region_mask(label, "WT")
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
