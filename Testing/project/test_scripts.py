"""The script behind `make student`, on tiny cases with settings to match."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

import bundled_student
from MissingModalityLib.evaluation.evaluate import evaluate_folder
from MissingModalityLib.inference.card import read_card
from MissingModalityLib.inference.student import Student
from MissingModalityLib.training import selection
from small_networks import small_network
from tiny_run import log

TINY = {
    "iterations_per_epoch": 1,
    "batch_size": 1,
    "patch_size": 16,
    "validation_fraction": 0,
    "num_workers": 0,
    "network.width": 8,
    "network.blocks": [1, 1],
}
Script = Callable[..., tuple[int, str]]


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Script:
    """Runs a script's `main` with its options, given by name: its exit code, and what it tells on stderr."""

    def call(module: ModuleType, **options: object) -> tuple[int, str]:
        words = [
            word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", str(value))
        ]
        monkeypatch.setattr(sys, "argv", ["script", *words])
        return module.main(), capsys.readouterr().err

    return call


def test_the_bundled_student_is_trained_scored_and_described(
    script: Script, tiny_cases: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = {
        **bundled_student.SETTINGS,
        **TINY,
        "epochs": 1,
        "precision": "float32",
        "validation_fraction": 0,
    }
    monkeypatch.setattr(bundled_student, "SETTINGS", changed)
    places = {name: tmp_path / name for name in ("train", "test", "run", "models")}
    for patient, place in {"patient_a": "train", "patient_b": "test", "patient_c": "test"}.items():
        shutil.copytree(tiny_cases / patient, places[place] / patient)
    assert script(bundled_student, **places)[0] == 0
    student = tmp_path / "models" / f"{bundled_student.NAME}.safetensors"
    card = read_card(student)
    assert card["name"] == bundled_student.NAME and card["network"] == "gatedfusion"
    scores = card["evaluation"]
    assert (scores["cases"], scores["left_out"]) == (1, 1), "one has two of the sequences"
    assert student.with_suffix(".md").read_text("utf-8").startswith("#")
    before, stages = student.read_bytes(), log(tmp_path / "run")
    assert script(bundled_student, **places)[0] == 0
    assert student.stat().st_size == len(before) and log(tmp_path / "run") == stages
    monkeypatch.setattr(bundled_student, "SETTINGS", {**changed, "epochs": 2})
    code, told = script(bundled_student, **places)
    assert code == 2 and "other settings" in told


def test_a_cross_validation_that_cannot_be_used_is_told_before_the_training(
    script: Script, tiny_cases: Path, tmp_path: Path
) -> None:
    folds = tmp_path / "folds"
    folds.mkdir()
    places = {"train": tiny_cases, "test": tiny_cases, "run": tmp_path / "run", "models": tmp_path / "models"}
    code, told = script(bundled_student, cross_validation=folds, **places)
    assert code == 2 and "holds no selection.json" in told
    assert list(tmp_path.iterdir()) == [folds]


def test_a_cross_validation_that_does_not_fit_is_told_before_the_training(
    script: Script, tiny_cases: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folds, model = tmp_path / "folds", tmp_path / "fold.safetensors"
    monkeypatch.setattr(bundled_student, "FACTS", {**bundled_student.FACTS, "window": [32, 32, 32]})
    network = small_network("gatedfusion")
    Student(network, {**bundled_student.FACTS, "training": {"recipe": bundled_student.RECIPE}}).save(model)
    evaluate_folder(model, tiny_cases, folds / "evaluation", cases=["patient_c"])
    monkeypatch.setattr(bundled_student, "begin", lambda *_, **__: pytest.fail("it trains"))
    recipe = {"network.width": 8, "network.blocks": [1, 1]}
    places = {"train": tiny_cases, "test": tiny_cases, "run": tmp_path / "run", "models": tmp_path / "models"}
    for settings, chosen, reason in (
        ({}, {}, "is one of models with network."),
        (recipe, {"min_component_voxels": 50}, "with min_component_voxels none"),
    ):
        monkeypatch.setattr(bundled_student, "SETTINGS", {**bundled_student.SETTINGS, **settings})
        monkeypatch.setattr(selection, "read_selection", lambda run, chosen=chosen: {"chosen": chosen})
        code, told = script(bundled_student, cross_validation=folds, **places)
        assert code == 2 and reason in told
        assert not places["run"].exists() and not places["models"].exists()
