"""Measures of many predictions together: volumes against those of the reference, and told presence."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import StatisticsError, correlation, fmean, stdev
from typing import Any

import numpy as np
from scipy.stats import rankdata

from ..core.labels import CAVITY_REGION
from .metrics import scored_regions
from .row import Row

_LIMITS = 1.96
"""Standard deviations that 95 % of normally distributed differences lie within."""


def agreements(rows: Sequence[Row]) -> dict[str, dict[str, Any]]:
    """Agreement of volumes and presence by region, over cases; a case counts by its mean over subsets.

    Args:
        rows: of one subset or several.

    Returns:
        ``volume``, where every row knows the size of its voxels: by region ``bias``, ``low``, ``high`` (ml)
        and ``r``; ``presence_auc``, where any row has presence: by region 0..1. What cannot be told, such as
        the spread of a single case, is None.
    """
    found = {}
    regions = scored_regions(any(row.region == CAVITY_REGION for row in rows))
    by_region = {region: [row for row in rows if row.region == region] for region in regions}
    if all(row.voxel_mm3 is not None for row in rows):
        found["volume"] = {region: _volume(chosen) for region, chosen in by_region.items()}
    if any(row.presence is not None for row in rows):
        found["presence_auc"] = {region: _area(chosen) for region, chosen in by_region.items()}
    return found


def _volume(rows: Iterable[Row]) -> dict[str, float | None]:
    """Bland and Altman's bias and limits of agreement (The Lancet 327, 1986), and Pearson's correlation."""
    cases: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        ml = (row.voxel_mm3 or 0) / 1000
        cases.setdefault(row.case, []).append((row.predicted * ml, row.reference * ml))
    pairs = [tuple(map(fmean, zip(*volumes, strict=True))) for volumes in cases.values()]
    predicted, reference = zip(*pairs, strict=True)
    differences = [one - other for one, other in pairs]
    bias = fmean(differences)
    spread = _LIMITS * stdev(differences) if len(differences) > 1 else None
    try:
        r = correlation(predicted, reference)
    except StatisticsError:  # a single case, or the same volume in all
        r = None
    low, high = (None, None) if spread is None else (bias - spread, bias + spread)
    return {"bias": bias, "low": low, "high": high, "r": r}


def _area(rows: Iterable[Row]) -> float | None:
    """Area under the ROC curve of presence, which is Mann and Whitney's U over the number of pairs."""
    cases: dict[str, list[float]] = {}
    held: dict[str, bool] = {}
    for row in rows:
        if row.presence is not None:
            cases.setdefault(row.case, []).append(row.presence)
            held[row.case] = row.reference > 0
    truth = np.array([held[case] for case in cases], bool)
    positive, negative = int(truth.sum()), int((~truth).sum())
    if not (positive and negative):
        return None
    ranks = rankdata([fmean(told) for told in cases.values()])
    return float((ranks[truth].sum() - positive * (positive + 1) / 2) / (positive * negative))
