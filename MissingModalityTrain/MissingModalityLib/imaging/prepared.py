"""A study ready for a network, as preparation and prepared-case cache both give it; needs NumPy alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..core.modalities import Subset, subset_of
from .grid import Grid

VERSION = 2
"""Raised whenever prepared arrays change, so that cached ones are made anew."""


@dataclass(frozen=True)
class Prepared:
    """A study ready for a network.

    Attributes:
        image: (C, D, H, W) float32, a channel per modality, z-scored inside the brain; 0 outside it and in
            missing channels.
        available: (C,) bool.
        brain: (D, H, W) bool, where any volume is not background.
        label: (D, H, W) uint8 classes 0..3, with :data:`~..core.labels.RESECTION_CAVITY` or what it counts
            as; or None.
        grid: the cropped common grid that the arrays are on (1 mm, near LPS).
        reference: the reference volume's own grid.
        warnings: what the user should know about the input, one sentence each.
    """

    image: np.ndarray
    available: np.ndarray
    brain: np.ndarray
    label: np.ndarray | None
    grid: Grid
    reference: Grid
    warnings: tuple[str, ...] = ()

    @property
    def subset(self) -> Subset:
        """Available modalities in channel order."""
        return subset_of(self.available)
