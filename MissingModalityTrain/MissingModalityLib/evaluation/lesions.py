"""Dice and HD95 lesion by lesion, as the BraTS challenges of 2023 and later rank by them.

Scores of a whole region are, almost, those of its largest lesion; here each lesion of the reference counts
the same, and so does each piece that was found where there is none. Rules of the challenge for gliomas
(Saluja et al., BraTS-2023-Metrics; Synapse syn51156910, thread 10357). One difference: HD95 counts voxels of
a surface and not its area, as in the whole region.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from statistics import fmean

import numpy as np
from scipy import ndimage

from ..core.labels import REGIONS, region_mask
from ..imaging.boxes import tightest_box
from .metrics import ET_FILTERED, dice, drop_small, hd95

PENALTY_MM = 374.0
"""HD95 of a lesion that was missed and of a piece that is none: the diagonal of the challenge's volumes,
rounded up."""

DILATION_VOXELS = 3
"""Lesions of the reference that touch when each has grown by this are one."""

SMALLEST_MM3 = 50.0
"""Lesions of the reference up to this size do not count, found or not."""

_GROWTH = ndimage.generate_binary_structure(3, 2)  # over faces and edges
_TOUCH = ndimage.generate_binary_structure(3, 3)  # over corners too


@dataclass(frozen=True)
class LesionScore:
    """Means over the lesions of one region of one prediction.

    Attributes:
        dice: 0..1; 1 where there is no lesion and none was found.
        hd95: mm; 0 where there is no lesion and none was found.
    """

    dice: float
    hd95: float


def score_lesions(
    prediction: np.ndarray, reference: np.ndarray, spacing: Sequence[float]
) -> dict[str, LesionScore]:
    """Lesion-wise scores of WT, TC, ET and of ET after removal of small predictions.

    Args:
        prediction: classes 0..3, (D, H, W), the whole image.
        reference: classes 0..3, same shape.
        spacing: mm per voxel in the order of the array's axes.

    Returns:
        One :class:`LesionScore` per entry of :data:`~.metrics.SCORED_REGIONS`.
    """
    scores = {
        region: lesion_score(region_mask(prediction, region), region_mask(reference, region), spacing)
        for region in REGIONS
    }
    found, there = region_mask(prediction, "ET"), region_mask(reference, "ET")
    filtered = drop_small(found)
    scores[ET_FILTERED] = scores["ET"] if filtered is found else lesion_score(filtered, there, spacing)
    return scores


def lesion_score(prediction: np.ndarray, reference: np.ndarray, spacing: Sequence[float]) -> LesionScore:
    """Lesion-wise scores of one region of one case.

    A lesion is what of the reference lies in one piece when the reference is dilated. It is compared with all
    pieces of the prediction that reach into its dilated self; a piece that reaches into none is a false
    positive, whatever its size.

    Args:
        prediction: bool, (D, H, W).
        reference: bool, same shape.
        spacing: mm per voxel in the order of the array's axes.
    """
    box = tightest_box(prediction | reference)
    if box is None:
        return LesionScore(1.0, 0.0)
    # room for the dilation, and for the outside of a surface
    prediction, reference = (np.pad(mask[box], DILATION_VOXELS) for mask in (prediction, reference))
    lesions, count = grown_lesions(reference)
    pieces, found = ndimage.label(prediction, _TOUCH)
    reached = {(int(lesion), int(piece)) for lesion, piece in _pairs(lesions, pieces)}
    scores = [LesionScore(0.0, PENALTY_MM)] * (found - len({piece for _, piece in reached}))
    for lesion in range(1, count + 1):
        mask = reference & (lesions == lesion)
        if np.count_nonzero(mask) * prod(spacing) > SMALLEST_MM3:
            matched = [piece for which, piece in reached if which == lesion]
            scores.append(_of_lesion(pieces, matched, mask, spacing))
    if not scores:
        return LesionScore(1.0, 0.0)
    return LesionScore(fmean(score.dice for score in scores), fmean(score.hd95 for score in scores))


def grown_lesions(reference: np.ndarray) -> tuple[np.ndarray, int]:
    """Lesions of a region with their surroundings.

    Args:
        reference: bool, (D, H, W), with room around it for the dilation.

    Returns:
        (D, H, W): 0, or the number of the lesion from 1, and how many there are.
    """
    grown = ndimage.binary_dilation(reference, _GROWTH, DILATION_VOXELS)
    # of one lesion alone the dilation is one piece of the dilation of all
    return ndimage.label(grown, _TOUCH)


def _pairs(lesions: np.ndarray, pieces: np.ndarray) -> np.ndarray:
    """(n, 2): each lesion with each piece that shares a voxel with it."""
    shared = (lesions > 0) & (pieces > 0)
    return np.unique(np.stack([lesions[shared], pieces[shared]], 1), axis=0)


def _of_lesion(
    pieces: np.ndarray, matched: Sequence[int], lesion: np.ndarray, spacing: Sequence[float]
) -> LesionScore:
    if not matched:
        return LesionScore(0.0, PENALTY_MM)
    prediction = np.isin(pieces, matched)
    return LesionScore(dice(prediction, lesion), hd95(prediction, lesion, spacing))
