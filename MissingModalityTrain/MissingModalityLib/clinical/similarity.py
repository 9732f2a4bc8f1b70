"""How much two heads tell of each other where a transform lays one over the other."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk

from .heads import Head

_BINS = 32

_SPACING_MM = 1.5

_FEWEST_VOXELS = 2000
"""Twice the cells of the histogram; it tells nothing from fewer."""

_OUTSIDE = -1.0

_ASIDE_MM = 6.0
"""A shift by which structures of a brain no longer meet, and its outline nearly does."""


def similarity(fixed: Head, moving: Head, transform: sitk.Transform) -> float:
    """Mutual information of the voxels in the fixed head over the mean of both entropies: 0 (none) to 1.

    Voxels that the moving volume does not cover tell nothing, so that heads which hardly meet are not taken
    for alike. The entropy correlation coefficient (Maes et al., IEEE TMI 16(2), 1997), less the bias of a
    histogram of few samples (Miller, in: Information Theory in Psychology, 1955).
    """
    image = fixed.at(_SPACING_MM)
    inside = sitk.GetArrayViewFromImage(fixed.mask_at(_SPACING_MM)) > 0
    laid = sitk.Resample(moving.at(_SPACING_MM), image, transform, sitk.sitkLinear, _OUTSIDE)
    values = sitk.GetArrayViewFromImage(laid)
    covered = inside & (values >= 0)
    count = int(covered.sum())
    if count < _FEWEST_VOXELS:
        return 0.0
    pairs = sitk.GetArrayViewFromImage(image)[covered], values[covered]
    joint = np.histogram2d(*pairs, bins=_BINS, range=((0, 1), (0, 1)))[0]
    one, two = joint.sum(axis=1), joint.sum(axis=0)
    bias = (np.count_nonzero(one) - 1) * (np.count_nonzero(two) - 1) / (2 * count)
    both = _entropy(one) + _entropy(two)
    share = count / inside.sum()
    return float(max(0.0, 2 * share * (both - _entropy(joint) - bias) / both)) if both else 0.0


def sharpness(fixed: Head, moving: Head, transform: sitk.Euler3DTransform) -> float:
    """Share of the similarity that is lost 6 mm aside, on average of six directions.

    Two volumes of one head share folds and vessels, which meet in one place alone; two heads share little but
    their outlines.
    """
    here = similarity(fixed, moving, transform)
    aside = []
    for step in (*np.eye(3), *-np.eye(3)):
        beside = sitk.Euler3DTransform(transform)
        beside.SetTranslation(np.add(transform.GetTranslation(), _ASIDE_MM * step).tolist())
        aside.append(similarity(fixed, moving, beside))
    return 1 - float(np.mean(aside)) / here if here else 0.0


def overlap(fixed: Head, moving: Head, transform: sitk.Transform) -> float:
    """Share of the smaller head that lies in the other one, once ``transform`` has laid it there."""
    mask = fixed.mask_at(_SPACING_MM)
    laid = sitk.Resample(moving.mask_at(_SPACING_MM), mask, transform, sitk.sitkNearestNeighbor, 0)
    one, two = (sitk.GetArrayViewFromImage(part) > 0 for part in (mask, laid))
    size = np.prod(mask.GetSpacing())
    return float((one & two).sum() * size / max(1.0, min(fixed.volume_mm3, moving.volume_mm3)))


def _entropy(counts: np.ndarray) -> float:
    """Nats."""
    share = counts[counts > 0] / counts.sum()
    return float(-(share * np.log(share)).sum())
