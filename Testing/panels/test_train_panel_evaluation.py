"""The panel's section Evaluate and export: where the student goes, and what is shown of its scores."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import slicer
from matplotlib.image import imsave

from event_loop import run_events
from MissingModalityLib.inference.locations import user_models
from MissingModalityLib.inference.student import Student
from MissingModalityLib.training.plan import make_plan
from small_cases import PATIENTS, write_patients
from small_networks import write_student
from train_panel import choose, choose_item, new_panel, opened_panel, write_run

SCORES = {"WT": 0.8, "TC": 0.6, "ET": 0.4}
SUBSET = {
    "subset": "FLAIR+T2",
    "cases": 3,
    "dice": SCORES,
    "dice_std": {"WT": 0.01, "TC": 0.02, "ET": None},
    "hd95": {"WT": 5.0, "TC": 6.0, "ET": 7.0},
    "hd95_std": {"WT": 1.0, "TC": 1.5, "ET": 2.0},
}
EVALUATION = {
    "subsets": [SUBSET],
    "averages": {"all": {"dice": SCORES}},
    "cases": [1, 2, 3],
    "seen": [],
    "warnings": [],
}


@pytest.fixture
def panel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("MISSINGMODALITY_MODELS", str(tmp_path / "own models"))
    with opened_panel(tmp_path) as panel:
        yield panel


def finish(panel: Any) -> None:
    run_events(lambda: panel.ui.evaluationCancelButton.isHidden(), 300)


def table() -> list[list[str]]:
    node = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLTableNode")
    columns = range(node.GetNumberOfColumns())
    rows = [[node.GetCellText(row, column) for column in columns] for row in range(node.GetNumberOfRows())]
    return [[node.GetColumnName(column) for column in columns], *rows]


def test_the_student_is_named_after_its_run_where_the_other_panel_looks(panel: Any, tmp_path: Path) -> None:
    choose(panel, run=tmp_path / "first")
    assert panel.ui.studentPathEdit.currentPath == str(tmp_path / "own models" / "first.safetensors")
    choose(panel, run=tmp_path / "second")
    assert panel.ui.studentPathEdit.currentPath == str(tmp_path / "own models" / "second.safetensors")
    choose(panel, student=tmp_path / "mine.safetensors")
    choose(panel, run=tmp_path / "third")
    assert panel.ui.studentPathEdit.currentPath == str(tmp_path / "mine.safetensors")
    assert not (tmp_path / "own models").exists(), "made when something is written"


def test_export_needs_the_right_ending(panel: Any, tmp_path: Path) -> None:
    choose(panel, run=write_run(tmp_path / "run"), student=tmp_path / "out.pt")
    assert "ending in .safetensors" in panel.ui.exportButton.toolTip


def test_export_makes_the_folder_and_tells_where(
    panel: Any, tmp_path: Path, replaced_process: Callable[[str], None]
) -> None:
    choose(panel, run=write_run(tmp_path / "run"))
    path = user_models() / "run.safetensors"
    result = json.dumps({"event": "result", "result": {"output": str(path)}})
    replaced_process(f"echo \"$*\" > '{tmp_path}/said'; echo '{result}'")
    panel.ui.exportButton.click()
    finish(panel)
    assert str(path) in panel.ui.evaluationStatusLabel.text
    assert "lists it" in panel.ui.evaluationStatusLabel.text
    said = (tmp_path / "said").read_text()
    assert f"export --run {tmp_path / 'run'} --output {path} --name run" in said
    assert user_models().is_dir()


def test_an_existing_student_is_replaced_only_after_asking(
    panel: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    choose(panel, run=write_run(tmp_path / "run"), student=tmp_path / "mine.safetensors")
    (tmp_path / "mine.safetensors").write_text("old")
    asked = []
    monkeypatch.setattr(slicer.util, "confirmOkCancelDisplay", lambda text: asked.append(text))
    panel.ui.exportButton.click()
    assert len(asked) == 1 and str(tmp_path / "mine.safetensors") in asked[0]
    assert panel.ui.evaluationCancelButton.isHidden()
    assert (tmp_path / "mine.safetensors").read_text() == "old"


def test_a_folder_of_models_that_cannot_be_written_to_is_told(
    panel: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("MISSINGMODALITY_MODELS", str(tmp_path / "file" / "models"))
    choose(panel, run=write_run(tmp_path / "run"))
    panel.ui.exportButton.click()
    assert str(tmp_path / "file") in panel.ui.evaluationStatusLabel.text
    assert panel.ui.exportButton.enabled


def test_evaluation_becomes_a_table_and_a_picture(
    panel: Any, tmp_path: Path, replaced_process: Callable[[str], None]
) -> None:
    run, picture = write_run(tmp_path / "run"), tmp_path / "run" / "evaluation" / "heatmap.png"
    choose_item(panel.ui.resectionCavitySelector, "core")
    assert panel.ui.evaluateButton.toolTip.startswith("Export the model file first.")
    (tmp_path / "test").mkdir()
    student = write_student(tmp_path / "s.safetensors")
    choose(panel, run=run, student=student, evaluation=tmp_path / "test")
    example = tmp_path / "example.png"
    imsave(example, np.zeros((4, 4, 3)))
    result = json.dumps({"event": "result", "result": EVALUATION})
    copying = f"mkdir '{picture.parent}'; cp '{example}' '{picture}'"
    replaced_process(f"echo \"$*\" > '{tmp_path}/said'; {copying}; echo '{result}'")
    assert panel.ui.heatmapLabel.isHidden()
    panel.ui.evaluateButton.click()
    finish(panel)
    said = (tmp_path / "said").read_text()
    assert f"evaluate --student {student} --data {tmp_path / 'test'} --output {picture.parent}" in said
    assert "--store" in said
    assert "--resection-cavity background" in said, "the run's rule, not that of the next training"
    head, row = table()
    assert head[:4] == ["Subset", "Cases", "WT Dice", "WT Dice SD"]
    scores = "0.8 0.01 0.6 0.02 0.4 nan 5 1 6 1.5 7 2"
    assert row == ["FLAIR+T2", "3", *scores.split()]
    assert panel.ui.evaluationStatusLabel.text == (
        "s.safetensors: cases evaluated: 3. Mean Dice over all subsets: WT 0.80, TC 0.60, ET 0.40."
    )
    assert not panel.ui.heatmapLabel.pixmap.isNull()
    assert not panel.ui.heatmapLabel.isHidden()
    shutil.rmtree(picture.parent)
    panel.ui.evaluateButton.click()
    finish(panel)
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLTableNode") == 1


def test_scores_of_a_cross_validation_are_not_replaced(panel: Any, tmp_path: Path) -> None:
    student = write_student(tmp_path / "s.safetensors")
    folds = tmp_path / "folds"
    fold = write_run(folds / "fold0", folds=2, fold=0)
    choose(panel, run=write_run(tmp_path / "run"), student=student, evaluation=tmp_path)
    assert panel.ui.evaluateButton.enabled
    for run in (folds, fold):
        choose(panel, run=run)
        assert "would replace the scores of a cross-validation" in panel.ui.evaluateButton.toolTip
        assert not panel.ui.evaluateButton.enabled


def test_scores_on_the_training_cases_are_called_flattering(
    panel: Any, tmp_path: Path, replaced_process: Callable[[str], None]
) -> None:
    (tmp_path / "cases").mkdir()
    student = write_student(tmp_path / "s.safetensors")
    choose(panel, data=tmp_path / "cases", run=write_run(tmp_path / "run"), student=student)
    warnings = [{"case": "a", "warning": "Its label lies on air."}]
    flattered = {**EVALUATION, "seen": ["a", "b"], "warnings": warnings}
    result = json.dumps({"event": "result", "result": flattered})
    replaced_process(f"echo '{result}'")
    panel.ui.evaluateButton.click()
    finish(panel)
    said = panel.ui.evaluationStatusLabel.text
    assert "was trained on 2 of these cases, so the scores flatter it; they were not stored" in said
    assert said.endswith("\nWarning: a: Its label lies on air.")


def stranger(folder: Path) -> Path:
    """A folder with one case that no training has seen."""
    (case,) = write_patients(folder, list(PATIENTS)[:1], first_seed=100).iterdir()
    for path in (*case.iterdir(), case):
        path.rename(path.with_name(path.name.replace(case.name, "stranger")))
    return folder


@pytest.mark.slow
def test_a_whole_training_from_the_folder_to_the_evaluated_student(panel: Any, tmp_path: Path) -> None:
    """As a researcher clicks through it, with the quick preset and real processes."""
    cases = write_patients(tmp_path / "cases")
    run = tmp_path / "run"
    choose(panel, data=cases, run=run, evaluation=stranger(tmp_path / "test"))
    panel.ui.deviceSelector.setCurrentIndex(1)
    panel.ui.startButton.click()
    run_events((run / "log.jsonl").is_file, 900)
    panel.ui.pauseButton.click()
    run_events(lambda: panel.ui.trainingStatusLabel.text.startswith("Paused."), 60)
    panel.cleanup()
    panel = new_panel()
    assert panel.training.alive and panel.ui.runPathEdit.currentPath == str(run)
    run_events(lambda: panel.ui.trainingStatusLabel.text.startswith("Paused."), 60)
    panel.ui.resumeButton.click()
    panel.ui.stopButton.click()
    assert panel.ui.trainingStatusLabel.text.startswith("Stopped.")
    panel.ui.deviceSelector.setCurrentIndex(1)
    panel.ui.resumeButton.click()
    run_events(lambda: "Training has ended" in panel.ui.trainingStatusLabel.text, 1800)
    plots = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLTableNode")
    assert plots.GetNumberOfRows() == make_plan(preset="quick").stages["train"].epochs
    panel.ui.exportButton.click()
    finish(panel)
    (student,) = user_models().glob("*.safetensors")
    assert Student.load(student).card["name"] == "run"
    choose(panel, evaluation=tmp_path / "test")
    panel.ui.evaluateButton.click()
    run_events(lambda: panel.ui.evaluationCancelButton.isHidden(), 900)
    assert "cases evaluated: 1." in panel.ui.evaluationStatusLabel.text
    assert not panel.ui.heatmapLabel.isHidden()
    assert len(Student.load(student).card["evaluation"]["subsets"]) == 15
    panel.cleanup()
