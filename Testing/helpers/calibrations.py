"""Calibrations of the estimate of Dice, made by hand."""

from __future__ import annotations

from typing import Any

from MissingModalityLib.core.labels import REGIONS
from MissingModalityLib.inference.dice_estimate import logit


def constant_calibration(doubtful_below: float = 0.5, **dice: float) -> dict[str, Any]:
    """One that estimates the same Dice for every result: 0.9, or what is given for a region."""
    return {
        "patients": 12,
        "results": 180,
        "regions": {
            region: {
                **{"intercept": logit(dice.get(region, 0.9)), "weights": {}, "ranges": {}, "subsets": {}},
                **{"doubtful_below": doubtful_below},
                **{"mean_error": 0.06, "flagged": 0.94, "false_alarms": None},
            }
            for region in REGIONS
        },
    }
