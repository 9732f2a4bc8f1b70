"""One score of an evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..core.modalities import Subset


@dataclass(frozen=True)
class Row:
    """Score of one region of one case, predicted from one subset.

    What evaluations of earlier versions do not have is None, as is what cannot be told of this prediction.

    Attributes:
        case: name of the case.
        subset: modalities that were given.
        region: an entry of :func:`~.metrics.scored_regions`.
        dice, hd95, predicted, reference: see :class:`.metrics.Score`.
        lesion_dice, lesion_hd95: likewise.
        features: what the student's probabilities tell, see :func:`~..inference.doubt.features`; None for a
            region that is none of its own, and for label maps of other programs.
        sensitivity, specificity, precision, iou: as Dice.
        surface_dice_1mm, surface_dice_2mm, lesions_found, lesions_missed, lesions_invented: as Dice.
        voxel_mm3: volume of a voxel of the case.
        ece, brier: 0..1, see :func:`.probabilities.calibration`; None where there are no features.
        presence: 0..1, probability that the case holds the region at all, the largest one of its classes;
            None there too, and where the network does not tell.
    """

    case: str
    subset: Subset
    region: str
    dice: float
    hd95: float
    predicted: int
    reference: int
    lesion_dice: float | None = None
    lesion_hd95: float | None = None
    features: Mapping[str, float] | None = None
    sensitivity: float | None = None
    specificity: float | None = None
    precision: float | None = None
    iou: float | None = None
    surface_dice_1mm: float | None = None
    surface_dice_2mm: float | None = None
    lesions_found: int | None = None
    lesions_missed: int | None = None
    lesions_invented: int | None = None
    voxel_mm3: float | None = None
    ece: float | None = None
    brier: float | None = None
    presence: float | None = None
