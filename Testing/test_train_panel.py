"""The training panel in real Qt (no screen), with real child processes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import slicer

import slicer_standin
from child_process import replace_process
from MissingModalityLib.student import Student
from MissingModalityLib.training.recipes import NETWORKS, RECIPES, make_plan
from small_patient import brain_volume

train = slicer_standin.load_module("MissingModalityTrain")


@pytest.fixture
def panel() -> Iterator[Any]:
    slicer_standin.new_scene()
    widget = train.MissingModalityTrainWidget(slicer_standin.module_area())
    widget.setup()
    widget.enter()
    yield widget
    widget.cleanup()


@pytest.fixture
def replaced_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], None]:
    return lambda script: replace_process(monkeypatch, tmp_path, script)


def write_cases(folder: Path, count: int = 2) -> Path:
    """Cases in the layout of BraTS 2021, one without T2."""
    for number in range(count):
        name = f"Case_{number}"
        (folder / name).mkdir(parents=True)
        for seed, kind in enumerate(("flair", "t1ce", "t1", "t2")[: 4 - number % 2]):
            sitk.WriteImage(brain_volume(seed), str(folder / name / f"{name}_{kind}.nii.gz"))
        brain = sitk.GetArrayFromImage(brain_volume()) > 0
        label = np.zeros(brain.shape, np.uint8)
        for value, half in ((2, 7), (1, 5), (4, 3)):
            label[16 - half : 16 + half, 18 - half : 18 + half, 20 - half : 20 + half] = value
        image = sitk.GetImageFromArray(label * brain)
        image.CopyInformation(brain_volume())
        sitk.WriteImage(image, str(folder / name / f"{name}_seg.nii.gz"))
    return folder


def run_events(until: Callable[[], bool], seconds: float = 90) -> None:
    """Let the event loop turn until a condition holds."""
    deadline = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < deadline, "nothing happened in time"
        slicer.app.processEvents()
        time.sleep(0.01)


def choose(panel: Any, **paths: Path) -> None:
    for name, path in paths.items():
        getattr(panel.ui, f"{name}PathEdit").setCurrentPath(str(path))


def is_idle(panel: Any) -> bool:
    return not panel.ui.cancelButton.enabled


def test_panel_opens_with_every_button_explained(panel: Any) -> None:
    for button in (panel.ui.startButton, panel.ui.resumeButton, panel.ui.exportButton):
        assert not button.enabled
        assert button.toolTip
    assert "Choose the folder of cases." in panel.ui.startButton.toolTip


def test_every_recipe_can_be_chosen_and_is_kept_in_the_scene(panel: Any) -> None:
    selector = panel.ui.recipeSelector
    assert [selector.itemText(index) for index in range(selector.count)] == list(RECIPES)
    selector.setCurrentIndex(1)
    panel.ui.presetSelector.setCurrentIndex(1)
    state = panel.logic.getParameterNode()
    assert state.recipe == list(RECIPES)[1]
    assert state.preset.value == "paper"


def test_every_network_can_be_chosen_and_is_kept_in_the_scene(panel: Any) -> None:
    assert [network.value for network in train.Network] == list(NETWORKS)
    assert panel.ui.networkSelector.count == len(NETWORKS)
    panel.ui.networkSelector.setCurrentIndex(1)
    assert panel.logic.getParameterNode().network.value == list(NETWORKS)[1]


def test_start_needs_data_and_a_fresh_run_folder(panel: Any, tmp_path: Path) -> None:
    choose(panel, data=tmp_path)
    assert panel.ui.startButton.toolTip == "Choose a run folder."
    choose(panel, run=tmp_path / "run")
    assert panel.ui.startButton.enabled
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "checkpoint.pt").touch()
    choose(panel, student=tmp_path / "out.safetensors")
    assert not panel.ui.startButton.enabled
    assert "resume it" in panel.ui.startButton.toolTip
    assert panel.ui.resumeButton.enabled
    assert panel.ui.exportButton.enabled


def test_export_needs_the_right_ending(panel: Any, tmp_path: Path) -> None:
    (tmp_path / "checkpoint.pt").touch()
    choose(panel, run=tmp_path, student=tmp_path / "out.pt")
    assert panel.ui.exportButton.toolTip == "Choose a student file ending in .safetensors."


def test_resume_needs_no_data_folder(
    panel: Any, tmp_path: Path, replaced_process: Callable[[str], None]
) -> None:
    replaced_process('echo "arguments: $*"')
    (tmp_path / "checkpoint.pt").touch()
    choose(panel, run=tmp_path)
    panel.ui.resumeButton.click()
    run_events(lambda: is_idle(panel))
    said = panel.ui.logText.plainText
    assert "--resume" in said and "--data" not in said


def test_start_passes_the_choices_on_and_shows_progress(
    panel: Any, tmp_path: Path, replaced_process: Callable[[str], None]
) -> None:
    line = (
        '{"event": "progress", "stage": "train", "step": 3, "total": 40, "message": "epoch 1 of 4", '
        '"values": {"loss": 0.5}}'
    )
    replaced_process(f"echo '{line}'; echo \"arguments: $*\"; exec sleep 60")
    choose(panel, data=tmp_path, run=tmp_path / "run")
    panel.ui.recipeSelector.setCurrentIndex(panel.ui.recipeSelector.findData("aem-kd"))
    panel.ui.networkSelector.setCurrentIndex(1)
    panel.ui.deviceSelector.setCurrentIndex(1)
    panel.ui.startButton.click()
    assert not panel.ui.startButton.enabled
    run_events(lambda: panel.ui.progressBar.value == 3)
    assert panel.ui.statusLabel.text == "train 3/40, epoch 1 of 4, loss 0.5"
    assert panel.ui.progressBar.maximum == 40
    panel.ui.cancelButton.click()
    assert panel.ui.statusLabel.text == "Canceled. Resume goes on after the last whole epoch."
    log = panel.ui.logText.plainText
    assert "epoch 1 of 4" in log
    expected = f"train --data {tmp_path} --output {tmp_path / 'run'} --recipe aem-kd --network rfnet"
    assert f"{expected} --preset quick --seed 0 --device cpu --progress json" in log
    assert panel.ui.startButton.enabled


def test_failure_is_told_and_the_panel_is_ready_again(
    panel: Any, tmp_path: Path, replaced_process: Callable[[str], None]
) -> None:
    replaced_process('echo "missing-modality: error: no case here" >&2; exit 2')
    choose(panel, data=tmp_path, run=tmp_path / "run")
    panel.ui.startButton.click()
    run_events(lambda: is_idle(panel))
    assert panel.ui.statusLabel.text == "no case here"
    assert panel.ui.startButton.enabled


def test_training_goes_on_when_the_scene_is_closed(
    panel: Any, tmp_path: Path, replaced_process: Callable[[str], None]
) -> None:
    replaced_process("exec sleep 60")
    choose(panel, data=tmp_path, run=tmp_path / "run")
    panel.ui.startButton.click()
    slicer.mrmlScene.Clear(0)
    assert panel.ui.cancelButton.enabled
    panel.ui.cancelButton.click()
    assert is_idle(panel)


def test_self_test_of_the_module_passes() -> None:
    train.MissingModalityTrainTest().runTest()


def test_module_describes_itself() -> None:
    parent = SimpleNamespace()
    train.MissingModalityTrain(parent)
    assert parent.dependencies == ["MissingModalitySeg"]
    assert "not a medical device" in parent.helpText


@pytest.mark.slow
def test_train_cancel_resume_and_export_give_a_student(panel: Any, tmp_path: Path) -> None:
    choose(
        panel,
        data=write_cases(tmp_path / "cases"),
        run=tmp_path / "run",
        student=tmp_path / "student.safetensors",
    )
    panel.ui.deviceSelector.setCurrentIndex(1)
    panel.ui.startButton.click()
    run_events((tmp_path / "run" / "checkpoint.pt").is_file, 600)
    panel.ui.cancelButton.click()
    assert panel.ui.resumeButton.enabled
    panel.ui.resumeButton.click()
    run_events(lambda: is_idle(panel), 900)
    assert panel.ui.statusLabel.text == "Training has ended. Export writes the student file."
    panel.ui.exportButton.click()
    run_events(lambda: is_idle(panel), 120)
    student = Student.load(tmp_path / "student.safetensors")
    assert student.card["training"]["epochs_done"] == make_plan().stages["train"].epochs
