"""The panel's section Training: child processes that outlive it, plots, and what it says about both."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import slicer
from slicer.util import arrayFromTableColumn

from event_loop import run_events
from MissingModalityLib.runtime import background, lock
from train_panel import arguments, choose, choose_item, line, new_panel, opened_panel, start, train, write_run

RESULT = '{"event": "result", "result": {"output": "run"}}'
STEPS = "; ".join(f"echo '{line('train', step, 40, 'epoch 1 of 4')}'" for step in (2, 3))
WAITING = f"{STEPS}; exec sleep 600"


@pytest.fixture
def panel(tmp_path: Path) -> Iterator[Any]:
    with opened_panel(tmp_path) as panel:
        yield panel


@pytest.fixture
def errors(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What error windows have said."""
    shown: list[str] = []
    monkeypatch.setattr(slicer.util, "errorDisplay", lambda text, **_: shown.append(text))
    return shown


@pytest.fixture
def running(panel: Any, tmp_path: Path, replaced_process: Callable[[str], None]) -> Path:
    """The folder of a run that the panel has started, two epochs done and going on."""
    replaced_process(WAITING)
    start(panel, tmp_path)
    run = write_run(tmp_path / "run")
    run_events(says(panel, "train 3/40"))
    return run


def says(panel: Any, text: str) -> Callable[[], bool]:
    return lambda: text in panel.ui.trainingStatusLabel.text


def nodes(kind: str) -> list[Any]:
    count = slicer.mrmlScene.GetNumberOfNodesByClass(kind)
    return [slicer.mrmlScene.GetNthNodeByClass(index, kind) for index in range(count)]


def test_what_a_run_was_told_of_its_labels_stands_above_its_epochs(panel: Any, tmp_path: Path) -> None:
    warnings = [
        {"case": "a", "warning": "Its label lies on air."},
        {"case": "", "warning": "No case has a label ET."},
    ]
    choose(panel, run=write_run(tmp_path / "run", warnings=warnings))
    assert panel.ui.logText.plainText.splitlines()[1:3] == [
        "Warning: a: Its label lies on air.",
        "Warning: No case has a label ET.",
    ]


def test_a_finished_run_can_be_exported_but_not_resumed(panel: Any, tmp_path: Path) -> None:
    choose(panel, run=write_run(tmp_path / "run", epochs=4, finished=True))
    assert "Training has ended" in panel.ui.trainingStatusLabel.text
    assert not panel.ui.resumeButton.enabled and "over" in panel.ui.resumeButton.toolTip
    made = "recipe aem, network rfnet, preset quick, cases 3, of them held out 1"
    assert panel.ui.logText.plainText.startswith(made)
    assert panel.ui.exportButton.enabled


def test_resume_needs_no_data_folder(
    panel: Any, tmp_path: Path, replaced_process: Callable[[str], None]
) -> None:
    replaced_process('echo "arguments: $*" >&2')
    choose(panel, run=write_run(tmp_path / "run"))
    panel.ui.resumeButton.click()
    run_events(lambda: not panel.training.alive)
    said = arguments(tmp_path / "run")
    assert "--resume" in said and "--data" not in said and "--set" not in said


def test_start_passes_the_choices_on_and_shows_progress(
    panel: Any, tmp_path: Path, replaced_process: Callable[[str], None]
) -> None:
    replaced_process(f'echo "arguments: $*" >&2; {WAITING}')
    choose_item(panel.ui.recipeSelector, "aem-kd")
    choose_item(panel.ui.networkSelector, "rfnet")
    panel.ui.deviceSelector.setCurrentIndex(1)
    start(panel, tmp_path)
    assert not panel.ui.startButton.enabled
    assert f"A training is running in {tmp_path / 'run'}." in panel.ui.startButton.toolTip
    write_run(tmp_path / "run", epochs=2)
    run_events(lambda: panel.ui.trainingProgressBar.value == 20)
    assert panel.ui.trainingProgressBar.maximum == 40
    text = "train 3/40, epoch 1 of 4, loss 0.5, about 40 s left"
    run_events(says(panel, text))
    expected = f"train --data {tmp_path} --output {tmp_path / 'run'} --recipe aem-kd --network rfnet"
    said = arguments(tmp_path / "run")
    assert f"{expected} --preset quick --seed 0 --device cpu --progress json" in said
    assert "train, epoch 2: loss 0.5000, FLAIR WT 0.50" in panel.ui.logText.plainText


