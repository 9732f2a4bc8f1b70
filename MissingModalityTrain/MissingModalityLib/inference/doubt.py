"""What a student's own probabilities tell of the quality of one result, as a few numbers per region.

Networks are asked for the Dice that their probabilities would lead to and for how far the mask depends on the
threshold: both follow the true Dice from case to case, though not one to one (Kohlberger et al., "Evaluating
segmentation error without ground truth", MICCAI 2012; Roy et al., "Bayesian QuickNAT", NeuroImage 2019; Jungo
and Reyes, "Assessing reliability and challenges of uncertainty estimations for medical image segmentation",
MICCAI 2019). :mod:`.dice_estimate` turns them into an estimate.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy import ndimage

from ..core.labels import REGIONS, region_mask
from ..imaging.boxes import tightest_box

FEATURES = ("soft_dice", "inside", "steadiness", "entropy", "log_volume", "pieces", "largest_share", "peak")
"""Names of the features of one region, see :func:`features`."""

_NEGLIGIBLE = 0.05
"""Probabilities up to this are left out: a million voxels of healthy brain, each for all but certain none,
would add up to a tumor of their own."""


def features(
    probabilities: np.ndarray,
    thresholds: Mapping[str, float],
    classes: np.ndarray | None = None,
) -> dict[str, dict[str, float]]:
    """Numbers that tell how sure a student is of each region.

    Args:
        probabilities: (3, D, H, W), 0..1, of WT, TC and ET in that order, see
            :meth:`~..networks.head.Head.region_probabilities`; 1 mm per voxel.
        thresholds: by region, the probability above which a voxel belongs to it.
        classes: (D, H, W) 0..3, the result itself, where it is not what ``thresholds`` say: after a softmax,
            or without its small pieces. ``thresholds`` still say what is far from them.

    Returns:
        By region: ``soft_dice`` (0..1), the Dice that the mask reaches on average if every voxel's
        probability holds, independently of the others: 2 sum_mask p / (|mask| + sum p); ``inside`` (0..1),
        mean probability in the mask; ``steadiness`` (0..1), Dice between the masks at half the threshold and
        halfway from it to 1; ``entropy`` (0..1), mean binary entropy, in bits, of the mask and of all that
        may belong to it; ``log_volume``, log10 of 1 + voxels; ``pieces``, log2 of 1 + connected pieces;
        ``largest_share`` (0..1), of the voxels, in the largest piece; ``peak`` (0..1), the largest
        probability anywhere. Of an empty mask those that are about its voxels are 0.
    """
    found = {}
    for region, probability in zip(REGIONS, probabilities, strict=True):
        threshold = thresholds[region]
        mask = probability > threshold if classes is None else region_mask(classes, region)
        box = tightest_box(mask | (probability > _NEGLIGIBLE))
        near = (slice(0, 0),) * mask.ndim if box is None else box
        found[region] = {
            **_of_probabilities(probability[near], mask[near], threshold),
            **_of_shape(mask[near]),
            "peak": float(probability.max(initial=0)),
        }
    return found


def _of_probabilities(probability: np.ndarray, mask: np.ndarray, threshold: float) -> dict[str, float]:
    possible = mask | (probability > _NEGLIGIBLE)
    chances = np.clip(probability[possible], 1e-6, 1 - 1e-6).astype(np.float64)
    claimed = float(probability[mask].sum(dtype=np.float64))
    volume = np.count_nonzero(mask)
    entropy = -(chances * np.log2(chances) + (1 - chances) * np.log2(1 - chances))
    loose = np.count_nonzero(probability > threshold / 2)
    strict = np.count_nonzero(probability > (1 + threshold) / 2)
    return {
        "soft_dice": _ratio(2 * claimed, volume + chances.sum()),
        "inside": _ratio(claimed, volume),
        "steadiness": _ratio(2 * strict, loose + strict),  # the strict mask lies within the loose one
        "entropy": _ratio(entropy.sum(), entropy.size),
    }


def _of_shape(mask: np.ndarray) -> dict[str, float]:
    pieces, count = ndimage.label(mask, np.ones((3,) * mask.ndim))
    volume = np.count_nonzero(mask)
    largest = np.bincount(pieces.ravel(), minlength=2)[1:].max(initial=0)
    return {
        "log_volume": float(np.log10(1 + volume)),
        "pieces": float(np.log2(1 + count)),
        "largest_share": _ratio(largest, volume),
    }


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole else 0.0
