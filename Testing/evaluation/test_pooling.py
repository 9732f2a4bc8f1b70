"""Evaluations taken together: the same patients in every row, each counting once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from MissingModalityLib.core.errors import CaseError
from MissingModalityLib.core.modalities import Modality, subset_name
from MissingModalityLib.evaluation.metrics import SCORED_REGIONS
from MissingModalityLib.evaluation.pooling import pool_evaluations

FLAIR, T2 = (Modality.FLAIR,), (Modality.T2,)
BOTH = (Modality.FLAIR, Modality.T2)


def evaluation(
    cases: Mapping[str, Mapping[tuple[Modality, ...], float]], data: str = "test", rule: str = "penalty"
) -> dict[str, Any]:
    rows = [
        {"case": name, "subset": subset_name(subset), "region": region, "dice": dice, "hd95": 10 * dice}
        | {"predicted": 7, "reference": 7, "lesion_dice": dice / 2, "lesion_hd95": 1.0, "features": None}
        for name, scores in cases.items()
        for subset, dice in scores.items()
        for region in SCORED_REGIONS
    ]
    described = [{"name": name, "modalities": "", "reference_voxels": {}} for name in cases]
    facts = {"data": data, "date": "2026-01-01", "device": "cpu", "hd95_rule": rule, "skipped": []}
    return {**facts, "cases": described, "rows": rows}


def whole(dice: float) -> dict[tuple[Modality, ...], float]:
    return dict.fromkeys((FLAIR, T2, BOTH), dice)


def wt(pooled: Mapping[str, Any]) -> dict[str, float]:
    return {entry["subset"]: entry["dice"]["WT"] for entry in pooled["subsets"]}


def test_a_patient_who_lacks_a_sequence_is_in_no_row() -> None:
    pooled = pool_evaluations([evaluation({"a": whole(0.4), "b": whole(0.6), "easy": {FLAIR: 1.0}})])
    assert wt(pooled) == pytest.approx({"T2": 0.5, "FLAIR": 0.5, "FLAIR+T2": 0.5})
    assert {entry["cases"] for entry in pooled["subsets"]} == {2}
    assert pooled["left_out"] == ["easy"] and [case["name"] for case in pooled["cases"]] == ["a", "b"]
    assert pooled["subsets"][0]["lesion_dice"]["WT"] == pytest.approx(0.25)


def test_where_nobody_has_all_sequences_nobody_is_left_out() -> None:
    pooled = pool_evaluations([evaluation({"a": {FLAIR: 0.4}, "b": {T2: 0.6}})])
    assert wt(pooled) == pytest.approx({"T2": 0.6, "FLAIR": 0.4}) and pooled["left_out"] == []


def test_patients_of_several_evaluations_count_alike() -> None:
    parts: Sequence[dict[str, Any]] = [
        evaluation({"a": whole(0.2)}, "test"),
        evaluation({"b": whole(0.5), "c": whole(0.8)}, "cases"),
    ]
    pooled = pool_evaluations(parts)
    assert wt(pooled)["FLAIR"] == pytest.approx(0.5)
    assert (pooled["data"], len(pooled["cases"])) == ("test, cases", 3)


def test_a_patient_who_was_scored_twice_counts_once() -> None:
    pooled = pool_evaluations([evaluation({"a": whole(0.2), "b": whole(0.9)}), evaluation({"a": whole(0.4)})])
    assert wt(pooled)["T2"] == pytest.approx((0.3 + 0.9) / 2)
    assert pooled["subsets"][0]["hd95"]["WT"] == pytest.approx((3 + 9) / 2)
    assert pooled["subsets"][0]["cases"] == 2


@pytest.mark.parametrize("alike", ["nothing", "a volume", "the label", "not known"])
def test_patients_of_two_data_sets_who_share_a_name_alone_count_apart(alike: str) -> None:
    parts = [evaluation({"001": whole(0.2)}, "test"), evaluation({"001": whole(0.6)}, "cases")]
    for number, part in enumerate(parts):
        (case,) = part["cases"]
        same = "0" if alike == "a volume" else number
        case["voxels_sha256"] = {} if alike == "not known" else {"T1": f"one{number}", "T2": f"two{same}"}
        case["reference_voxels"] = {"WT": 7 if alike == "the label" else 7 + number}
    pooled = pool_evaluations(parts)
    assert wt(pooled)["T2"] == pytest.approx(0.4)
    assert pooled["subsets"][0]["cases"] == len(pooled["cases"]) == (2 if alike == "nothing" else 1)
    assert parts[1]["rows"][0]["case"] == "001"


def test_scores_by_different_rules_are_not_mixed() -> None:
    with pytest.raises(CaseError, match="penalty and zero"):
        pool_evaluations([evaluation({"a": whole(0.2)}), evaluation({"b": whole(0.2)}, rule="zero")])