def test_loss_and_dice_are_plotted_while_it_trains(
    panel: Any, tmp_path: Path, replaced_process: Callable[[str], None]
) -> None:
    replaced_process(WAITING)
    start(panel, tmp_path)
    write_run(tmp_path / "run", epochs=1)
    run_events(lambda: nodes("vtkMRMLTableNode")[0].GetNumberOfRows() == 1)
    write_run(tmp_path / "run", epochs=3)
    run_events(lambda: nodes("vtkMRMLTableNode")[0].GetNumberOfRows() == 3)
    loss, dice = nodes("vtkMRMLTableNode")
    assert arrayFromTableColumn(loss, "train").tolist() == pytest.approx([1, 1 / 2, 1 / 3])
    assert arrayFromTableColumn(dice, "Epoch").tolist() == [3]
    scores = [arrayFromTableColumn(dice, region)[0] for region in ("WT", "TC", "ET")]
    assert scores == pytest.approx([0.6, 0.4, 0.3])
    charts = nodes("vtkMRMLPlotChartNode")
    assert [chart.GetNumberOfPlotSeriesNodes() for chart in charts] == [1, 3]
    views = [view for view in nodes("vtkMRMLPlotViewNode") if view.GetSingletonTag().startswith("Missing")]
    assert [view.GetPlotChartNodeID() for view in views] == [chart.GetID() for chart in charts]
    series = charts[1].GetNthPlotSeriesNode(0)
    assert (series.GetTableNode(), series.GetYColumnName()) == (dice, "WT")


def test_plots_come_back_after_the_scene_was_closed(
    panel: Any, tmp_path: Path, replaced_process: Callable[[str], None]
) -> None:
    replaced_process(WAITING)
    start(panel, tmp_path)
    write_run(tmp_path / "run", epochs=2)
    run_events(lambda: nodes("vtkMRMLTableNode")[0].GetNumberOfRows() == 2)
    slicer.mrmlScene.Clear(0)
    assert panel.training.alive
    assert panel.ui.runPathEdit.currentPath == str(tmp_path / "run"), "the run outlives the scene"
    run_events(lambda: len(nodes("vtkMRMLTableNode")) == 2)
    assert nodes("vtkMRMLTableNode")[0].GetNumberOfRows() == 2
    panel.ui.plotsButton.click()
    assert len(nodes("vtkMRMLPlotChartNode")) == 2


def test_pause_resume_and_stop_say_what_they_mean(panel: Any, running: Path) -> None:
    panel.ui.pauseButton.click()
    run_events(says(panel, "Paused. Stage train: epochs done: 2. The process keeps its memory"))
    assert "paused already" in panel.ui.pauseButton.toolTip
    assert "where it was paused" in panel.ui.resumeButton.toolTip
    process = psutil.Process(background.find(running).pid)
    panel.ui.resumeButton.click()
    run_events(says(panel, "train 3/40"))
    assert process.is_running() and process.status() != psutil.STATUS_STOPPED
    panel.ui.stopButton.click()
    assert panel.ui.trainingStatusLabel.text.startswith("Stopped. Stage train: epochs done: 2.")
    assert not process.is_running()
    assert panel.ui.resumeButton.enabled and not panel.ui.stopButton.enabled


def test_stop_before_anything_is_trained_leaves_start(
    panel: Any, tmp_path: Path, replaced_process: Callable[[str], None]
) -> None:
    replaced_process(f"echo '{line('prepare', 1, 3, 'patient_b')}'; exec sleep 600")
    start(panel, tmp_path)
    run_events(says(panel, "Preparing the cases 1/3, patient_b"))
    assert (panel.ui.trainingProgressBar.value, panel.ui.trainingProgressBar.maximum) == (1, 3)
    panel.ui.stopButton.click()
    assert panel.ui.trainingStatusLabel.text.startswith("Stopped. Nothing is trained yet")
    assert panel.ui.startButton.enabled and not panel.ui.resumeButton.enabled


def test_a_killed_process_is_told_and_can_be_resumed(panel: Any, running: Path, errors: list[str]) -> None:
    psutil.Process(background.find(running).pid).kill()
    run_events(says(panel, "ended from outside: by the system, often because memory ran out"))
    assert "Resume goes on from there" in panel.ui.trainingStatusLabel.text
    assert len(errors) == 1
    panel.ui.resumeButton.click()
    run_events(says(panel, "train 3/40"))


