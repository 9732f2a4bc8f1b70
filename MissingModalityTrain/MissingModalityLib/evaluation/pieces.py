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
from .metrics import DICE_EPSILON

_ET = list(REGIONS).index("ET")


@dataclass(frozen=True)
class Pieces:
    """Counts of voxels in the connected pieces of tumor of one prediction.

    Attributes:
        sizes: (n,) of the pieces; voxels that share a corner are connected.
        claimed: (3, n) of them in WT, TC and ET.
        hit: (3, n) of these in the same region of the label.
        label: (3,) of the label's regions.
    """

    sizes: np.ndarray
    claimed: np.ndarray
    hit: np.ndarray
    label: np.ndarray

    @classmethod
    def of(cls, classes: np.ndarray, label: np.ndarray) -> Pieces:
        """Count.

        Args:
            classes: (D, H, W) uint8, the prediction.
            label: (D, H, W) uint8, the truth.
        """
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
        )

    def dice(self, min_component_voxels: int, min_enhancing_voxels: int) -> np.ndarray:
        """Dice (3,), 0..1, of WT, TC and ET, see :func:`.metrics.dice`.

        Args:
            min_component_voxels: smaller pieces are removed, the largest stays.
            min_enhancing_voxels: less enhancing tumor than this, in all pieces that stay, counts as none.
        """
        kept = self.sizes >= min_component_voxels
        if len(kept):
            kept[self.sizes.argmax()] = True
        claimed, hit = self.claimed[:, kept].sum(1), self.hit[:, kept].sum(1)
        if claimed[_ET] < min_enhancing_voxels:
            claimed[_ET] = hit[_ET] = 0
        return (2 * hit + DICE_EPSILON) / (claimed + self.label + DICE_EPSILON)
