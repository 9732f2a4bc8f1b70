"""Fits the estimate of Dice without a reference to results whose Dice is known.

What is fitted says :mod:`~..inference.dice_estimate`. Weights have the sign that their feature must have (a
surer student is no worse one) and are drawn towards 0; every patient counts the same, however many subsets it
has. All that is reported comes from patients that the fit has not seen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import minimize

from ..core.errors import CaseError
from ..core.labels import REGIONS
from ..core.modalities import SUBSETS, subset_name
from ..datasets.patients import patient_of
from ..inference.dice_estimate import USED, check_calibration, estimate_region, inputs, logit
from ..inference.expected_dice import Grade

Row = Mapping[str, Any]
"""``case``, ``subset`` (name), ``region``, ``dice`` and ``features``, as in an evaluation."""

FEWEST_PATIENTS = 10
"""Fewer are no sample to estimate an error from."""

_SIGNS = {"entropy": -1}
"""Of weights; the others are positive."""

_RIDGE = 0.003
"""Times the squared weights of standardized features, beside a mean cross entropy in nats."""

_CAUGHT = {"WT": 0.95}
"""Share of the results below half that must be graded doubtful among those fitted to, so that nine in ten are
on others. Where most of the whole tumor is wrong, nothing else is right. Of the inner regions, whose
estimates err more, as many would take most of the good results along: there the estimate itself decides."""

_SMALLEST_SPREAD = 0.01
"""Features that differ less than this from result to result tell nothing, and get hardly any weight."""

_MOST_FOLDS = 10


def fit_calibration(rows: Sequence[Row]) -> dict[str, Any]:
    """Fit the estimate of Dice of every region.

    Args:
        rows: results of a student on cases that it has not learned from, or of students of a
            cross-validation.

    Returns:
        A calibration, see :func:`~..inference.dice_estimate.check_calibration`. The error in it is that of
        patients that were left out of fit and choice of the threshold (nested cross-validation).

    Raises:
        CaseError: the rows are of too few patients or lack features.
    """
    if lacking := lacking_features(rows):
        raise CaseError(
            f"A calibration needs the features {', '.join(lacking)}, which some results of an earlier "
            "version lack. Evaluate again, with this version."
        )
    usable = [row for row in rows if row["region"] in REGIONS and row.get("features")]
    patients = len(patients_in(usable))
    if patients < FEWEST_PATIENTS:
        raise CaseError(
            f"A calibration needs results with features of at least {FEWEST_PATIENTS} patients that the "
            f"model has not learned from; these are {patients}. Evaluate on more cases, with this version."
        )
    calibration = {
        "patients": patients,
        "results": len({(row["case"], row["subset"]) for row in usable}),
        "regions": {
            region: _fit_region(
                _Sample.of([row for row in usable if row["region"] == region]), _CAUGHT.get(region, 0.0)
            )
            for region in REGIONS
        },
    }
    check_calibration(calibration)
    return calibration


def lacking_features(rows: Sequence[Row]) -> list[str]:
    """Features that a calibration weighs and that results of an earlier version lack, beside those they have.

    Results without any, as of label maps, are none that a calibration can be fitted to, and lack nothing.
    """
    known = [row["features"] for row in rows if row.get("features")]
    return [name for name in USED if any(name not in features for features in known)]


def patients_in(rows: Sequence[Row]) -> set[str]:
    """Whose results these are: visits of one patient, as far as names tell them, tell no more of others."""
    return {patient_of(row["case"]) for row in rows}


@dataclass(frozen=True)
class _Sample:
    """Results of one region.

    Attributes:
        patients: (n,) names.
        subsets: (n,) names.
        inputs: (n, features) in the order of ``USED``.
        dice: (n,) 0..1.
    """

    patients: np.ndarray
    subsets: np.ndarray
    inputs: np.ndarray
    dice: np.ndarray

    @classmethod
    def of(cls, rows: Sequence[Row]) -> _Sample:
        return cls(
            np.array([patient_of(row["case"]) for row in rows]),
            np.array([row["subset"] for row in rows]),
            np.array([list(inputs(row["features"]).values()) for row in rows]),
            np.array([row["dice"] for row in rows]),
        )

    def part(self, chosen: np.ndarray) -> _Sample:
        return _Sample(self.patients[chosen], self.subsets[chosen], self.inputs[chosen], self.dice[chosen])

    def weights(self) -> np.ndarray:
        """(n,) with the sum 1 over all and the same sum over each patient."""
        _, which, counts = np.unique(self.patients, return_inverse=True, return_counts=True)
        return 1 / (counts[which] * len(counts))


def _fit_region(sample: _Sample, caught: float) -> dict[str, Any]:
    """Fit, threshold and what both do on patients that they have not seen."""
    estimates, doubtful = np.zeros(len(sample.dice)), np.zeros(len(sample.dice), bool)
    for held_out in _folds(sample):
        rest = sample.part(~held_out)
        estimates[held_out] = _apply(_fit(rest), sample.part(held_out))
        doubtful[held_out] = estimates[held_out] < _threshold(rest, caught)
    bad = sample.dice < Grade.CHECK.value
    return {
        **_fit(sample),
        "doubtful_below": _threshold(sample, caught),
        "mean_error": round(float(np.sum(sample.weights() * abs(estimates - sample.dice))), 4),
        "flagged": _share(doubtful, bad),
        "false_alarms": _share(doubtful, ~bad),
    }


def _share(chosen: np.ndarray, among: np.ndarray) -> float | None:
    return round(float(chosen[among].mean()), 4) if among.any() else None


def _folds(sample: _Sample) -> list[np.ndarray]:
    """Masks (n,) of the results of every fold's patients."""
    names = np.unique(sample.patients)
    # as sorted they may lie side by side by source: every k-th has some of each
    count = min(_MOST_FOLDS, len(names))
    return [np.isin(sample.patients, names[number::count]) for number in range(count)]


