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
"""A shift by which structures of a brain no longer meet."""

_OUTLINE_MM = 4.5
"""How deep the edge of a mask, and the smoothing, reach into a head."""

_NO_EDGE = 1e-9


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


def shared_edges(fixed: Head, moving: Head, transform: sitk.Euler3DTransform) -> float:
    """By how much edges of both heads run more alike here than 6 mm aside, on average of six directions.

    Folds and vessels of one head run along each other in one place alone, whatever the sequence; two heads
    share little but their outlines, which are left out.

    Returns:
        A difference of two means of squared cosines: 0 (nothing shared) to 2/3.
    """
    aside = []
    for step in (*np.eye(3), *-np.eye(3)):
        beside = sitk.Euler3DTransform(transform)
        beside.SetTranslation(np.add(transform.GetTranslation(), _ASIDE_MM * step).tolist())
        aside.append(_alike(fixed, moving, beside))
    return _alike(fixed, moving, transform) - float(np.mean(aside))


def _alike(fixed: Head, moving: Head, transform: sitk.Transform) -> float:
    """Mean squared cosine between the gradients of two heads, weighted by their lengths.

    Of random directions it is 1/3. After the normalized gradient fields of Haber and Modersitzki
    (MICCAI 2006).
    """
    image, mask = fixed.at(_SPACING_MM), fixed.mask_at(_SPACING_MM)
    laid = sitk.Resample(moving.at(_SPACING_MM), image, transform, sitk.sitkLinear, 0.0)
    other = sitk.Resample(moving.mask_at(_SPACING_MM), image, transform, sitk.sitkNearestNeighbor, 0)
    deep = sitk.BinaryErode(mask & other, [round(_OUTLINE_MM / side) for side in mask.GetSpacing()])
    inside = sitk.GetArrayViewFromImage(deep) > 0
    if inside.sum() < _FEWEST_VOXELS:
        return 0.0
    spacing = image.GetSpacing()[::-1]
    one, two = (
        np.stack([part[inside] for part in np.gradient(sitk.GetArrayViewFromImage(volume), *spacing)])
        for volume in (image, laid)
    )
    lengths = np.linalg.norm(one, axis=0) * np.linalg.norm(two, axis=0)
    products = (one * two).sum(axis=0)
    return float((products**2 / np.maximum(lengths, _NO_EDGE)).sum() / max(lengths.sum(), _NO_EDGE))


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
