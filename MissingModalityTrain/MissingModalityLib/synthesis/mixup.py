"""MixUp of whole images (Zhang et al., ICLR 2018), which AEM+KD compares its synthesis with (Table 6)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core.modalities import MODALITIES
from ..imaging.boxes import shared_part
from ..imaging.cache import CachedCase
from .synthetic_case import SyntheticCase
from .transplant import centered


@dataclass(frozen=True)
class MixedCase(SyntheticCase):
    """share * X_A + (1 - share) * X_B on the recipient's grid, with the recipient's labels.

    MixUp also mixes the labels, as shares that add up to 1. Under a loss that is linear in the labels, as
    cross-entropy is, the expected loss is the same when the label is that of A alone and the share is drawn
    from Beta(alpha + 1, alpha) instead of Beta(alpha, alpha): a pair with share s is drawn as often in one
    order as in the other, and then counts for A with weight s. So hard labels, which losses and crops here
    are made for, change nothing in expectation there; for the Dice loss they are an approximation.

    Attributes:
        donor: the case mixed in, its grid centered on the recipient's.
        share: of the recipient, 0..1.
    """

    donor: CachedCase
    share: float

    @classmethod
    def draw(
        cls, name: str, recipient: CachedCase, donor: CachedCase, alpha: float, random: np.random.Generator
    ) -> MixedCase:
        """A pair with its share drawn."""
        subset = tuple(modality for modality in recipient.subset if modality in donor.subset)
        return cls(name, recipient, subset, donor, float(random.beta(alpha + 1, alpha)))

    def crop(self, start: Iterable[int], size: Iterable[int]) -> tuple[np.ndarray, np.ndarray]:
        """As :meth:`CachedCase.crop`."""
        start, size = tuple(start), tuple(size)
        image, label = self.recipient.crop(start, size)
        image *= np.float32(self.share)
        # the donor may be larger: it ends where the recipient's grid does, as a transplanted tumor would
        inside = shared_part(start, size, self.shape)
        if inside:
            box, part = inside
            offset = centered(self.shape, self.donor.shape)
            first = [edge.start - step for edge, step in zip(box, offset, strict=True)]
            other, _ = self.donor.crop(first, [edge.stop - edge.start for edge in box])
            image[(slice(None), *part)] += np.float32(1 - self.share) * other
        # after the sum, not before: what either case lacks must not show, whatever its file holds there
        image[[modality for modality in MODALITIES if modality not in self.subset]] = 0
        return image, label

    def tumor_voxels(self) -> np.ndarray:
        """As :meth:`CachedCase.tumor_voxels`; the recipient's."""
        return self.recipient.tumor_voxels()

    def describe(self) -> dict[str, Any]:
        """Pair and share."""
        return {"recipient": self.recipient.name, "donors": [self.donor.name], "share": self.share}
