"""What a result is worth stands wherever it appears; steps for raw volumes can be asked for everywhere."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from MissingModalityLib.__main__ import main
from MissingModalityLib.clinical.steps import Steps
from MissingModalityLib.core.errors import OptionError
from MissingModalityLib.core.modalities import Modality
from MissingModalityLib.inference.segment_files import segment_files
from MissingModalityLib.inference.segment_folder import segment_folder
from MissingModalityLib.inference.worth import worth
from small_networks import tiny_student
from small_patient import write_brain

DICE = {"WT": 0.81, "TC": 0.62, "ET": 0.4}
SENTENCE = (
    "Expected from FLAIR: agreement with an expert's outline (Dice, 1 is full) of whole tumor (WT) 0.81, "
    "tumor core (TC) 0.62, enhancing tumor (ET) 0.40, the mean of 15 patients"
)
ESTIMATE = "Estimated for this result: agreement (Dice, 1 is full) of whole tumor (WT) 0.90 {}"
ADVICE = "Adding T1ce, in the same 15 patients: better: ET from 0.40 to 0.60"


@pytest.fixture
def case(tmp_path: Path) -> Path:
    (tmp_path / "in" / "case").mkdir(parents=True)
    return write_brain(tmp_path / "in" / "case" / "flair.nii.gz")


@pytest.fixture
def student(tmp_path: Path) -> Path:
    made = tiny_student()
    made.card["evaluation"] = {
        "subsets": [{"subset": "FLAIR", "dice": DICE, "cases": 15}],
        "gains": [
            {"subset": "FLAIR", "added": "T1ce", "cases": 15, "before": DICE, "after": {**DICE, "ET": 0.6}}
        ],
    }
    made.save(tmp_path / "s.safetensors")
    return tmp_path / "s.safetensors"


def test_report_and_command_tell_what_to_expect_of_the_sequences(case, student, tmp_path, capsys) -> None:
    report = segment_files({Modality.FLAIR: case}, tmp_path / "out.nii.gz", student, "cpu")
    assert report["expectation"] == {"dice": DICE, "cases": 15, "advice": [ADVICE]}
    assert worth(report) == [SENTENCE, ADVICE]
    arguments = ["--flair", case, "--output", tmp_path / "out.nii.gz", "--student", student]
    assert main(["segment", *map(str, arguments), "--device", "cpu", "--progress", "none"]) == 0
    shown = capsys.readouterr().out
    assert SENTENCE in shown and ADVICE in shown


def test_the_table_of_a_folder_has_a_column_for_what_to_expect(case, student, tmp_path) -> None:
    segment_folder(case.parents[1], tmp_path / "table", student, "cpu")
    with (tmp_path / "table" / "volumes.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert [row[f"{region}_expected_dice"] for region in DICE] == ["0.81", "0.62", "0.4"]


def test_where_nothing_tells_that_is_said(case, tmp_path) -> None:
    silent = tmp_path / "silent.safetensors"
    tiny_student().save(silent)
    report = segment_files({Modality.FLAIR: case}, tmp_path / "out.nii.gz", silent, "cpu")
    assert "expectation" not in report
    (sentence,) = worth(report)
    assert sentence.startswith("Nothing tells how good a result from FLAIR is")


def test_the_estimate_of_this_very_result_stands_beside_the_expectation() -> None:
    report = {
        "modalities": "FLAIR",
        "expectation": {"dice": DICE, "cases": 15},
        "estimated_dice": {"WT": 0.9},
        "grades": {"WT": "reliable"},
    }
    assert worth(report) == [SENTENCE, ESTIMATE.format("(reliable)")]


def test_steps_are_chosen_on_the_command_line_and_reported(case, student, tmp_path) -> None:
    arguments = ["--flair", case, "--output", tmp_path / "out.nii.gz", "--student", student]
    chosen = ["--registration", "never", "--stripping", "never", "--no-content-check"]
    assert main(["segment", *map(str, arguments), "--device", "cpu", "--progress", "none", *chosen]) == 0
    steps = Steps("never", "never", content_check=False)
    report = segment_files({Modality.FLAIR: case}, tmp_path / "b.nii.gz", student, "cpu", steps=steps)
    assert report["input_steps"] == {
        "asked": {
            "registration": "never",
            "stripping": "never",
            "brain_mask": None,
            "content_check": False,
            "bias_field": "auto",
        },
        "registration": {},
        "stripping": {"method": "none"},
    }


def test_a_folder_is_segmented_again_where_other_steps_are_asked_for(case, student, tmp_path) -> None:
    arguments = (case.parents[1], tmp_path / "table", student, "cpu")
    never = Steps("never")
    assert segment_folder(*arguments)["segmented"] == ["case"]
    assert segment_folder(*arguments)["kept"] == ["case"]
    assert segment_folder(*arguments, steps=never)["segmented"] == ["case"]
    assert segment_folder(*arguments, steps=never)["kept"] == ["case"]


def test_one_mask_for_many_patients_is_refused(case, student, tmp_path) -> None:
    with pytest.raises(OptionError, match="one brain mask cannot fit many patients"):
        segment_folder(case.parents[1], tmp_path, student, "cpu", steps=Steps(brain_mask=tmp_path / "m.nii"))
