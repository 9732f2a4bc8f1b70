"""Smooth random fields with the correlations that were measured inside real tumors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import optimize

from ..imaging.boxes import Box, tightest_box
from .separable import along_axes, bumps

SCALES = (0.6, 1.2, 2.5, 5.0, 10.0)
"""Widths in mm of the Gaussians that a correlation is a sum of; from a voxel to the size of a tumor."""

LAGS = (1, 2, 3, 4, 6, 9, 13)
"""Distances in voxels at which correlations are measured; beyond lies another part of most tumors."""

LEAST_VOXELS = 40
"""Of fewer voxels no looks are measured: one for each quantile that is kept."""

_LEAST_PAIRS = 100
"""Pairs of voxels below which a lag is left out: its correlation would be known to 0.1 at best."""


def correlation_lengths(values: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Shares of :data:`SCALES` in the spatial correlation of values inside a mask.

    White noise under a Gaussian filter of width s is correlated as exp(-r^2 / 4 s^2) at a distance of r. The
    measured correlations are fitted by a sum of these whose weights are not negative.

    Args:
        values: (d, h, w), mean 0 and standard deviation 1 inside the mask.
        mask: (d, h, w) bool.

    Returns:
        (len(SCALES),) float64, of sum 1.
    """
    box = tightest_box(mask)
    values, mask = np.where(mask, values, 0)[box], mask[box]
    found = [(lag, value) for lag in LAGS if (value := _correlation(values, mask, lag)) is not None]
    if not found:
        return np.full(len(SCALES), 1 / len(SCALES))
    lags, measured = np.array(found).T
    design = np.exp(-(lags[:, None] ** 2) / (4 * np.square(SCALES)))
    # the first row makes the weights add up to 1, the correlation at no distance
    weights, _ = optimize.nnls(np.vstack([np.full(len(SCALES), 10.0), design]), np.r_[10.0, measured])
    return weights / weights.sum()


def unit_fields(
    scales: Sequence[float], count: int, shape: tuple[int, ...], random: np.random.Generator
) -> np.ndarray:
    """Independent Gaussian fields of mean 0 and variance 1, ``count`` for each scale.

    Args:
        scales: of :data:`SCALES`.
        count: of sequences.
        shape: (d, h, w).
        random: source of the noise.

    Returns:
        (len(scales), count, d, h, w) float32.
    """
    fields = np.empty((len(scales), count, *shape), np.float32)
    for scale, target in zip(scales, fields, strict=True):
        matrices = [bumps(length, scale) for length in shape]
        noise = random.random((count, *(matrix.shape[1] for matrix in matrices)), np.float32)
        noise -= np.float32(0.5)  # sums of a dozen numbers of even distribution are normal
        target[:] = along_axes(noise, matrices)
        target *= np.float32(np.sqrt(12))
    return fields


def mixed_fields(fields: np.ndarray, weights: np.ndarray, correlation: np.ndarray) -> np.ndarray:
    """Fields of mean 0 and variance 1 with given correlations, one for each sequence.

    Args:
        fields: (k, n, ...) of :func:`unit_fields`, any of their voxels.
        weights: (n, k) as of :func:`correlation_lengths`, one row for each sequence.
        correlation: (n, n) between the sequences.

    Returns:
        (n, ...) float32.
    """
    # the square root of the matrix mixes independent noise into correlated noise
    values, vectors = np.linalg.eigh(correlation)
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    shares = np.sqrt(weights / weights.sum(axis=1, keepdims=True))
    mixing = (shares[:, :, None] * root[:, None]).reshape(len(weights), -1)
    mixed = mixing.astype(np.float32) @ fields.reshape(mixing.shape[1], -1)
    return mixed.reshape(-1, *fields.shape[2:])


def smooth_noise(shape: tuple[int, ...], width: float, random: np.random.Generator) -> np.ndarray:
    """One field (d, h, w) of structures ``width`` voxels across; mean 0, standard deviation 1."""
    matrices = [bumps(length, width / 2) for length in shape]
    field = along_axes(random.standard_normal([m.shape[1] for m in matrices], np.float32), matrices)
    return (field - field.mean()) / field.std()


def part_of(box: Box, margin: int | Sequence[int], shape: tuple[int, ...]) -> Box:
    """A box with a margin, one or one for each axis, inside an array of a shape."""
    return tuple(
        slice(max(0, part.start - more), min(size, part.stop + more))
        for part, more, size in zip(box, np.broadcast_to(margin, len(box)).tolist(), shape, strict=True)
    )


def _correlation(values: np.ndarray, mask: np.ndarray, lag: int) -> float | None:
    """Mean product of values ``lag`` voxels apart along any axis; None where there are too few."""
    total, pairs = 0.0, 0
    for axis in range(mask.ndim):
        if mask.shape[axis] <= lag:
            continue
        first = np.take(mask, range(mask.shape[axis] - lag), axis)
        second = np.take(mask, range(lag, mask.shape[axis]), axis)
        products = np.take(values, range(mask.shape[axis] - lag), axis) * np.take(
            values, range(lag, mask.shape[axis]), axis
        )
        both = first & second
        total, pairs = total + float(products[both].sum()), pairs + int(both.sum())
    return total / pairs if pairs >= _LEAST_PAIRS else None
