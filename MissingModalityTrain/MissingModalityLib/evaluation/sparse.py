"""A prediction and its label at those voxels that a decision can claim: small enough to keep hundreds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..core.labels import IGNORED, REGIONS, region_mask
from ..imaging.boxes import tightest_box
from ..inference.student import Student
from ..networks.heads import HEADS
from .counts import DICE_EPSILON
from .pieces import Pieces, pieces_of


@dataclass(frozen=True)
class Sparse:
    """One prediction with its label, at those voxels of the box around both that can matter.

    Attributes:
        shape: (d, h, w) of the box.
        where: (n,) places in the flattened box, of what may be claimed.
        probabilities: (3, n) float16 of WT, TC and ET.
        classes: (n,) uint8, the class map of a student that takes no thresholds.
        label: (d, h, w) uint8 classes.
    """

    shape: tuple[int, ...]
    where: np.ndarray
    probabilities: np.ndarray
    classes: np.ndarray
    label: np.ndarray

    def pieces(self, thresholds: Mapping[str, float] | None) -> dict[str, Pieces]:
        """The pieces of each region that thresholds by region make; without, of the class map as it is."""
        found = self.classes
        if thresholds is not None:
            levels = [thresholds[region] for region in REGIONS]
            found = HEADS["regions"].class_map(self.probabilities, levels)
        classes = np.zeros(self.shape, np.uint8)
        classes.ravel()[self.where] = found
        return pieces_of(classes, self.label)

    def claims(self, region: str, thresholds: Sequence[float]) -> list[float]:
        """Dice of a region for each threshold, whatever the other regions claim."""
        label = region_mask(self.label, region)
        here, count = label.ravel()[self.where], np.count_nonzero(label)
        probabilities = self.probabilities[list(REGIONS).index(region)]
        masks = [probabilities > threshold for threshold in thresholds]
        return [
            (2 * np.count_nonzero(mask & here) + DICE_EPSILON)
            / (np.count_nonzero(mask) + count + DICE_EPSILON)
            for mask in masks
        ]


def sparse(
    student: Student, probabilities: np.ndarray, brain: np.ndarray, label: np.ndarray, lowest: float
) -> Sparse:
    """What of a prediction may be claimed.

    Args:
        student: that predicted.
        probabilities: (K, D, H, W), of the student's head.
        brain: (D, H, W) bool.
        label: (D, H, W) uint8 classes.
        lowest: of the thresholds that will be tried.
    """
    head = student.network.head
    regions, classes = head.region_probabilities(probabilities), head.class_map(probabilities)
    # no candidate claims what lies below the lowest of them; the margin is for rounding to float16
    possible = 0.9 * min(lowest, *student.thresholds.values())
    claimable = ((classes > 0) | (regions > possible).any(0)) & brain
    box = tightest_box(claimable | (label > 0)) or (slice(0, 1),) * claimable.ndim
    where = np.flatnonzero((claimable & (label != IGNORED))[box])
    return Sparse(
        shape=claimable[box].shape,
        where=where,
        probabilities=np.stack([part[box].ravel()[where] for part in regions]).astype(np.float16),
        classes=classes[box].ravel()[where],
        label=label[box].copy(),  # a view would keep the whole case in memory
    )
