"""Random contrast of one sequence: a smooth mapping of its intensities.

Scanners and protocols weight tissues differently. A polynomial in Bernstein form, whose control points rise
by random steps, maps intensities monotonically (Bezier curves: Zhou et al., "Models Genesis", Medical Image
Analysis 67, 2021); one step that falls exchanges neighboring tissues, a mild form of the randomized contrast
of SynthSeg (Billot et al., Medical Image Analysis 86, 2023).
"""

from __future__ import annotations

from math import comb

import numpy as np
from torch import Tensor

from ..core.modalities import MODALITIES

CONTRAST_DEGREE = 7
"""Of the polynomial: its bends are about one standard deviation wide, the distance between tissues."""

_LIMIT = 3.0
"""Z-scores beyond which a mapping only shifts: few voxels lie there, so they say nothing about contrast."""

_SPREAD = 1.7
"""Standard deviation of the logarithm of a step from one control point to the next."""
_LEAST_STEP = 0.3
"""Of what steps would be if they were equal: tissues that a clinician tells apart stay apart."""
_FALLING, _FALL = 0.4, -0.7
"""Probability that one of the steps falls, and how far, in mean steps."""
_LEAST_CORRELATION = 0.8
"""Of normal intensities before and after: below, most tissues are exchanged, which no protocol does."""

_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(32)
_WEIGHTS = _WEIGHTS / _WEIGHTS.sum()


def _bernstein() -> np.ndarray:
    """(8, 8): coefficients of u^0 to u^7, u from -1 to 1, of each Bernstein polynomial over that range."""
    below, above = np.polynomial.Polynomial([0.5, -0.5]), np.polynomial.Polynomial([0.5, 0.5])
    n = CONTRAST_DEGREE
    return np.stack([(comb(n, k) * below ** (n - k) * above**k).coef for k in range(n + 1)])


_BERNSTEIN = _bernstein()
_POWERS = np.vander(np.clip(_NODES / _LIMIT, -1, 1), CONTRAST_DEGREE + 1, increasing=True)


def draw_contrast(random: np.random.Generator) -> np.ndarray:
    """Draw a mapping for each modality that keeps mean 0 and standard deviation 1 of normal intensities.

    Args:
        random: source of all choices.

    Returns:
        (4, 8) float64: coefficients of u^0 to u^7, where u is the z-score over 3, cut to -1 to 1.
    """
    count = len(MODALITIES)
    rising = np.exp(_SPREAD * random.normal(size=(count, CONTRAST_DEGREE)))
    rising += _LEAST_STEP * rising.mean(axis=1, keepdims=True)
    falling = rising.copy()
    falling[np.arange(count), random.integers(CONTRAST_DEGREE, size=count)] = _FALL * rising.mean(axis=1)
    (risen, _), (fallen, falls) = _standardized(rising), _standardized(falling)
    wanted = (random.random(count) < _FALLING) & (falls > _LEAST_CORRELATION)
    return np.where(wanted[:, None], fallen, risen)


def _standardized(steps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients (4, 8) for ``steps`` (4, 7) of control points; correlation (4,) with no mapping."""
    coefficients = np.cumsum(np.pad(steps, ((0, 0), (1, 0))), axis=1) @ _BERNSTEIN
    # the input is z-scored, so what a scanner adds or multiplies has gone from it already
    coefficients[:, 0] -= coefficients @ _POWERS.T @ _WEIGHTS
    coefficients /= np.sqrt((coefficients @ _POWERS.T) ** 2 @ _WEIGHTS)[:, None]
    return coefficients, coefficients @ _POWERS.T @ (_WEIGHTS * _NODES)


def with_contrast(volumes: Tensor, coefficients: Tensor) -> Tensor:
    """Intensities mapped by a polynomial, and beyond its range shifted as at its end.

    Args:
        volumes: (V, D, H, W), z-scores.
        coefficients: (V, 8), on the same device.
    """
    scaled = (volumes / _LIMIT).clamp_(-1, 1)
    first, *others = (column.view(-1, 1, 1, 1) for column in coefficients.unbind(1))
    result = scaled * others.pop()
    for coefficient in reversed(others):
        result.add_(coefficient).mul_(scaled)
    return result.add_(first).add_(volumes).sub_(scaled, alpha=_LIMIT)
