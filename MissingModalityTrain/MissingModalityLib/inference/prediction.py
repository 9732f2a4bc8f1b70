"""What a student gives back: for a study, and for one subset of its modalities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..core.modalities import Subset
from .expected_dice import Grade

if TYPE_CHECKING:
    import SimpleITK as sitk


@dataclass(frozen=True)
class Prediction:
    """Result of :meth:`.student.Student.predict`.

    Attributes:
        labels: uint8 classes 0..3 on the reference volume's own grid.
        subset: the modalities used.
        seconds: wall-clock time of preparation, inference and restoring.
        device: where the network ran.
        warnings: what the user should know, one sentence each.
        presence: probability that the case holds NCR, ED and ET at all; None where the network does not tell.
        estimated_dice: of WT, TC and ET, 0..1, see :mod:`.dice_estimate`; None where the student is not
            calibrated.
        grades: how far to trust each of them; None likewise.
    """

    labels: sitk.Image
    subset: Subset
    seconds: float
    device: str
    warnings: tuple[str, ...]
    presence: dict[str, float] | None = None
    estimated_dice: dict[str, float] | None = None
    grades: dict[str, Grade] | None = None


@dataclass(frozen=True)
class SubsetResult:
    """What a student finds with one subset of a case's modalities.

    Attributes:
        classes: (D, H, W) uint8 on the prepared grid; background outside the brain.
        features: what its probabilities tell of each region, see :func:`.doubt.features`.
        regions: (3, D, H, W) probabilities of WT, TC and ET.
        brain: (D, H, W) bool, that of the subset's volumes.
        presence: (3,) probability that the case holds NCR, ED and ET at all; None where the network does not
            tell.
    """

    classes: np.ndarray
    features: dict[str, dict[str, float]]
    regions: np.ndarray
    brain: np.ndarray
    presence: np.ndarray | None
