"""Smooth random fields with the correlations that were measured inside real tumors."""

from __future__ import annotations

import numpy as np
from scipy import fft, ndimage, optimize

from ..imaging.boxes import Box, tightest_box

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


def random_fields(
    shape: tuple[int, int, int], weights: np.ndarray, correlation: np.ndarray, random: np.random.Generator
) -> np.ndarray:
    """Gaussian fields, one for each sequence.

    Args:
        shape: (d, h, w).
        weights: (n, len(SCALES)) as of :func:`correlation_lengths`, one row for each field.
        correlation: (n, n) between the fields.
        random: source of the noise.

    Returns:
        (n, d, h, w) float32 of mean 0 and standard deviation 1.
    """
    size = [fft.next_fast_len(length, real=True) for length in shape]
    noise = random.standard_normal((len(weights), *size), dtype=np.float32)
    # the square root of the matrix mixes independent noise into correlated noise
    values, vectors = np.linalg.eigh(correlation)
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    spectrum = fft.rfftn(np.tensordot(root.astype(np.float32), noise, 1), axes=(1, 2, 3))
    squared = _squared_frequencies(size)
    part = (slice(None), *(slice(0, length) for length in shape))
    # the power spectrum of a correlation exp(-r^2 / 4 s^2) is s^3 exp(-s^2 k^2), but for a constant
    powers = [scale**3 * np.exp(-(scale**2) * squared) for scale in SCALES]
    spectrum *= np.stack([np.sqrt(np.tensordot(row, powers, 1)) for row in weights])
    fields = fft.irfftn(spectrum, size, axes=(1, 2, 3), overwrite_x=True)[part]
    fields -= fields.mean(axis=(1, 2, 3), keepdims=True)
    return fields / fields.std(axis=(1, 2, 3), keepdims=True)


def smooth_noise(shape: tuple[int, int, int], width: float, random: np.random.Generator) -> np.ndarray:
    """One field (d, h, w) of structures ``width`` voxels across; mean 0, standard deviation 1."""
    step = max(1, int(width / 4))
    coarse = random.standard_normal([length // step + 2 for length in shape], dtype=np.float32)
    field = ndimage.gaussian_filter(coarse, width / 2 / step, mode="wrap")
    for axis, length in enumerate(shape):
        # linear between the coarse voxels, axis by axis
        place = np.arange(length, dtype=np.float32) / step
        low, share = place.astype(int), (place % 1).reshape(-1, *(1,) * (field.ndim - axis - 1))
        field = np.take(field, low, axis) * (1 - share) + np.take(field, low + 1, axis) * share
    return (field - field.mean()) / field.std()


def part_of(box: Box, margin: int, shape: tuple[int, ...]) -> Box:
    """A box with a margin, inside an array of a shape."""
    return tuple(
        slice(max(0, part.start - margin), min(size, part.stop + margin))
        for part, size in zip(box, shape, strict=True)
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


def _squared_frequencies(size: list[int]) -> np.ndarray:
    """(d, h, w // 2 + 1) squared angular frequencies in rad per voxel."""
    axes = [2 * np.pi * fft.fftfreq(length) for length in size[:-1]] + [2 * np.pi * fft.rfftfreq(size[-1])]
    z, y, x = np.meshgrid(*axes, indexing="ij", sparse=True)
    return (z * z + y * y + x * x).astype(np.float32)
