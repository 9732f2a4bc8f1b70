"""How good a student's estimate of its own Dice is, on results whose Dice is known.

What the estimate is says :mod:`~..inference.dice_estimate`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any

from ..core.modalities import subset_name
from ..inference.dice_estimate import USED, estimate_region, grades, inputs
from ..inference.expected_dice import Grade
from .row import Row


def score_estimates(rows: Iterable[Row], calibration: Mapping[str, Any] | None) -> dict[str, dict[str, Any]]:
    """Hold a student's estimates against the Dice of its results, each result counting the same.

    Args:
        rows: scores of the student's results.
        calibration: of its card, see :func:`~..inference.dice_estimate.check_calibration`; None of a student
            that estimates nothing.

    Returns:
        By region ``results``, how many there are; ``mean_error``, the mean absolute error of the estimate
        (0..1); ``below_half``, how many results have a Dice below 0.5; and how many were graded doubtful of
        these, ``below_half_flagged``, and of the others, ``others_flagged``. Empty where nothing was
        estimated; regions whose rows hold no features, as of earlier versions, are left out.
    """
    if calibration is None:
        return {}
    # earlier versions kept no features
    told = [row for row in rows if row.features and row.features.keys() >= set(USED)]
    by_region = {region: [row for row in told if row.region == region] for region in calibration["regions"]}
    return {region: _score(own, region, calibration) for region, own in by_region.items() if own}


def _score(rows: Sequence[Row], region: str, calibration: Mapping[str, Any]) -> dict[str, Any]:
    fitted = calibration["regions"][region]
    estimates = [estimate_region(inputs(row.features or {}), subset_name(row.subset), fitted) for row in rows]
    flagged = [grades({region: dice}, calibration)[region] is Grade.DOUBTFUL for dice in estimates]
    poor = [row.dice < Grade.CHECK.value for row in rows]
    pairs = list(zip(poor, flagged, strict=True))
    return {
        "results": len(rows),
        "mean_error": fmean(abs(dice - row.dice) for dice, row in zip(estimates, rows, strict=True)),
        "below_half": sum(poor),
        "below_half_flagged": pairs.count((True, True)),
        "others_flagged": pairs.count((False, True)),
    }
