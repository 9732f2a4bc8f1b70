"""How far probabilities can be believed: calibration error and Brier score of one region of one case."""

from __future__ import annotations

import numpy as np

BINS = 15
"""As in Guo et al., "On calibration of modern neural networks", ICML 2017, Sec. 2."""


def calibration(probabilities: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """Expected calibration error and Brier score of a region's probability.

    Args:
        probabilities: (n,), 0..1, of the voxels that count.
        truth: (n,) bool, whether each is in the region.

    Returns:
        Both 0..1, 0 at best; of no voxel 0.
    """
    if not len(truth):
        return 0.0, 0.0
    # nearly all voxels lie in the lowest bin; only those above it have to be sorted into theirs
    above = probabilities >= 1 / BINS
    high = probabilities[above]
    place = np.minimum((high * BINS).astype(np.intp), BINS - 1)
    claimed = np.bincount(place, high, BINS)
    there = np.bincount(place[truth[above]], minlength=BINS)
    claimed[0] += probabilities.sum(dtype=np.float64) - high.sum(dtype=np.float64)
    there[0] += np.count_nonzero(truth & ~above)
    error = np.abs(claimed - there).sum() / len(truth)
    brier = np.square(probabilities - truth).mean(dtype=np.float64)
    return float(error), float(brier)
