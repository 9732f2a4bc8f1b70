"""``select`` and ``train --folds``: what is typed arrives, and what was chosen is said and stored."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from MissingModalityLib.__main__ import main
from MissingModalityLib.inference.card import read_card
from MissingModalityLib.inference.student import Student
from MissingModalityLib.training import run, selection
from small_networks import small_network, write_student

FOUND = {
    "chosen": {"thresholds": {"WT": 0.5, "TC": 0.5, "ET": 0.35}, "min_component_voxels": 100},
    "cases": 3,
    "before": {"WT": 0.8, "TC": 0.6, "ET": 0.5},
    "after": {"WT": 0.81, "TC": 0.6, "ET": 0.525},
}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Any]:
    """What `select` was called with."""
    calls: list[Any] = []
    monkeypatch.setattr(
        selection, "select", lambda *values, on_progress, data: calls.append((*values, data)) or FOUND
    )
    # what a cross-validation is, is asked before
    fold = write_student(tmp_path / "of_fold.safetensors", head="regions")
    monkeypatch.setattr(selection, "_folds", lambda run: ([], [fold]))
    return calls


def test_what_was_chosen_is_said_and_stored(
    asked: list[Any], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    student = write_student(tmp_path / "s.safetensors", head="regions")
    fold = write_student(tmp_path / "fold.safetensors", head="regions")
    typed = ["--smoothing-mm", "0.7", "1,1,0", "--mirror", "2", "--mirror", "0", "1"]
    typed += ["--mirror-windows", "0", "2"]
    typed += ["--data", "moved", "--store", str(student), str(fold)]
    assert main(["select", "--run", "runs/cv", *typed, "--device", "cpu"]) == 0
    smoothing = [0.7, {"WT": 1.0, "TC": 1.0, "ET": 0.0}]
    assert asked == [(Path("runs/cv"), smoothing, [], [[2], [0, 1]], [[0, 2]], "cpu", Path("moved"))]
    said = capsys.readouterr().out
    assert "min_component_voxels: 100" in said and "WT 80.0, TC 60.0, ET 50.0" in said
    assert "made on these very cases: WT 81.0, TC 60.0, ET 52.5" in said
    card = read_card(student)
    assert card.thresholds == FOUND["chosen"]["thresholds"] and card.min_component_voxels == 100
    assert read_card(fold).min_component_voxels == 100
    assert f"Stored in {student}" in said and "Warning" not in said


def test_choices_of_models_by_another_method_are_stored_and_that_is_told(
    asked: list[Any], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    network, student = small_network("segresnet", head="regions"), tmp_path / "s.safetensors"
    for path, method in ((tmp_path / "of_fold.safetensors", "supervised"), (student, "ensemble")):
        Student(network, {"training": {"settings": {"stages": {"train": {"method": method}}}}}).save(path)
    assert main(["select", "--run", "runs/cv", "--store", str(student)]) == 0 and asked
    assert "models that were trained by supervised, not ensemble as this one" in capsys.readouterr().out
    assert read_card(student).min_component_voxels == 100


@pytest.mark.usefixtures("asked")
def test_what_a_model_decided_by_before_goes_and_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    path = tmp_path / "s.safetensors"
    network = small_network("segresnet", head="regions")
    Student(network, {"overlap": 0.5, "min_enhancing_voxels": 500, "evaluation": {"cases": 3}}).save(path)
    for _ in range(2):
        assert main(["select", "--run", "runs/cv", "--store", str(path)]) == 0
    first, second = (line for line in capsys.readouterr().out.splitlines() if "Stored" in line)
    assert first.endswith("s.safetensors, which lost min_enhancing_voxels 500, its evaluation")
    assert second.endswith("s.safetensors") and "min_enhancing_voxels" not in read_card(path)


def test_a_model_of_another_network_is_told_before_anything_is_predicted(
    asked: list[Any], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    for other, fault in (
        ({"head": "classes"}, "its head is classes"),
        ({"width": 16}, "its network.width is 16, that of the folds in 'runs/cv' is 8"),
        ({}, "its network is uhemis"),
    ):
        name = "segresnet" if other else "uhemis"
        path = tmp_path / f"{name}.safetensors"
        Student(small_network(name, **other), {"window": [40] * 3}).save(path)
        assert main(["select", "--run", "runs/cv", "--store", str(path)]) == 2
        assert fault in capsys.readouterr().err and not asked


def test_a_model_that_is_not_there_is_told_before_anything_is_predicted(
    asked: list[Any], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert main(["select", "--run", "runs/cv", "--store", str(tmp_path / "none.safetensors")]) == 2
    assert "none.safetensors" in capsys.readouterr().err and not asked


def test_what_was_chosen_before_is_stored_without_a_prediction(
    asked: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(selection, "read_selection", lambda run: FOUND)
    student = write_student(tmp_path / "s.safetensors", head="regions")
    typed = ["select", "--run", "runs/cv", "--reuse", "--store", str(student)]
    assert main(typed) == 0 and not asked
    assert read_card(student).thresholds == FOUND["chosen"]["thresholds"]
    assert f"Stored in {student}" in capsys.readouterr().out
    assert main([*typed, "--mirror", "2", "--data", "moved"]) == 2
    assert "Leave out --mirror and --data, or --reuse" in capsys.readouterr().err


UNSURE = {
    "min_enhancing_voxels": [
        {"value": 0, "dice": 0.5, "taken": True},
        {"value": 50, "dice": 0.52, "taken": False, "gain": 0.02, "gain_error": 0.015},
        {"value": 500, "dice": 0.516, "taken": False, "gain": 0.016, "gain_error": 0.011},
    ],
    "min_component_voxels": [
        {"value": 0, "dice": 0.5, "lesion_dice": 0.3, "taken": False, "gain": -0.1, "gain_error": 0.01},
        {"value": 7, "dice": 0.5, "lesion_dice": 0.4, "taken": True},
        {"value": 50, "dice": 0.5, "lesion_dice": 0.5, "taken": False, "gain": 0.1, "gain_error": None},
    ],
    "thresholds": [
        {"region": "WT", "value": 0.4, "dice": 0.5, "taken": False, "gain": 0.0009, "gain_error": 0.0},
        {"region": "WT", "value": 0.5, "dice": 0.5, "taken": True},
        {"region": "TC", "value": 0.4, "dice": 0.6, "taken": True, "gain": 0.01, "gain_error": 0.001},
        {"region": "TC", "value": 0.5, "dice": 0.5, "taken": False},
        {"region": "ET", "value": 0.4, "dice": 0.6, "taken": True, "gain": 0.01, "gain_error": 0.001},
        {"region": "ET", "value": 0.3, "dice": 0.6, "taken": False, "gain": 0.02, "gain_error": 0.02},
        {"region": "ET", "value": 0.5, "dice": 0.5, "taken": False},
    ],
    "mirror": [],
}


def test_what_looked_better_and_was_not_taken_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    """The best-looking value of each choice, where chance may have brought what it gains."""
    for found, told in (
        (
            {**FOUND, "tried": UNSURE},
            [
                "min_enhancing_voxels 50, 2.00 points of Dice more, standard error over patients 1.50",
                "min_component_voxels 50, 10.00 points of lesion-wise Dice more, of a single patient",
                "thresholds ET 0.3, 2.00 points of Dice more, standard error over patients 2.00",
            ],
        ),
        # of an earlier version
        ({**FOUND, "tried": {"mirror": [{"value": None, "dice": 0.1}, {"value": [2], "dice": 0.2}]}}, []),
    ):
        monkeypatch.setattr(selection, "read_selection", lambda run, found=found: found)
        assert main(["select", "--run", "runs/cv", "--reuse"]) == 0
        begin = "Not taken, since chance may have brought it: "
        lines = capsys.readouterr().out.splitlines()
        assert [line.removeprefix(begin) for line in lines if line.startswith(begin)] == told
        assert any(line.startswith("Warning: an earlier version") for line in lines) != bool(told)


@pytest.mark.usefixtures("asked")
def test_a_program_gets_all_that_was_found(capsys: pytest.CaptureFixture) -> None:
    assert main(["select", "--run", "runs/cv", "--progress", "json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["result"] == FOUND


def test_a_folder_without_folds_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["select", "--run", str(tmp_path)]) == 2
    assert "holds no cross-validation" in capsys.readouterr().err


def test_folds_that_are_typed_reach_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    calls = []
    monkeypatch.setattr(run, "train", lambda **choices: calls.append(choices) or choices["output"])
    typed = ["--data", "cases", "--output", str(tmp_path), "--folds", "5", "--progress", "none"]
    assert main(["train", *typed, "--fold", "0"]) == 0 == main(["train", *typed])
    assert [(call["folds"], call["fold"]) for call in calls] == [(5, 0), (5, None)]
    assert main(["train", *typed, "--fold", "5"]) == 2
    assert "fold=5: give a number from 0 to 4" in capsys.readouterr().err


@pytest.mark.parametrize("typed", ["1,1", "1,1,0,0", "1,,0", "wide"])
def test_deviations_are_one_for_all_regions_or_three(typed: str, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit):
        main(["select", "--run", "runs/cv", "--smoothing-mm", typed])
    assert "--smoothing-mm" in capsys.readouterr().err
