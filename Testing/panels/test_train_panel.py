"""The training panel in real Qt (no screen): what holds for all of it, and its section Data."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import slicer

import slicer_standin
from event_loop import run_events
from MissingModalityLib.core.labels import CONVENTIONS
from MissingModalityLib.datasets.discovery import find_cases
from MissingModalityLib.datasets.splitting import split_cases
from small_cases import write_patients
from train_panel import choose, choose_item, look, opened_panel, texts, train


@pytest.fixture
def panel(tmp_path: Path) -> Iterator[Any]:
    with opened_panel(tmp_path) as panel:
        yield panel


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four patients; the label of one is gone, and there is a file that is no volume."""
    folder = write_patients(tmp_path_factory.mktemp("data with spaces") / "Fälle")
    (folder / "patient_d" / "patient_d_seg.nii.gz").unlink()
    (folder / "notes.txt").touch()
    return folder


BUTTONS = (
    *("look", "preview", "generate", "start", "pause", "resume", "stop", "plots", "export", "evaluate"),
)


def test_panel_opens_with_every_button_explained(panel: Any) -> None:
    for name in BUTTONS:
        button = getattr(panel.ui, f"{name}Button")
        assert not button.enabled, name
        assert button.toolTip, name
    assert "Choose the folder of cases." in panel.ui.startButton.toolTip


def test_all_state_lives_in_the_parameter_node(panel: Any, tmp_path: Path) -> None:
    choose(panel, data=tmp_path, synthesis=tmp_path / "s", evaluation=tmp_path / "e", run=tmp_path / "r")
    panel.ui.validationSpinBox.setValue(30)
    panel.ui.seedSpinBox.setValue(5)
    panel.ui.blendSpinBox.setValue(1.5)
    panel.ui.clipCheckBox.setChecked(True)
    panel.ui.factorSpinBox.setValue(8)
    panel.ui.modalitySelector.setCurrentIndex(3)
    choose_item(panel.ui.conventionSelector, "brats2023")
    state = panel.logic.getParameterNode()
    assert (state.dataPath, state.runPath) == (str(tmp_path), str(tmp_path / "r"))
    assert (state.synthesisPath, state.evaluationPath) == (str(tmp_path / "s"), str(tmp_path / "e"))
    assert (state.validationPercent, state.seed, state.blend, state.clip) == (30, 5, 1.5, True)
    assert (state.factor, state.modality, state.convention) == (8, "T2", "brats2023")


def test_closing_the_scene_resets_the_panel(panel: Any, cases: Path) -> None:
    look(panel, cases)
    panel.ui.seedSpinBox.setValue(5)
    choose_item(panel.ui.recipeSelector, "aem-kd")
    slicer.mrmlScene.Clear(0)
    assert panel.ui.seedSpinBox.value == 0
    assert panel.ui.dataPathEdit.currentPath == ""
    assert panel.ui.recipeSelector.currentText == "baseline"
    assert panel.ui.casesTable.rowCount == 0
    assert panel.ui.recipientSelector.count == 0


def test_a_saved_scene_brings_the_choices_back(panel: Any, tmp_path: Path) -> None:
    paths = {"data": "cases", "run": "r", "synthesis": "s", "evaluation": "e", "student": "s.safetensors"}
    choose(panel, **{name: tmp_path / path for name, path in paths.items()})
    choose_item(panel.ui.conventionSelector, "brats2023")
    choose_item(panel.ui.recipeSelector, "aem")
    panel.ui.presetSelector.setCurrentIndex(1)
    panel.ui.stagesTable.cellWidget(0, 1).setValue(33)
    slicer.mrmlScene.SetURL(str(tmp_path / "scene.mrml"))
    assert slicer.mrmlScene.Commit()
    slicer.mrmlScene.Clear(0)
    assert panel.ui.recipeSelector.currentText == "baseline"
    slicer.mrmlScene.SetURL(str(tmp_path / "scene.mrml"))
    slicer.mrmlScene.Connect()
    panel.enter()
    for name, path in paths.items():
        assert getattr(panel.ui, f"{name}PathEdit").currentPath == str(tmp_path / path), name
    state = panel.logic.getParameterNode()
    assert (state.convention, state.recipe, state.runPath) == ("brats2023", "aem", str(tmp_path / "r"))
    assert panel.ui.recipeSelector.currentText == "aem"
    assert panel.ui.presetSelector.currentIndex == 1
    assert panel.ui.stagesTable.cellWidget(0, 1).value == 33


def test_look_lists_cases_skipped_files_and_the_split_of_the_training(panel: Any, cases: Path) -> None:
    look(panel, cases)
    rows = {row[0]: row[1:] for row in texts(panel.ui.casesTable)}
    assert rows["patient_a"][1:] == ["FLAIR, T1ce, T1, T2", "yes", "brats2021", "brats2021"]
    assert rows["patient_c"][1] == "FLAIR, T1ce"
    assert rows["patient_d"][2] == "no" and rows["patient_d"][0] == "left out: no label"
    reason = "not a volume (.nii.gz, .nii, .mha, .mhd, .nrrd, .nhdr)"
    assert texts(panel.ui.skippedTable) == [["notes.txt", reason]]
    labeled, _ = find_cases(cases).labeled()
    for percent, seed in ((10, 0), (60, 3), (0, 0)):
        panel.ui.validationSpinBox.setValue(percent)
        panel.ui.seedSpinBox.setValue(seed)
        held_out = {case.name for case in split_cases(labeled, percent / 100, seed)[1]}
        shown = {row[0] for row in texts(panel.ui.casesTable) if row[1] == "validation"}
        assert shown == held_out
    assert panel.ui.dataStatusLabel.text == (
        "Cases: 4 (to train on: 3, held out to validate on: 0, without a label: 1). Skipped files: 1."
    )


