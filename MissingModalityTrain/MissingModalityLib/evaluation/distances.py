"""Distances between the surfaces of two regions, and the two scores that are taken from them."""

from __future__ import annotations

from collections.abc import Sequence
from math import hypot
from typing import NamedTuple

import numpy as np

from .hd95_rules import empty_distance
from .nearest import Found
from .region import Region

TOLERANCES_MM = (1.0, 2.0)
"""Of the normalized surface Dice: a voxel of common volumes, and what two readers differ by."""


class Distances(NamedTuple):
    """Of two surfaces, in mm.

    Attributes:
        forth: from every surface voxel of the prediction to the reference's nearest one.
        back: the reverse.
    """

    forth: Found
    back: Found


def between(found: Region, truth: Region) -> Distances | None:
    """Distances of a prediction and a reference; None where one is empty."""
    if not (found.voxels and truth.voxels):
        return None
    return Distances(truth.nearest.of(found.places), found.nearest.of(truth.places))


def percentile95(sides: Sequence[np.ndarray], definition: str = "directed") -> float:
    """HD95 from the distances in mm of both directions, see :data:`~.hd95_rules.HD95_DEFINITIONS`.

    "directed" equals ``monai.metrics.compute_hausdorff_distance(..., percentile=95)``.
    """
    pools: Sequence[np.ndarray] = [np.concatenate(sides)] if definition == "pooled" else sides
    return max(float(np.percentile(pool, 95)) for pool in pools)


def hd95(found: Region, truth: Region, distances: Distances | None, rule: str, definition: str) -> float:
    """95th percentile Hausdorff distance, also where there is none.

    Args:
        found: the prediction.
        truth: the reference.
        distances: what :func:`between` gives for them.
        rule: what an empty region scores; a key of :data:`~.hd95_rules.HD95_RULES`.
        definition: a key of :data:`~.hd95_rules.HD95_DEFINITIONS`.

    Returns:
        mm; the penalty is the diagonal of the image (373.13 mm for 240x240x155 at 1 mm).
    """
    if distances is None:
        diagonal = hypot(*(size * step for size, step in zip(truth.shape, truth.spacing, strict=True)))
        return empty_distance(bool(found.voxels), bool(truth.voxels), diagonal, rule)
    return percentile95([side.mm for side in distances], definition)


def surface_dice(found: Region, truth: Region, distances: Distances | None, tolerance: float) -> float:
    """Normalized surface Dice: the share of both surfaces that lies within a tolerance of the other one.

    Nikolov et al. (Journal of Medical Internet Research 23, 2021) weigh by area; voxels of the surface are
    counted here, as in ``monai.metrics.compute_surface_dice``.

    Args:
        found: the prediction.
        truth: the reference.
        distances: what :func:`between` gives for them.
        tolerance: mm.

    Returns:
        0..1; 1 where both are empty, 0 where one is.
    """
    if distances is None:
        return float(found.voxels == truth.voxels)
    sides = [side.mm for side in distances]
    near = sum(np.count_nonzero(side <= tolerance) for side in sides)
    return float(near / sum(map(len, sides)))
