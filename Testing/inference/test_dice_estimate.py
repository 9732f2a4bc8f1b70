"""The Dice that a student estimates for its own result, and where it is told."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any

import pytest

from calibrations import constant_calibration
from MissingModalityLib.__main__ import main
from MissingModalityLib.core.errors import OptionError, StudentError
from MissingModalityLib.core.labels import REGIONS
from MissingModalityLib.core.modalities import Modality
from MissingModalityLib.inference.card import read_card
from MissingModalityLib.inference.dice_estimate import check_calibration, estimate, grades
from MissingModalityLib.inference.doubt import FEATURES
from MissingModalityLib.inference.expected_dice import Grade
from MissingModalityLib.inference.segment_files import segment_files
from MissingModalityLib.inference.segment_folder import segment_folder
from MissingModalityLib.inference.student import Student
from small_networks import tiny_student
from small_patient import write_brain

FLAIR = (Modality.FLAIR,)
SURE = dict.fromkeys(FEATURES, 0.5)


def calibration(**region: Any) -> dict[str, Any]:
    """One whose WT is fitted as given."""
    made = constant_calibration()
    made["regions"]["WT"].update(region)
    return made


def of_wt(made: dict[str, Any], subset: tuple[Modality, ...] = FLAIR, **features: float) -> float:
    return estimate({region: {**SURE, **features} for region in REGIONS}, subset, made)["WT"]


def test_an_estimate_is_the_sigmoid_of_the_weighted_features() -> None:
    made = calibration(
        intercept=0.3,
        weights={"soft_dice": 2.0, "entropy": -1.0},
        ranges={"soft_dice": [-4.0, 4.0], "entropy": [0.0, 1.0]},
        subsets={"FLAIR": 0.25},
    )
    total = 0.3 + 0.25 + 2.0 * math.log(0.8 / 0.2) - 0.4
    found = of_wt(made, soft_dice=0.8, entropy=0.4)
    assert found == pytest.approx(1 / (1 + math.exp(-total)))
    other = of_wt(made, (Modality.T2,), soft_dice=0.8, entropy=0.4)
    assert other == pytest.approx(1 / (1 + math.exp(0.25 - total))), "T2 has no offset"


def test_features_beyond_what_the_fit_has_seen_count_as_the_last_it_has() -> None:
    made = calibration(weights={"log_volume": 3.0}, ranges={"log_volume": [2.0, 4.0]}, intercept=-9.0)
    assert of_wt(made, log_volume=99.0) == of_wt(made, log_volume=4.0)
    assert of_wt(made, log_volume=0.0) == of_wt(made, log_volume=2.0) < of_wt(made, log_volume=2.1)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_fractions_at_their_ends_are_finite(value: float) -> None:
    made = calibration(weights={"soft_dice": 1.0}, ranges={"soft_dice": [-9.0, 9.0]}, intercept=0.0)
    assert of_wt(made, soft_dice=value) == pytest.approx(0.01 if value == 0 else 0.99)


@pytest.mark.parametrize(
    ("dice", "grade"),
    [
        (0.75, Grade.RELIABLE),
        (0.74, Grade.CHECK),
        (0.62, Grade.CHECK),
        (0.61, Grade.DOUBTFUL),
        (0.1, Grade.DOUBTFUL),
    ],
)
def test_estimates_below_the_threshold_of_the_fit_are_doubtful(dice: float, grade: Grade) -> None:
    assert grades({"WT": dice}, calibration(doubtful_below=0.615)) == {"WT": grade}


@pytest.mark.parametrize(
    "change",
    [
        {"intercept": math.nan},
        {"intercept": "0"},
        {"weights": {"soft_dice": 1e9}, "ranges": {"soft_dice": [0, 1]}},
        {"weights": {"other": 1.0}, "ranges": {"other": [0, 1]}},
        {"weights": {"soft_dice": 1.0}},
        {"weights": {"soft_dice": 1.0}, "ranges": {"soft_dice": [1, 0]}},
        {"weights": []},
        {"subsets": {"PET": 0.0}},
        {"doubtful_below": 1.5},
        {"doubtful_below": None},
        {"mean_error": None},
        {"flagged": -1},
    ],
    ids=str,
)
def test_a_file_with_a_calibration_that_is_none_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match=r"calibration of WT: \w+ is missing or out of its range"):
        check_calibration(calibration(**change))
    student = tiny_student()
    student.card["calibration"] = calibration(**change)
    if any(value != value for value in change.values()):  # JSON has no NaN to write
        with pytest.raises(OptionError, match="JSON"):
            student.save(tmp_path / "wrong.safetensors")
        return
    student.save(tmp_path / "wrong.safetensors")
    with pytest.raises(StudentError, match=r"wrong\.safetensors.*calibration of WT"):
        read_card(tmp_path / "wrong.safetensors")


@pytest.mark.parametrize("made", [7, {}, {"patients": 9, "results": 9}, {"regions": {}}], ids=str)
def test_what_is_no_calibration_at_all_is_refused(made: Any) -> None:
    with pytest.raises(OptionError, match="calibration"):
        check_calibration(made)


@pytest.fixture
def flair(tmp_path: Path) -> Path:
    (tmp_path / "in" / "case").mkdir(parents=True)
    return write_brain(tmp_path / "in" / "case" / "flair.nii.gz")


def calibrated(path: Path, **dice: float) -> Path:
    student = tiny_student()
    student.card["calibration"] = constant_calibration(**dice)
    student.save(path)
    assert Student.load(path).card["calibration"] == student.card["calibration"]
    return path


def test_the_report_tells_estimate_grade_and_doubt(flair: Path, tmp_path: Path) -> None:
    student = calibrated(tmp_path / "s.safetensors", WT=0.41, TC=0.6)
    report = segment_files({Modality.FLAIR: flair}, tmp_path / "out.nii.gz", student, "cpu")
    assert report["estimated_dice"] == {"WT": 0.41, "TC": 0.6, "ET": 0.9}
    assert report["grades"] == {"WT": "doubtful", "TC": "check", "ET": "reliable"}
    assert [text for text in report["warnings"] if "doubtful: a Dice of 0.41" in text]


def test_a_doubtful_part_of_a_whole_tumor_to_trust_is_no_warning(flair: Path, tmp_path: Path) -> None:
    student = calibrated(tmp_path / "s.safetensors", ET=0.2)
    report = segment_files({Modality.FLAIR: flair}, tmp_path / "out.nii.gz", student, "cpu")
    assert report["grades"]["ET"] == "doubtful"
    assert not [text for text in report["warnings"] if "doubtful" in text]


def test_a_student_without_calibration_tells_nothing_of_it(flair: Path, tmp_path: Path) -> None:
    student = tmp_path / "s.safetensors"
    tiny_student().save(student)
    report = segment_files({Modality.FLAIR: flair}, tmp_path / "out.nii.gz", student, "cpu")
    assert not report.keys() & {"estimated_dice", "grades"}
    segment_folder(flair.parents[1], tmp_path / "table", student, "cpu")
    assert "estimated" not in (tmp_path / "table" / "volumes.csv").read_text()


def test_the_table_of_a_folder_has_a_column_for_each_estimate_and_grade(flair: Path, tmp_path: Path) -> None:
    student = calibrated(tmp_path / "s.safetensors", WT=0.41)
    segment_folder(flair.parents[1], tmp_path / "table", student, "cpu")
    with (tmp_path / "table" / "volumes.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["WT_estimated_dice"], row["WT_grade"]) == ("0.41", "doubtful")
    assert (row["ET_estimated_dice"], row["ET_grade"]) == ("0.9", "reliable")
    assert "doubtful" in row["warnings"]


def test_the_command_prints_it(flair: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    student = calibrated(tmp_path / "s.safetensors", TC=0.6)
    arguments = ["--flair", flair, "--output", tmp_path / "out.nii.gz", "--student", student]
    assert main(["segment", *map(str, arguments), "--device", "cpu", "--progress", "none"]) == 0
    line = "(WT) 0.90 (reliable), tumor core (TC) 0.60 (check), enhancing tumor (ET) 0.90 (reliable)\n"
    assert line in capsys.readouterr().out