def test_failure_is_told_and_the_panel_is_ready_again(
    panel: Any, tmp_path: Path, replaced_process: Callable[[str], None], errors: list[str]
) -> None:
    replaced_process('echo "missing-modality: error: no case here" >&2; exit 2')
    start(panel, tmp_path)
    run_events(says(panel, "no case here"))
    run_events(lambda: errors)
    assert errors[0].startswith("no case here")
    assert "no case here" in panel.ui.logText.plainText
    assert panel.ui.startButton.enabled


def test_a_run_folder_that_was_removed_is_told(panel: Any, running: Path, errors: list[str]) -> None:
    shutil.rmtree(running)
    psutil.Process(panel.training._monitor._process.pid).kill()
    run_events(says(panel, "The run folder is not there any more"))
    assert "memory" not in panel.ui.trainingStatusLabel.text
    assert len(errors) == 1 and "not there any more" in errors[0]
    assert panel.ui.startButton.enabled and not panel.ui.resumeButton.enabled


def test_a_run_that_cannot_be_read_does_not_pass_for_one_of_no_epoch(panel: Any, tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    (run / "run.json").write_text("{")
    choose(panel, data=tmp_path, run=run)
    assert panel.ui.trainingStatusLabel.text.startswith("What the run folder says of its training cannot be")


def test_a_run_folder_that_cannot_be_written_to_is_told(
    panel: Any, tmp_path: Path, errors: list[str]
) -> None:
    (tmp_path / "file").touch()
    choose(panel, data=tmp_path, run=tmp_path / "file" / "run")
    panel.ui.startButton.click()
    assert "Choose a folder that you can write to" in panel.ui.trainingStatusLabel.text
    assert len(errors) == 1
    assert panel.ui.startButton.enabled


def test_a_new_panel_finds_the_training_again(panel: Any, running: Path) -> None:
    panel.cleanup()
    assert background.find(running).alive, "closing the application does not end it"
    slicer.mrmlScene.Clear(0)
    other = new_panel()
    assert other.ui.runPathEdit.currentPath == str(running)
    assert other.training.alive
    assert says(other, "train 3/40")()
    other.ui.stopButton.click()
    assert not other.training.alive
    other.cleanup()


def test_a_training_that_still_prepares_is_found_too(
    panel: Any, tmp_path: Path, replaced_process: Callable[[str], None]
) -> None:
    replaced_process(f"echo '{line('prepare', 1, 3, 'patient_b')}'; exec sleep 600")
    start(panel, tmp_path)
    panel.cleanup()
    slicer.mrmlScene.Clear(0)
    other = new_panel()
    run_events(says(other, "Preparing the cases 1/3"))
    other.ui.stopButton.click()
    other.cleanup()


def test_closing_ends_the_training_where_the_user_has_said_so(
    panel: Any, tmp_path: Path, replaced_process: Callable[[str], None]
) -> None:
    assert not panel.ui.stopOnExitCheckBox.checked
    panel.ui.stopOnExitCheckBox.setChecked(True)
    replaced_process(WAITING)
    start(panel, tmp_path)
    run_events(says(panel, "train 3/40"))
    panel.cleanup()
    assert not background.find(tmp_path / "run").alive
    other = new_panel()
    assert other.ui.stopOnExitCheckBox.checked, "the choice is the user's, not the scene's"
    other.cleanup()


def test_another_folder_cannot_be_chosen_while_a_training_runs(
    panel: Any, tmp_path: Path, replaced_process: Callable[[str], None]
) -> None:
    replaced_process(WAITING)
    start(panel, tmp_path)
    assert not panel.ui.runPathEdit.enabled
    panel.logic.getParameterNode().runPath = str(tmp_path / "other")  # a script, or a scene that was loaded
    assert panel.ui.runPathEdit.currentPath == str(tmp_path / "run")
    assert panel.training.alive


def test_a_training_of_another_program_is_noticed(
    panel: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "is_held", lambda run: True)
    choose(panel, data=tmp_path, run=write_run(tmp_path / "run"))
    assert "A program outside of this panel is training in this folder." in panel.ui.trainingStatusLabel.text
    for button in (panel.ui.startButton, panel.ui.resumeButton):
        assert "A program outside of this panel is training there." in button.toolTip
    assert not panel.ui.stopButton.enabled


def test_the_logic_starts_what_can_be_found_again(
    tmp_path: Path, replaced_process: Callable[[str], None]
) -> None:
    replaced_process(f"echo '{RESULT}'")
    training = train.MissingModalityTrainLogic().startTraining(tmp_path, tmp_path / "run", device="cpu")
    run_events(lambda: not training.alive)
    assert training.state is background.State.FINISHED
    assert background.find(tmp_path / "run").state is background.State.FINISHED