def _out_of_fold(sample: _Sample) -> np.ndarray:
    """(n,) estimates, each from a fit to other patients."""
    estimates = np.zeros(len(sample.dice))
    for held_out in _folds(sample):
        estimates[held_out] = _apply(_fit(sample.part(~held_out)), sample.part(held_out))
    return estimates


def _threshold(sample: _Sample, caught: float) -> float:
    """Estimate below which a result is doubtful: at least half, at most what makes a result reliable.

    Args:
        sample: what is fitted to.
        caught: share of its results below half that must be doubtful.
    """
    least, most = Grade.CHECK.value, Grade.RELIABLE.value
    bad = sample.dice < least
    if not caught or not bad.any():
        return least
    # above the last one to be caught
    last = np.quantile(_out_of_fold(sample)[bad], caught, method="higher")
    return round(float(np.clip(last + 1e-3, least, most)), 4)


def _apply(fitted: Mapping[str, Any], sample: _Sample) -> np.ndarray:
    return np.array(
        [
            estimate_region(dict(zip(USED, values, strict=True)), subset, fitted)
            for values, subset in zip(sample.inputs.tolist(), sample.subsets.tolist(), strict=True)
        ]
    )


def _fit(sample: _Sample) -> dict[str, Any]:
    """Intercept, weights and ranges of the features, and offsets of the subsets."""
    expected = _expected(sample)
    columns = np.column_stack([sample.inputs, [expected[subset] for subset in sample.subsets]])
    mean = sample.weights() @ columns
    scale = np.maximum(np.sqrt(sample.weights() @ (columns - mean) ** 2), _SMALLEST_SPREAD)
    weights, intercept = _minimize((columns - mean) / scale, sample)
    weights = weights / scale
    *of_features, of_subset = weights.tolist()
    limits = np.stack([sample.inputs.min(0), sample.inputs.max(0)], 1).tolist()
    rounded = {name: round(value, 6) for name, value in zip(USED, of_features, strict=True)}
    return {
        "intercept": round(float(intercept - mean @ weights + of_subset * mean[-1]), 6),
        "weights": rounded,
        "ranges": dict(zip(USED, limits, strict=True)),
        "subsets": {
            name: round(of_subset * (value - float(mean[-1])), 6) for name, value in expected.items()
        },
    }


def _expected(sample: _Sample) -> dict[str, float]:
    """Logit of the mean Dice of each subset that any patient has."""
    of_subset = {name: sample.subsets == name for name in map(subset_name, SUBSETS)}
    means = {
        name: float(np.average(sample.dice[chosen], weights=sample.weights()[chosen]))
        for name, chosen in of_subset.items()
        if chosen.any()
    }
    return {name: logit(mean) for name, mean in means.items()}


def _minimize(columns: np.ndarray, sample: _Sample) -> tuple[np.ndarray, float]:
    """Weights and intercept of least cross entropy between estimated and true Dice."""
    shares, dice = sample.weights(), sample.dice

    def loss(values: np.ndarray) -> tuple[float, np.ndarray]:
        total = values[0] + columns @ values[1:]
        entropy = shares @ (np.logaddexp(0, total) - dice * total)
        slope = shares * (1 / (1 + np.exp(-total)) - dice)
        gradient = columns.T @ slope + 2 * _RIDGE * values[1:]
        return entropy + _RIDGE * values[1:] @ values[1:], np.r_[slope.sum(), gradient]

    signs = [_SIGNS.get(name, 1) for name in (*USED, "subset")]
    bounds = [(None, None), *((0, None) if sign > 0 else (None, 0) for sign in signs)]
    start = np.zeros(columns.shape[1] + 1)
    found = minimize(loss, start, jac=True, bounds=bounds, method="L-BFGS-B").x
    return found[1:], float(found[0])
