"""The fit of the estimate of Dice, on results made from a known relation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from MissingModalityLib.core.errors import CaseError
from MissingModalityLib.core.labels import REGIONS
from MissingModalityLib.core.modalities import SUBSETS, subset_name
from MissingModalityLib.evaluation import calibration as module
from MissingModalityLib.evaluation.calibration import FEWEST_PATIENTS, fit_calibration
from MissingModalityLib.inference.dice_estimate import check_calibration, estimate
from MissingModalityLib.inference.doubt import FEATURES

PATIENTS = 16
CHOSEN = SUBSETS[:3]


def rows(noise: float = 0.03, patients: int = PATIENTS, seed: int = 0) -> Iterator[dict[str, Any]]:
    """Soft Dice is the true one but for noise and a share that it always promises too much."""
    random = np.random.default_rng(seed)
    for number in range(patients):
        for subset in CHOSEN:
            truth = random.uniform(0.05, 0.95)
            told = np.clip(0.8 * truth + 0.2 + random.normal(0, noise), 0.01, 0.99)
            numbers = {**dict.fromkeys(FEATURES, 0.5), "soft_dice": told, "entropy": random.uniform(0, 1)}
            for region in REGIONS:
                record = {"case": f"p{number:02}", "subset": subset_name(subset), "region": region}
                yield {**record, "dice": truth, "features": numbers}


@pytest.fixture(scope="module")
def fitted() -> dict[str, Any]:
    return fit_calibration(list(rows()))


def test_estimates_follow_the_true_dice_of_other_patients(fitted: dict[str, Any]) -> None:
    errors = [
        abs(estimate(dict.fromkeys(REGIONS, row["features"]), CHOSEN[0], fitted)["WT"] - row["dice"])
        for row in rows(seed=1)
        if row["region"] == "WT" and row["subset"] == subset_name(CHOSEN[0])
    ]
    assert np.mean(errors) < 0.08
    told = fitted["regions"]["WT"]
    assert told["mean_error"] == pytest.approx(np.mean(errors), abs=0.03)
    assert told["flagged"] >= 0.9 and told["false_alarms"] < 0.3


def test_it_says_what_it_was_fitted_to_and_passes_the_check(fitted: dict[str, Any]) -> None:
    check_calibration(fitted)
    assert (fitted["patients"], fitted["results"]) == (PATIENTS, PATIENTS * len(CHOSEN))


def test_weights_have_the_sign_that_their_feature_must_have() -> None:
    inverted = [{**row, "dice": 1 - row["dice"]} for row in rows()]
    weights = fit_calibration(inverted)["regions"]["WT"]["weights"]
    assert weights["soft_dice"] == 0, "a surer student is no worse one, whatever these results say"
    assert weights["entropy"] <= 0


def test_a_subset_of_lower_dice_lowers_the_estimate_of_equal_features() -> None:
    factors = {subset_name(subset): 1.0 for subset in CHOSEN} | {subset_name(CHOSEN[0]): 0.5}
    lowered = [{**row, "dice": row["dice"] * factors[row["subset"]]} for row in rows()]
    offsets = fit_calibration(lowered)["regions"]["WT"]["subsets"]
    assert offsets[subset_name(CHOSEN[0])] < min(offsets[subset_name(subset)] for subset in CHOSEN[1:])


def test_every_patient_counts_the_same_however_often_he_was_scored(fitted: dict[str, Any]) -> None:
    several = [row for row in rows() for _ in range(5 if row["case"] == "p00" else 1)]
    for region, found in fit_calibration(several)["regions"].items():
        assert found["weights"] == pytest.approx(fitted["regions"][region]["weights"], abs=1e-3)
        assert found["mean_error"] == pytest.approx(fitted["regions"][region]["mean_error"], abs=1e-3)


def test_the_error_that_is_told_is_of_patients_that_the_fit_has_not_seen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[tuple[set[str], set[str]]] = []
    fit, apply = module._fit, module._apply

    def fit_and_name(sample: Any) -> dict[str, Any]:
        return {**fit(sample), "patients": set(sample.patients)}

    def apply_and_compare(fitted: dict[str, Any], sample: Any) -> np.ndarray:
        seen.append((fitted["patients"], set(sample.patients)))
        return apply(fitted, sample)

    monkeypatch.setattr(module, "_fit", fit_and_name)
    monkeypatch.setattr(module, "_apply", apply_and_compare)
    fit_calibration(list(rows(patients=FEWEST_PATIENTS)))
    assert seen and not any(learned & told for learned, told in seen)
    # the threshold of a fold is chosen without its patients too
    assert any(len(learned | told) < FEWEST_PATIENTS for learned, told in seen)


def test_too_few_patients_or_rows_without_features_are_refused() -> None:
    with pytest.raises(CaseError, match=rf"at least {FEWEST_PATIENTS} patients.*these are 9"):
        fit_calibration(list(rows(patients=9)))
    with pytest.raises(CaseError, match="these are 0"):
        fit_calibration([{**row, "features": None} for row in rows()])
    fewer = {name: 0.5 for name in FEATURES if name != "steadiness"}
    with pytest.raises(CaseError, match="the features steadiness, which some results of an earlier version"):
        fit_calibration([*rows(), {**next(rows()), "features": fewer}])


def test_a_student_that_is_never_wrong_can_be_calibrated() -> None:
    perfect = [{**row, "dice": 1.0} for row in rows()]
    told = fit_calibration(perfect)["regions"]["WT"]
    assert told["doubtful_below"] == 0.5 and told["flagged"] is None and told["false_alarms"] == 0
    assert told["mean_error"] < 0.05


def test_results_of_the_scores_own_regions_are_left_out() -> None:
    with_filtered = [*rows(), {"case": "p00", "subset": "T2", "region": "ET>=500", "dice": 0.0}]
    assert fit_calibration(with_filtered)["regions"].keys() == set(REGIONS)


def test_an_entropy_that_seems_to_promise_much_counts_for_nothing() -> None:
    odd = [{**row, "features": {**row["features"], "entropy": row["dice"]}} for row in rows()]
    assert fit_calibration(odd)["regions"]["WT"]["weights"]["entropy"] == 0


def test_visits_of_one_patient_are_one_patient() -> None:
    """Whom the fit has seen at one visit, he is no other patient at the next."""
    visits = [{**row, "case": f"sub-{int(row['case'][1:]) // 2}_ses-{row['case'][1:]}"} for row in rows()]
    with pytest.raises(CaseError, match=f"these are {PATIENTS // 2}"):
        fit_calibration(visits)
    many = [{**row, "case": f"{row['case']}_{visit}"} for row in rows() for visit in ("week-000", "week-012")]
    assert fit_calibration(many)["patients"] == PATIENTS
    assert fit_calibration(many)["regions"]["WT"]["mean_error"] == pytest.approx(
        fit_calibration(list(rows()))["regions"]["WT"]["mean_error"], abs=1e-3
    )
