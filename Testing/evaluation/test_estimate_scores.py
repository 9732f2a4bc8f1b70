"""How good a student's estimate of its own Dice is, on results made by hand and through an evaluation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from calibrations import constant_calibration
from MissingModalityLib.core.labels import REGIONS
from MissingModalityLib.core.modalities import Modality, subset_named
from MissingModalityLib.evaluation.estimate_scores import score_estimates
from MissingModalityLib.evaluation.evaluate import CASES_FILE, SUMMARY_FILE, evaluate_folder, read_evaluation
from MissingModalityLib.evaluation.model_card import main as write_card
from MissingModalityLib.evaluation.row import Row
from MissingModalityLib.evaluation.rows_file import read_rows
from MissingModalityLib.inference.doubt import FEATURES
from small_cases import BOTH, write_shell_case
from small_networks import tiny_student


def result(dice: float, subset: str = "T2", region: str = "WT", **features: float) -> Row:
    told = {**dict.fromkeys(FEATURES, 0.5), **features}
    return Row("a", subset_named(subset) or (), region, dice, 1.0, 7, 7, features=told)


def by_subset(below: float = 0.5) -> dict[str, Any]:
    """Estimates 0.9 from FLAIR and 0.1 from all else."""
    calibration = constant_calibration(below, WT=0.1)
    calibration["regions"]["WT"]["subsets"] = {"FLAIR": 4.394449}
    return calibration


def test_errors_and_flags_are_those_of_the_estimates() -> None:
    scored = [
        *(result(0.3, "T2"), result(0.1, "T2")),  # below half and flagged, off by 0.2 and 0
        result(0.6, "T1"),  # flagged, and better than that: off by 0.5
        *(result(0.4, "FLAIR"), result(0.9, "FLAIR")),  # not flagged: off by 0.5 and 0
    ]
    assert score_estimates(scored, by_subset()) == {
        "WT": {
            "results": 5,
            "mean_error": pytest.approx(1.2 / 5, abs=1e-6),
            "below_half": 3,
            "below_half_flagged": 2,
            "others_flagged": 1,
        }
    }


def test_flagged_is_what_lies_below_the_calibrations_own_limit() -> None:
    told = score_estimates([result(0.3, "FLAIR"), result(0.5, "FLAIR")], by_subset(below=0.95))["WT"]
    assert (told["below_half"], told["below_half_flagged"], told["others_flagged"]) == (1, 1, 1)


def test_features_count_as_the_calibration_weighs_them() -> None:
    calibration = constant_calibration(WT=0.5)
    calibration["regions"]["WT"] |= {"weights": {"soft_dice": 1.0}, "ranges": {"soft_dice": [-5, 5]}}
    told = score_estimates([result(0.8, soft_dice=0.8)], calibration)["WT"]
    assert told["mean_error"] == pytest.approx(0, abs=1e-6)


def test_rows_without_features_tell_nothing_nor_does_a_student_without_calibration() -> None:
    filtered = Row("a", (Modality.T2,), "ET>=500", 0.5, 1.0, 7, 7)
    older = Row("a", (Modality.T2,), "WT", 0.5, 1.0, 7, 7, features={"soft_dice": 0.5})
    assert score_estimates([filtered, older], constant_calibration()) == {}
    assert score_estimates([result(0.5)], None) == {}


def test_an_evaluation_tells_how_good_the_estimates_of_its_student_are(tmp_path: Path) -> None:
    write_shell_case(tmp_path / "cases" / "BraTS2021_90001", BOTH)
    student, scores = tmp_path / "tiny.safetensors", tmp_path / "scores"
    calibration = constant_calibration(doubtful_below=0.95, TC=0.97)
    tiny_student({"calibration": calibration}).save(student)
    evaluate_folder(student, tmp_path / "cases", scores, device="cpu")
    told = read_evaluation(scores)["estimates"]
    dice = {
        region: [row.dice for row in read_rows(scores / CASES_FILE) if row.region == region]
        for region in REGIONS
    }
    assert told.keys() == set(REGIONS) and told["WT"]["results"] == 3
    for region, estimated in (("WT", 0.9), ("TC", 0.97)):
        errors = [abs(estimated - value) for value in dice[region]]
        assert told[region]["mean_error"] == pytest.approx(sum(errors) / 3)
        assert told[region]["below_half"] == sum(value < 0.5 for value in dice[region]) > 0
    assert told["WT"]["below_half_flagged"] == told["WT"]["below_half"]
    assert told["TC"]["below_half_flagged"] == 0
    table = (scores / "table.md").read_text()
    assert f"graded doubtful, and how many of the others: WT {100 * told['WT']['mean_error']:.1f}, " in table
    # a folder of an earlier version is judged by the calibration that the model has got since
    summary = json.loads((scores / SUMMARY_FILE).read_text())
    for name in ("estimates", "further_sequences"):
        del summary[name]
    (scores / SUMMARY_FILE).write_text(json.dumps(summary))
    assert "estimates" not in read_evaluation(scores)
    assert read_evaluation(scores)["further_sequences"]["pairs"] == 2 * len(REGIONS)
    assert write_card([str(student), str(scores), str(tmp_path / "card.md")]) == 0
    line = next(line for line in table.splitlines() if "own estimate of Dice" in line)
    assert f"On the cases of 'cases'. {line.removeprefix('- ')}" in (tmp_path / "card.md").read_text()
