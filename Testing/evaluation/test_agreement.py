"""Measures of many predictions together, and of probabilities, against values worked out by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from MissingModalityLib.core.errors import OptionError
from MissingModalityLib.core.modalities import SUBSETS, Modality, Subset, subset_name
from MissingModalityLib.evaluation.agreement import agreements
from MissingModalityLib.evaluation.averages import GROUPS, summarize
from MissingModalityLib.evaluation.hd95_rules import HD95_RULES
from MissingModalityLib.evaluation.measures import AGREEMENTS, MEASURES, check_metrics
from MissingModalityLib.evaluation.metrics import SCORED_REGIONS
from MissingModalityLib.evaluation.probabilities import calibration
from MissingModalityLib.evaluation.row import Row
from MissingModalityLib.evaluation.tables import notes, score_tables

T2: Subset = (Modality.T2,)


def rows(
    volumes: Sequence[tuple[int, int]],
    presence: Sequence[float] | None = None,
    subsets: Sequence[Subset] = (T2,),
    **more: float | None,
) -> list[Row]:
    """A case for each pair of predicted and true voxels, of 2 mm3, alike in every region."""
    return [
        Row(
            f"case{number}",
            subset,
            region,
            *(0.5, 1.0, predicted, reference),
            voxel_mm3=2.0,
            presence=None if presence is None else presence[number],
            **more,
        )
        for subset in subsets
        for number, (predicted, reference) in enumerate(volumes)
        for region in SCORED_REGIONS
    ]


def test_volumes_agree_within_limits_around_their_bias() -> None:
    # differences of 2, 4 and 6 ml: mean 4, standard deviation 2
    found = agreements(rows([(2000, 1000), (4000, 2000), (6000, 3000)]))
    assert found.keys() == {"volume"}
    expected = {"bias": 4.0, "low": 4 - 1.96 * 2, "high": 4 + 1.96 * 2, "r": 1.0}
    assert all(found["volume"][region] == pytest.approx(expected) for region in SCORED_REGIONS)


def test_a_case_counts_by_its_mean_over_subsets() -> None:
    both = rows([(1000, 500)]) + rows([(3000, 500)], subsets=[(Modality.T1,)])
    assert agreements(both)["volume"]["WT"] == {"bias": 3.0, "low": None, "high": None, "r": None}


def test_equal_volumes_have_no_correlation() -> None:
    assert agreements(rows([(500, 500), (500, 500)]))["volume"]["ET"]["r"] is None


def test_the_size_of_voxels_must_be_known() -> None:
    old = Row("a", T2, "WT", 0.5, 1.0, 10, 10)
    assert agreements([old]) == {}


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ((0.9, 0.8, 0.1, 0.2), 1.0),
        ((0.1, 0.2, 0.9, 0.8), 0.0),
        ((0.5,) * 4, 0.5),
        ((0.9, 0.3, 0.4, 0.2), 0.75),
    ],
)
def test_presence_is_judged_by_its_order(told: Sequence[float], expected: float) -> None:
    found = agreements(rows([(1, 10), (1, 10), (1, 0), (1, 0)], told))
    assert found["presence_auc"]["TC"] == pytest.approx(expected)


def test_presence_cannot_be_judged_where_all_cases_have_the_region() -> None:
    assert agreements(rows([(1, 10), (1, 10)], (0.9, 0.1)))["presence_auc"]["TC"] is None


def by_bins(probabilities: np.ndarray, truth: np.ndarray) -> float:
    """The error as it is defined: share of voxels times distance between claim and truth, bin by bin."""
    error = 0.0
    for low in np.arange(15) / 15:
        inside = (probabilities >= low) & (probabilities < low + 1 / 15 + (low > 0.9))
        if inside.any():
            error += inside.mean() * abs(probabilities[inside].mean() - truth[inside].mean())
    return error


def test_calibration_errors_are_those_of_the_definition() -> None:
    rng = np.random.default_rng(2)
    probabilities = rng.beta(0.1, 0.3, 4000)
    truth = rng.random(4000) < probabilities**2
    error, brier = calibration(probabilities, truth)
    assert error == pytest.approx(by_bins(probabilities, truth))
    assert brier == pytest.approx(np.mean((probabilities - truth) ** 2))
    honest = rng.random(4000) < probabilities
    assert calibration(probabilities, honest)[0] < error / 3


def test_certainty_is_right_or_wrong() -> None:
    truth = np.array([True, False, False, False])
    assert calibration(truth.astype(np.float32), truth) == (0, 0)
    assert calibration(1 - truth.astype(np.float32), truth) == pytest.approx((1, 1))
    assert calibration(np.zeros(0, np.float32), truth[:0]) == (0, 0)


def test_groups_are_by_number_of_sequences_and_with_or_without_t1ce() -> None:
    summary = summarize(rows([(10, 10)], subsets=SUBSETS))
    counts = {title: average["subsets"] for title, average in summary["averages"].items()}
    assert counts == {"all": 15, "with FLAIR": 8, "with T1ce": 8, "without T1ce": 7} | {
        "with 1 sequence": 4,
        "with 2 sequences": 6,
        "with 3 sequences": 4,
        "with 4 sequences": 1,
    }
    assert {subset_name(subset) for subset in GROUPS["with 1 sequence"]} == {"FLAIR", "T1ce", "T1", "T2"}


def evaluation(scored: Sequence[Row], metrics: Sequence[str]) -> Mapping[str, object]:
    return {"hd95_rule": next(iter(HD95_RULES)), "skipped": [], "metrics": metrics, **summarize(scored)}


def test_the_chosen_scores_are_printed_with_what_they_mean() -> None:
    measured = rows(
        [(2000, 1000), (2000, 2000)], iou=0.25, sensitivity=None, lesion_dice=0.1, lesion_hd95=3.0
    )
    chosen = evaluation(measured, check_metrics(["iou", "volume", "sensitivity", "ece"]))
    first, second = score_tables(chosen)
    assert "IoU WT" in first and "| 25.0 ± 0.0 |" in first and "+1.0 (-1.8 to +3.8)" in first
    assert "Sensitivity WT" in second and "Dice" not in first + second
    text = notes(chosen)
    assert "IoU: in %, intersection over union" in text and "Not told by what was evaluated: ECE." in text
    assert "Lesion-wise" not in text and "Lesion-wise" in notes(evaluation(measured, ("lesion_dice",)))


def test_unknown_scores_are_refused_with_those_there_are() -> None:
    assert check_metrics((*MEASURES, *AGREEMENTS, "dice")) == (*MEASURES, *AGREEMENTS)
    with pytest.raises(OptionError, match=r"'sensitvity'.*mean sensitivity.*dice, hd95"):
        check_metrics(["dice", "sensitvity"])
    with pytest.raises(OptionError, match="No metric"):
        check_metrics([])
