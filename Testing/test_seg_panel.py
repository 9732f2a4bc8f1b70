"""The segmentation panel in real Qt (no screen), over real MRML, with real child processes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import slicer

import slicer_standin
from MissingModalityLib import mrml
from MissingModalityLib.segments import SEGMENTS
from small_patient import brain_volume, write_student

seg = slicer_standin.load_module("MissingModalitySeg")


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_student(tmp_path_factory.mktemp("students") / "tiny.safetensors")


@pytest.fixture(scope="module")
def slow_student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_student(tmp_path_factory.mktemp("students") / "slow.safetensors", window=16, overlap=0.9)


@pytest.fixture
def panel() -> Iterator[Any]:
    """The panel as it opens: in an empty scene."""
    slicer_standin.new_scene()
    widget = seg.MissingModalitySegWidget(slicer_standin.module_area())
    widget.setup()
    widget.enter()
    yield widget
    widget.cleanup()


def add_volumes(*names: str) -> list[Any]:
    return [
        mrml.add_volume(slicer.mrmlScene, brain_volume(number), name) for number, name in enumerate(names)
    ]


def choose_student(panel: Any, path: Path) -> None:
    panel.ui.studentSelector.setCurrentIndex(panel.ui.studentSelector.count - 1)
    panel.ui.studentPathEdit.setCurrentPath(str(path))


def run_events(until: Callable[[], bool], seconds: float = 90) -> None:
    """Let the event loop turn until a condition holds."""
    deadline = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < deadline, "nothing happened in time"
        slicer.app.processEvents()
        time.sleep(0.01)


def scene_state() -> list[tuple[str, str]]:
    nodes = slicer.mrmlScene.GetNodes()
    every = (nodes.GetItemAsObject(index) for index in range(nodes.GetNumberOfItems()))
    return [(node.GetID(), node.GetName()) for node in every]


def table_rows(panel: Any) -> list[tuple[str, str]]:
    table = panel.ui.volumesTable
    return [tuple(table.item(row, column).text() for column in (0, 1)) for row in range(table.rowCount)]


def test_panel_opens_with_apply_off_and_says_why(panel: Any) -> None:
    assert not panel.ui.applyButton.enabled
    assert "Choose at least one volume." in panel.ui.applyButton.toolTip
    assert not panel.ui.cancelButton.enabled
    assert "not a medical device" in panel.ui.noticeLabel.text


def test_every_selector_shows_scalar_volumes_only(panel: Any) -> None:
    add_volumes("FLAIR")
    slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "Mask")
    for name in ("flair", "t1ce", "t1", "t2"):
        selector = getattr(panel.ui, f"{name}Selector")
        assert [selector.itemText(index) for index in range(selector.count)] == ["None", "FLAIR"]


def test_detect_fills_the_selectors_and_tells_the_reason(panel: Any) -> None:
    t2, t1ce, flair = add_volumes("T2w TSE", "T1 post gd", "3: sag FLAIR")
    panel.ui.detectButton.click()
    assert panel.ui.flairSelector.currentNode() is flair
    assert panel.ui.t1ceSelector.currentNode() is t1ce
    assert panel.ui.t2Selector.currentNode() is t2
    assert panel.ui.t1Selector.currentNode() is None
    assert "FLAIR: '3: sag FLAIR', 95% sure." in panel.ui.detectionLabel.text


def test_detect_in_an_empty_scene_says_so(panel: Any) -> None:
    panel.ui.detectButton.click()
    assert panel.ui.detectionLabel.text == "No loaded volume tells its sequence; choose by hand."


def test_detect_tells_of_two_volumes_for_one_sequence(panel: Any) -> None:
    add_volumes("FLAIR a", "FLAIR b")
    panel.ui.detectButton.click()
    assert "'FLAIR b' (95%) looks like FLAIR too" in panel.ui.detectionLabel.text


def test_same_volume_twice_keeps_apply_off(panel: Any, student: Path) -> None:
    (node,) = add_volumes("Brain")
    choose_student(panel, student)
    panel.ui.flairSelector.setCurrentNode(node)
    assert panel.ui.applyButton.enabled
    panel.ui.t2Selector.setCurrentNode(node)
    assert not panel.ui.applyButton.enabled
    assert panel.ui.applyButton.toolTip == "Choose each volume for one sequence only."


def test_model_file_that_is_absent_keeps_apply_off(panel: Any, tmp_path: Path) -> None:
    (node,) = add_volumes("T2")
    panel.ui.t2Selector.setCurrentNode(node)
    choose_student(panel, tmp_path / "nowhere.safetensors")
    assert panel.ui.applyButton.toolTip == "Choose a model file that exists."


def test_choices_live_in_the_parameter_node(panel: Any, student: Path) -> None:
    (node,) = add_volumes("T2")
    panel.ui.t2Selector.setCurrentNode(node)
    panel.ui.regionsCheckBox.setChecked(True)
    panel.ui.deviceSelector.setCurrentIndex(1)
    choose_student(panel, student)
    state = panel.logic.getParameterNode()
    assert (state.t2, state.regions, state.device.value) == (node, True, "cpu")
    assert state.studentPath == str(student)


def test_apply_runs_to_the_end_and_shows_segments_and_volumes(
    panel: Any, student: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = []  # every text, also those that stand for less than a turn of the event loop
    tell = panel._tell
    monkeypatch.setattr(panel, "_tell", lambda label, text: shown.append(text) or tell(label, text))
    add_volumes("FLAIR", "T1ce")
    choose_student(panel, student)
    panel.ui.detectButton.click()
    panel.ui.regionsCheckBox.setChecked(True)
    panel.ui.applyButton.click()
    assert not panel.ui.applyButton.enabled
    assert panel.ui.cancelButton.enabled
    run_events(lambda: not panel.ui.cancelButton.enabled)
    node = panel.ui.outputSelector.currentNode()
    assert node.GetName() == "FLAIR tumor segmentation"
    assert panel.ui.statusLabel.text.startswith("Done in ")
    assert "FLAIR+T1ce" in panel.ui.statusLabel.text
    texts = iter(shown)
    stages = ("Starting", "Reading the volumes", "Bringing the volumes onto one grid", "Segmenting")
    assert all(f"{stage}..." in texts for stage in (*stages, "Writing the result"))
    rows = table_rows(panel)
    names = [segment.name for segment in SEGMENTS]
    assert [name for name, _ in rows] == [*names, "Tumor core", "Whole tumor"]
    volumes = mrml.region_volumes(node)
    assert rows[-1][1] == f"{volumes['WT']:.2f}"
    assert volumes["WT"] > 0
    assert panel.ui.applyButton.enabled


def test_cancel_in_mid_run_leaves_the_scene_as_it_was(panel: Any, slow_student: Path) -> None:
    add_volumes("FLAIR")
    choose_student(panel, slow_student)
    panel.ui.detectButton.click()
    before = scene_state()
    panel.ui.applyButton.click()
    run_events(lambda: panel.ui.statusLabel.text == "Segmenting...")
    panel.ui.cancelButton.click()
    assert panel.ui.statusLabel.text == "Canceled. The scene is as it was."
    assert scene_state() == before
    assert panel.ui.applyButton.enabled
    assert not panel.ui.cancelButton.enabled


def test_bad_volume_is_told_in_the_panel_and_changes_nothing(panel: Any, student: Path) -> None:
    (node,) = add_volumes("T2")
    slicer.util.arrayFromVolume(node)[:] = 5
    choose_student(panel, student)
    panel.ui.t2Selector.setCurrentNode(node)
    before = scene_state()
    panel.ui.applyButton.click()
    assert panel.ui.statusLabel.text.startswith("T2 is constant")
    assert scene_state() == before
    assert panel.ui.applyButton.enabled


def test_file_that_is_no_student_is_told_and_changes_nothing(panel: Any, tmp_path: Path) -> None:
    fake = tmp_path / "fake.safetensors"
    fake.write_text("not a student")
    (node,) = add_volumes("T2")
    output = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Mine")
    output.GetSegmentation().AddEmptySegment("Old", "Old")
    choose_student(panel, fake)
    panel.ui.t2Selector.setCurrentNode(node)
    panel.ui.outputSelector.setCurrentNode(output)
    before = scene_state()
    panel.ui.applyButton.click()
    run_events(lambda: not panel.ui.cancelButton.enabled)
    assert "fake.safetensors" in panel.ui.statusLabel.text
    assert scene_state() == before
    assert list(output.GetSegmentation().GetSegmentIDs()) == ["Old"]


def test_closing_the_scene_stops_the_run_and_empties_the_panel(panel: Any, student: Path) -> None:
    add_volumes("FLAIR")
    choose_student(panel, student)
    panel.ui.detectButton.click()
    panel.ui.applyButton.click()
    assert panel.ui.cancelButton.enabled
    slicer.mrmlScene.Clear(0)
    assert panel.ui.flairSelector.currentNode() is None
    assert not panel.ui.cancelButton.enabled
    assert "Choose at least one volume." in panel.ui.applyButton.toolTip
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 0
    add_volumes("T2")
    panel.ui.detectButton.click()
    assert panel.logic.getParameterNode().t2.GetName() == "T2"


def test_cleanup_leaves_no_observer(panel: Any) -> None:
    panel.cleanup()
    assert panel.Observations == []
