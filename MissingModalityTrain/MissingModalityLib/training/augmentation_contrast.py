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

CONTRAST_DEGREE = 5
"""Of the polynomial: its bends are about one standard deviation wide, the distance between tissues."""

_LIMIT = 4.0
"""Z-scores beyond which a mapping only shifts: they are lesions and vessels, too few to have a contrast."""

_SPREAD = 0.7
"""Standard deviation of the logarithm of a step from one control point to the next."""
_FALLING = 0.25
"""Probability that one of the steps falls."""

_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(32)


def _bernstein() -> np.ndarray:
    """(6, 6): coefficients of u^0 to u^5, u from -1 to 1, of each Bernstein polynomial over that range."""
    below, above = np.polynomial.Polynomial([0.5, -0.5]), np.polynomial.Polynomial([0.5, 0.5])
    n = CONTRAST_DEGREE
    return np.stack([(comb(n, k) * below ** (n - k) * above**k).coef for k in range(n + 1)])


_BERNSTEIN = _bernstein()


def draw_contrast(random: np.random.Generator) -> np.ndarray:
    """Draw a mapping of intensities that keeps mean 0 and standard deviation 1 of normal ones.

    Args:
        random: source of all choices.

    Returns:
        (6,) float64: coefficients of u^0 to u^5, where u is the z-score over 4, cut to -1 to 1.
    """
    steps = np.exp(_SPREAD * random.normal(size=CONTRAST_DEGREE))
    falling = random.integers(CONTRAST_DEGREE), random.random() < _FALLING
    steps[falling[0]] *= -0.25 if falling[1] else 1
    coefficients = np.concatenate([[0], np.cumsum(steps)]) @ _BERNSTEIN
    # the input is z-scored, so what a scanner adds or multiplies has gone from it already
    values = np.polynomial.polynomial.polyval(np.clip(_NODES / _LIMIT, -1, 1), coefficients)
    mean = np.average(values, weights=_WEIGHTS)
    coefficients[0] -= mean
    return coefficients / np.sqrt(np.average((values - mean) ** 2, weights=_WEIGHTS))


def with_contrast(volumes: Tensor, coefficients: Tensor) -> Tensor:
    """Intensities mapped by a polynomial, and beyond its range shifted as at its end.

    Args:
        volumes: (V, D, H, W), z-scores.
        coefficients: (V, 6), on the same device.
    """
    inside = volumes.clamp(-_LIMIT, _LIMIT)
    beyond = volumes - inside
    scaled = inside.div_(_LIMIT)
    *lower, result = (column.view(-1, 1, 1, 1) for column in coefficients.unbind(1))
    result = scaled * result
    for constant in reversed(lower[1:]):
        result.add_(constant).mul_(scaled)
    return result.add_(lower[0]).add_(beyond)
