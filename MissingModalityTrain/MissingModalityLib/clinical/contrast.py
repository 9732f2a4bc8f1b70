"""Whether one T1-weighted volume shows contrast agent that another of the same patient does not.

Vessels, sinuses, choroid plexus and tumor rims are few voxels that become much brighter, while the rest of
the brain stays: the difference of both volumes, intensities matched, has a long tail on one side. Volumes
exchanged, it is on the other side; without agent in either, on none.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from ..core.modalities import Modality
from .coarse import brain_center, deviations, middle_of, on_grid, own_grid

SPACING_MM = 2.0
"""Vessels of 2 to 3 mm are still seen; whoever looks finer meets noise and misregistration."""

_SMOOTH_VOXELS = 6.0
"""Deviation of the mean that is taken off: receive fields are wider, vessels narrower."""

_TAIL = 0.005
"""Share of the voxels on either side beyond which the tails are compared; smaller ones hold noise."""

_FEWEST_VOXELS = 2000
_TISSUE_SHARE = 0.9
"""Of a voxel: rims that background was averaged into differ between volumes for other reasons."""

_GAIN, _NO_GAIN = (0.56, 0.15), (-0.05, 0.12)
"""Mean and deviation of :func:`contrast_gain` over 48 training patients: of T1ce over T1 (0.57 and 0.15, at
least 0.20), and rounded from those of a T1 or T1ce over a blurred, noisy, otherwise scaled copy of itself."""

_OUTLIERS = 0.02
"""Share of pairs that follow no such distribution, so that no pair is believed more than 50 to 1."""

Pair = tuple[Modality, Modality]


def contrast_gain(first: sitk.Image, second: sitk.Image, brain: sitk.Image | None = None) -> float | None:
    """How much more of bright spots the second volume has, about 0.6 for T1ce over T1.

    Args:
        first, second: T1-weighted volumes that lie in one space.
        brain: mask in the same space, where there is one.

    Returns:
        -1 to 1, the asymmetry of the outer half percents of their difference, with the other sign where they
        are turned round; None where they share too little of the brain's middle.
    """
    grid = own_grid(first, SPACING_MM)
    one, two = (on_grid(image, grid, brain) for image in (first, second))
    center = brain_center(one.head, SPACING_MM)
    if center is None:
        return None
    both = (one.share > _TISSUE_SHARE) & (two.share > _TISSUE_SHARE)
    both &= middle_of(both.shape, center, SPACING_MM)
    if np.count_nonzero(both) < _FEWEST_VOXELS:
        return None
    first_values, second_values = (deviations(seen.values, seen.values[both]) for seen in (one, two))
    difference = second_values - first_values
    return _asymmetry((difference - _local_mean(difference, both))[both])


def pair_probabilities(gain: float) -> Mapping[Pair, float]:
    """How likely a gain is for what two volumes may be, up to a common factor: by (first, second)."""
    same = _density(gain, *_NO_GAIN)
    return {
        (Modality.T1, Modality.T1CE): _density(gain, *_GAIN),
        (Modality.T1CE, Modality.T1): _density(-gain, *_GAIN),
        (Modality.T1, Modality.T1): same,
        (Modality.T1CE, Modality.T1CE): same,
    }


def _density(value: float, mean: float, deviation: float) -> float:
    peak = np.exp(-0.5 * ((value - mean) / deviation) ** 2) / (deviation * np.sqrt(2 * np.pi))
    return float((1 - _OUTLIERS) * peak + _OUTLIERS / 2)


def _local_mean(values: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Gaussian mean over the voxels that are inside."""
    weight, total = (
        ndimage.gaussian_filter(part.astype(np.float32), _SMOOTH_VOXELS, truncate=2.5)
        for part in (inside, np.where(inside, values, 0))
    )
    return total / np.maximum(weight, 1e-3)


def _asymmetry(values: np.ndarray) -> float:
    low, middle, high = np.quantile(values, (_TAIL, 0.5, 1 - _TAIL))
    return float((high + low - 2 * middle) / (high - low)) if high > low else 0.0
