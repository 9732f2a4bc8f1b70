"""The Dice that a result probably has, from what the student's probabilities tell of it.

A calibration, fitted on cases whose Dice is known and that the student had not learned from
(:mod:`~..evaluation.calibration`), is kept in the student's card as plain numbers and applied here:

    Dice of a region = sigmoid(intercept + offset of the subset + sum over features of weight x feature)

with features such as :func:`.doubt.features` gives, those between 0 and 1 as logits, each kept within the
range that the fit has seen. It is the mean of a fraction as Papke and Wooldridge model it (Journal of Applied
Econometrics 11, 1996), which may be 0 or 1 itself.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ..core.errors import OptionError
from ..core.labels import REGIONS
from ..core.modalities import SUBSETS, Subset, subset_name
from .expected_dice import Grade

FRACTIONS = ("soft_dice", "steadiness", "largest_share")
"""Features between 0 and 1 that go in as logits."""

USED = (*FRACTIONS, "entropy", "log_volume")
"""Features that a calibration may weigh."""

_CLOSEST = 0.01
"""Fractions are kept this far from 0 and 1, where logits are infinite."""

_LARGEST = 1e3
"""No honest fit comes near such a weight or offset; a sum of them would overflow nothing."""


def logit(fraction: float) -> float:
    """ln(x / (1 - x)) of 0..1, which is kept a little away from both ends."""
    inside = min(max(fraction, _CLOSEST), 1 - _CLOSEST)
    return math.log(inside / (1 - inside))


def inputs(features: Mapping[str, float]) -> dict[str, float]:
    """The features that a calibration weighs, as it takes them."""
    return {name: logit(features[name]) if name in FRACTIONS else features[name] for name in USED}


def estimate(
    features: Mapping[str, Mapping[str, float]], subset: Subset, calibration: Mapping[str, Any]
) -> dict[str, float]:
    """Estimated Dice, 0..1, of each region of one result.

    Args:
        features: by region, as :func:`.doubt.features` gives them.
        subset: the modalities that were used.
        calibration: see :func:`check_calibration`.
    """
    return {
        region: estimate_region(inputs(features[region]), subset_name(subset), fitted)
        for region, fitted in calibration["regions"].items()
    }


def estimate_region(values: Mapping[str, float], subset: str, fitted: Mapping[str, Any]) -> float:
    """Estimated Dice, 0..1, of one region.

    Args:
        values: its features as :func:`inputs` gives them.
        subset: name of the modalities that were used.
        fitted: entry of the region in a calibration.
    """
    # a subset that the fit has not seen is taken for an average one
    total = fitted["intercept"] + fitted["subsets"].get(subset, 0.0)
    for name, weight in fitted["weights"].items():
        low, high = fitted["ranges"][name]
        total += weight * min(max(values[name], low), high)
    return 1 / (1 + math.exp(-total)) if total > 0 else math.exp(total) / (1 + math.exp(total))


def grades(estimated: Mapping[str, float], calibration: Mapping[str, Any]) -> dict[str, Grade]:
    """How far to trust each region of a result.

    Estimates err, so those a little above the least Dice of :attr:`.Grade.CHECK` are doubtful too: all below
    ``doubtful_below``, which the fit has chosen so that few results of a lower Dice escape.
    """
    return {
        region: Grade.DOUBTFUL
        if dice < calibration["regions"][region]["doubtful_below"]
        else max(Grade.of(dice), Grade.CHECK, key=lambda grade: grade.value)
        for region, dice in estimated.items()
    }


def check_calibration(calibration: Any) -> None:
    """Refuse what is no calibration, as it may come from a file.

    It holds ``patients`` and ``results``, how many it was fitted to, and ``regions``: for WT, TC and ET
    ``intercept``, ``weights`` and ``ranges`` (least and largest value) by name of a feature, ``subsets``
    (offset by name), ``doubtful_below`` (0..1), and of a cross-validation over patients ``mean_error``, the
    mean absolute error of the estimate, and ``flagged`` and ``false_alarms``, the shares of results below and
    above half that were graded doubtful (None where there were none).

    Raises:
        OptionError: naming what is missing or out of its range.
    """
    if not isinstance(calibration, dict) or not all(
        type(calibration.get(name)) is int for name in ("patients", "results")
    ):
        raise OptionError("calibration does not say how many patients and results it was fitted to.")
    regions = calibration.get("regions")
    if not isinstance(regions, dict) or set(regions) != set(REGIONS):
        raise OptionError(f"calibration has no regions {', '.join(REGIONS)}.")
    for region, fitted in regions.items():
        wrong = next((name for name, fits in _FITS.items() if not _holds(fits, fitted, name)), None)
        if wrong:
            raise OptionError(f"calibration of {region}: {wrong} is missing or out of its range.")


def _holds(fits: Any, fitted: Any, name: str) -> bool:
    return isinstance(fitted, dict) and name in fitted and bool(fits(fitted[name], fitted))


def _is_number(value: Any, low: float = -_LARGEST, high: float = _LARGEST) -> bool:
    return type(value) in (int, float) and low <= value <= high


def _are_numbers(values: Any, names: Any) -> bool:
    return isinstance(values, dict) and set(values) <= set(names) and all(map(_is_number, values.values()))


def _is_range(value: Any) -> bool:
    return isinstance(value, list | tuple) and len(value) == 2 and all(map(_is_number, value))


_SUBSET_NAMES = tuple(map(subset_name, SUBSETS))

_FITS = {
    "intercept": lambda value, fitted: _is_number(value),
    "weights": lambda value, fitted: _are_numbers(value, USED),
    "ranges": lambda value, fitted: (
        isinstance(value, dict)
        and set(value) == set(fitted["weights"])
        and all(_is_range(limits) and limits[0] <= limits[1] for limits in value.values())
    ),
    "subsets": lambda value, fitted: _are_numbers(value, _SUBSET_NAMES),
    "doubtful_below": lambda value, fitted: _is_number(value, 0, 1),
    "mean_error": lambda value, fitted: _is_number(value, 0, 1),
    **dict.fromkeys(
        ("flagged", "false_alarms"), lambda value, fitted: value is None or _is_number(value, 0, 1)
    ),
}
"""Whether a value may stand under the key of one region; weights are looked at before their ranges."""