def test_names_that_some_system_takes_for_one_are_told(
    panel: Any, tmp_path: Path, replaced_process: Callable[[str], None]
) -> None:
    case = {"name": "a", "patient": "a", "modalities": ["T1"], "label": True, "layout": "brats2021"}
    listing = {"cases": [{**case, "convention": "brats2021"}], "skipped": [], "warnings": ["Two are one."]}
    replaced_process(f"echo '{json.dumps({'event': 'result', 'result': listing})}'")
    look(panel, tmp_path)
    assert panel.ui.dataStatusLabel.text.endswith("\nWarning: Two are one.")


def test_the_label_numbers_can_be_chosen(panel: Any, cases: Path) -> None:
    selector = panel.ui.conventionSelector
    assert [selector.itemData(index) for index in range(selector.count)] == ["", *CONVENTIONS]
    choose_item(selector, "brats2023")
    look(panel, cases)
    assert {row[5] for row in texts(panel.ui.casesTable)} == {"brats2023"}
    choose_item(selector, "")
    assert panel.ui.casesTable.rowCount == 0, "a list made with other choices is stale"


def test_a_folder_without_cases_is_told_by_name(panel: Any, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    look(panel, tmp_path / "empty")
    assert str(tmp_path / "empty") in panel.ui.dataStatusLabel.text
    assert panel.ui.casesTable.isHidden()


def test_a_look_can_be_canceled(panel: Any, tmp_path: Path, replaced_process: Callable[[str], None]) -> None:
    replaced_process("exec sleep 600")
    choose(panel, data=tmp_path)
    panel.ui.lookButton.click()
    assert not panel.ui.lookButton.enabled
    assert "being looked at" in panel.ui.lookButton.toolTip
    panel.ui.dataCancelButton.click()
    assert panel.ui.dataStatusLabel.text == "Canceled."
    assert panel.ui.lookButton.enabled


def test_cleanup_leaves_no_observer_and_no_process(
    panel: Any, tmp_path: Path, replaced_process: Callable[[str], None]
) -> None:
    replaced_process(f"touch '{tmp_path}/begun'; exec sleep 600")
    choose(panel, data=tmp_path)
    panel.ui.lookButton.click()
    run_events((tmp_path / "begun").exists)
    panel.cleanup()
    assert panel.Observations == []
    assert not panel.logic._timer.isActive()


def test_self_test_of_the_module_passes() -> None:
    train.MissingModalityTrain(slicer_standin.module_parent("MissingModalityTrain"))
    slicer.selfTests["MissingModalityTrain"]()


def test_module_describes_itself() -> None:
    parent = slicer_standin.module_parent("MissingModalityTrain")
    train.MissingModalityTrain(parent)
    assert parent.dependencies == ["MissingModalitySeg"]
    assert "not a medical device" in parent.helpText


def test_a_run_folder_is_read_only_while_somebody_looks(panel: Any) -> None:
    timer = panel.training._timer
    assert timer.isActive() and timer.interval() > 1000, "seldom, since nothing trains"
    panel.exit()
    assert not timer.isActive()
    panel.enter()
    assert timer.isActive()


def test_a_run_folder_that_takes_long_to_read_is_read_seldom(
    panel: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten seconds for each look, as on a network share that has gone."""
    clock = iter(range(0, 1000, 10))
    monitor = sys.modules["MissingModalityTrainLib.runmonitor"]
    monkeypatch.setattr(monitor, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    choose(panel, run=tmp_path)
    assert panel.training._timer.interval() == 200_000


def test_a_number_of_epochs_can_be_typed(panel: Any) -> None:
    box = panel.ui.stagesTable.cellWidget(0, 1)
    for typed in (1, 15, 150):
        box.setValue(typed)
        assert panel.ui.stagesTable.cellWidget(0, 1) is box, "a new one would take the keyboard away"
    assert json.loads(panel.logic.getParameterNode().stages)["epochs"] == {"train": 150}


def test_a_path_that_was_cleared_is_no_longer_used(panel: Any, tmp_path: Path) -> None:
    choose(panel, evaluation=tmp_path)
    assert panel.logic.getParameterNode().evaluationPath == str(tmp_path)
    choose(panel, evaluation="")
    assert panel.logic.getParameterNode().evaluationPath == ""


def test_numbers_cannot_leave_their_ranges(panel: Any) -> None:
    boxes = {"validation": (0, 90), "seed": (0, 999999), "blend": (0, 10), "factor": (2, 32)}
    for name, (least, most) in boxes.items():
        box = getattr(panel.ui, f"{name}SpinBox")
        box.setValue(-1)
        assert box.value == least
        box.setValue(10**7)
        assert box.value == most
