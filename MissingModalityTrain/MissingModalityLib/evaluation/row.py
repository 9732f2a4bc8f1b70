"""One score of an evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..core.modalities import Subset


@dataclass(frozen=True)
class Row:
    """Score of one region of one case, predicted from one subset.

    Attributes:
        case: name of the case.
        subset: modalities the student was given.
        region: an entry of :data:`~.metrics.SCORED_REGIONS`.
        dice: 0..1.
        hd95: mm.
        predicted: voxels of the region in the prediction.
        reference: voxels of the region in the reference.
        lesion_dice: 0..1, mean over lesions, see :mod:`.lesions`; None in evaluations of earlier versions, as
            are the further ones.
        lesion_hd95: mm, likewise.
        features: what the student's probabilities tell, see :func:`~..inference.doubt.features`; None for a
            region that is none of its own.
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
