"""Runs of the segmentation panel in real Qt (no screen), over real MRML, with real child processes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import slicer
from PySide6 import QtCore, QtGui

import qt_standin
import slicer_standin
from calibrations import constant_calibration
from child_process import replace_process
from event_loop import run_events, scene_state
from MissingModalityLib import mrml
from MissingModalityLib.core.segments import SEGMENTS
from seg_panel import add_volumes, choose_student, finish, made, opened_panel
from small_networks import telling_student, write_student
from small_patient import write_brain

runsection = slicer_standin.load_module("MissingModalitySegLib.runsection")


@pytest.fixture(scope="module")
def slow_student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_student(tmp_path_factory.mktemp("students") / "slow.safetensors", window=16, overlap=0.75)


@pytest.fixture
def panel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    with opened_panel(monkeypatch, tmp_path) as widget:
        yield widget


def table_rows(panel: Any) -> list[tuple[str, str, str]]:
    table = panel.ui.volumesTable
    return [tuple(table.item(row, column).text() for column in (0, 1, 2)) for row in range(table.rowCount)]


def test_panel_opens_with_apply_off_and_says_why(panel: Any) -> None:
    assert not panel.ui.applyButton.enabled
    assert "Choose at least one volume." in panel.ui.applyButton.toolTip
    assert not panel.ui.cancelButton.enabled
    assert "not a medical device" in panel.ui.noticeLabel.text


def test_apply_runs_to_the_end_and_shows_segments_and_volumes(
    panel: Any, student: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = []  # every text, also those that stand for less than a turn of the event loop
    set_status = runsection.setStatus
    monkeypatch.setattr(
        runsection, "setStatus", lambda label, text: shown.append(text) or set_status(label, text)
    )
    add_volumes("FLAIR", "T1ce")
    choose_student(panel, student)
    panel.ui.detectButton.click()
    panel.ui.regionsCheckBox.setChecked(True)
    assert panel.ui.resultCollapsibleButton.collapsed, "it takes no room before there is a result"
    panel.ui.applyButton.click()
    assert not panel.ui.applyButton.enabled
    assert panel.ui.cancelButton.enabled
    run_events(lambda: not panel.ui.cancelButton.enabled)
    node = made()
    assert node.GetName() == panel.ui.resultLabel.text == "FLAIR tumor segmentation"
    assert panel.ui.outputSelector.currentNode() is None, "the next run would overwrite this one"
    assert panel.ui.statusLabel.text.startswith("Done in ")
    assert "FLAIR+T1ce" in panel.ui.statusLabel.text
    texts = iter(shown)
    stages = ("Starting", "Reading the volumes", "Bringing the volumes onto one grid", "Segmenting")
    assert all(f"{stage}..." in texts for stage in (*stages, "Writing the result"))
    rows = table_rows(panel)
    names = [segment.name for segment in SEGMENTS]
    assert [name for name, *_ in rows] == ["Whole tumor", "Tumor core", *names]
    volumes = mrml.measures_of(node)[0]
    assert rows[0][1] == f"{volumes['WT']:.2f}"
    assert volumes["WT"] > 0
    assert float(rows[0][2]) > 0
    assert not panel.ui.resultCollapsibleButton.collapsed
    number = panel.ui.volumesTable.item(0, 1)
    assert number.textAlignment() & QtCore.Qt.AlignmentFlag.AlignRight, "numbers line up"
    assert number.toolTip() == number.text()
    assert panel.ui.applyButton.enabled
    assert panel.ui.presenceLabel.isHidden(), "the student tells nothing of it"
    assert "nothing tells; the model was never evaluated on FLAIR+T1ce" in panel.ui.estimateLabel.text
    other = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Other patient")
    other.CreateDefaultDisplayNodes()
    panel.ui.outputSelector.setCurrentNode(other)
    assert panel.ui.resultLabel.text == "Other patient" and not table_rows(panel)


def test_cancel_in_mid_run_leaves_the_scene_as_it_was(panel: Any, slow_student: Path) -> None:
    add_volumes("FLAIR")
    choose_student(panel, slow_student)
    panel.ui.detectButton.click()
    before = scene_state()
    panel.ui.applyButton.click()
    run_events(lambda: panel.ui.statusLabel.text == "Segmenting...")
    panel.ui.cancelButton.click()
    assert panel.ui.statusLabel.text.startswith("Canceled.")
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


def test_a_process_that_dies_is_told_leaves_all_as_it_was_and_can_be_begun_again(
    panel: Any, student: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (node,) = add_volumes("T2")
    output = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Mine")
    output.GetSegmentation().AddEmptySegment("Old", "Old")
    monkeypatch.setattr(slicer.util, "confirmOkCancelDisplay", lambda *_args, **_options: True)
    choose_student(panel, student)
    panel.ui.t2Selector.setCurrentNode(node)
    panel.ui.outputSelector.setCurrentNode(output)
    before = scene_state()
    with monkeypatch.context() as patch:
        replace_process(patch, tmp_path, "kill -9 $$")
        panel.ui.applyButton.click()
        finish(panel)
    assert "The system ended the process (signal 9)" in panel.ui.statusLabel.text
    assert scene_state() == before
    assert list(output.GetSegmentation().GetSegmentIDs()) == ["Old"]
    panel.ui.applyButton.click()
    assert panel.ui.cancelButton.enabled, "it runs"


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


def segmented(panel: Any, student: Path) -> Any:
    add_volumes("FLAIR")
    choose_student(panel, student)
    panel.ui.detectButton.click()
    panel.ui.applyButton.click()
    finish(panel)
    return made()


def test_result_is_shown_faded_and_saved_as_the_label_map_it_is(
    panel: Any, student: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    composite = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSliceCompositeNode")
    for name in ("show3DButton", "opacitySlider", "saveButton"):
        assert not getattr(panel.ui, name).enabled
    node = segmented(panel, student)
    assert composite.GetBackgroundVolumeID() == panel.ui.flairSelector.currentNode().GetID()
    display = node.GetDisplayNode()
    panel.ui.show3DButton.setChecked(False)
    assert not node.GetSegmentation().ContainsRepresentation("Closed surface")
    panel.ui.show3DButton.setChecked(True)
    assert display.GetVisibility3D() and node.GetSegmentation().ContainsRepresentation("Closed surface")
    panel.ui.opacitySlider.setValue(0.4)
    assert display.GetOpacity3D() == pytest.approx(0.4)
    assert display.GetOpacity2DFill() == pytest.approx(0.2)
    path = tmp_path / "Grüße an alle.nii.gz"
    monkeypatch.setattr(qt_standin.QFileDialog, "answer", str(path))
    panel.ui.saveButton.click()
    assert panel.ui.statusLabel.text == f"Wrote {path}"
    saved = sitk.ReadImage(str(path))
    volume = mrml.image_of(panel.ui.flairSelector.currentNode())
    assert saved.GetSize() == volume.GetSize()
    np.testing.assert_allclose(saved.GetOrigin(), volume.GetOrigin())
    voxel = 8 / 1000
    found = mrml.measures_of(node)[0]
    array = sitk.GetArrayFromImage(saved)
    for value, name in ((1, "NCR"), (2, "ED"), (3, "ET")):
        assert (array == value).sum() * voxel == pytest.approx(found[name])
    monkeypatch.setattr(qt_standin.QFileDialog, "answer", str(tmp_path / "no" / "x.nii.gz"))
    panel.ui.saveButton.click()
    assert "x.nii.gz" in panel.ui.statusLabel.text and not panel.ui.statusLabel.text.startswith("Wrote")
    slicer.mrmlScene.RemoveNode(panel.ui.flairSelector.currentNode())
    panel.ui.saveButton.click()
    assert "is not loaded any more" in panel.ui.statusLabel.text


def test_all_patients_of_a_folder_are_segmented_beside_the_scene(
    panel: Any, student: Path, tmp_path: Path
) -> None:
    data = tmp_path / "Fälle neu"
    for name in ("A_1", "B_2"):
        (data / name).mkdir(parents=True)
        write_brain(data / name / f"{name}_t2.nii.gz")
    write_brain(data / "C_MPRAGE.nii.gz")
    (data / "D_t2.nii.gz").write_bytes((data / "A_1" / "A_1_t2.nii.gz").read_bytes()[:300])
    choose_student(panel, student)
    assert "Choose the folder of patients." in panel.ui.folderButton.toolTip
    panel.ui.folderDataPathEdit.setCurrentPath("x" * 5000)  # longer than any system allows
    assert "Choose the folder of patients." in panel.ui.folderButton.toolTip
    panel.ui.folderDataPathEdit.setCurrentPath(str(data))
    assert "folder for the results" in panel.ui.folderButton.toolTip
    panel.ui.folderOutputPathEdit.setCurrentPath(str(tmp_path / "out"))
    before = scene_state()
    panel.ui.folderButton.click()
    assert "A segmentation is running." in panel.ui.applyButton.toolTip
    assert "A segmentation is running." in panel.ui.folderButton.toolTip
    finish(panel)
    assert panel.ui.statusLabel.text.startswith("2 segmented, 0 done before, 1 failed.")
    assert "Failed: 1\nD: " in panel.ui.statusLabel.text
    assert "Files skipped: 1\nC_MPRAGE.nii.gz: " in panel.ui.statusLabel.text
    assert (tmp_path / "out" / "B_2.seg.nrrd").is_file()
    assert scene_state() == before


def test_a_folder_goes_on_when_the_scene_is_closed(
    panel: Any, student: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    choose_student(panel, student)
    panel.ui.folderDataPathEdit.setCurrentPath(str(tmp_path))
    panel.ui.folderOutputPathEdit.setCurrentPath(str(tmp_path / "out"))
    replace_process(monkeypatch, tmp_path, "sleep 60")
    panel.ui.folderButton.click()
    slicer.mrmlScene.Clear(0)
    assert panel.ui.cancelButton.enabled and panel.ui.statusLabel.text == "Starting..."
    panel.ui.cancelButton.click()
    assert panel.ui.statusLabel.text.startswith("Canceled. Patients done so far are kept")


def test_an_empty_segmentation_is_not_saved_as_an_empty_map(
    panel: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Mine")
    other.CreateDefaultDisplayNodes()
    panel.ui.outputSelector.setCurrentNode(other)
    monkeypatch.setattr(qt_standin.QFileDialog, "answer", str(tmp_path / "x.nii.gz"))
    panel.ui.saveButton.click()
    assert "'Mine' has none of the segments" in panel.ui.statusLabel.text
    assert not (tmp_path / "x.nii.gz").exists()


def test_the_result_tells_its_worth_and_what_is_present_until_it_is_deleted(
    panel: Any, tmp_path: Path
) -> None:
    telling = telling_student()
    telling.card["calibration"] = constant_calibration(WT=0.41, TC=0.62)
    telling.save(tmp_path / "calibrated.safetensors")
    assert panel.ui.estimateLabel.isHidden() and panel.ui.presenceLabel.isHidden()
    segmented(panel, tmp_path / "calibrated.safetensors")
    assert not panel.ui.estimateLabel.isHidden() and not panel.ui.presenceLabel.isHidden()
    plain = QtGui.QTextDocumentFragment.fromHtml(panel.ui.estimateLabel.text).toPlainText()
    assert plain.splitlines() == [
        "What this result is worth: Dice estimated for it",
        "✗ Whole tumor: doubtful (estimated 0.41)",
        "⚠ Tumor core: check (estimated 0.62)",
        "✓ Enhancing tumor: reliable (estimated 0.90)",
    ]
    assert "⚠ This result is doubtful: a Dice of 0.41" in panel.ui.notesLabel.text
    assert "See the notes under Result." in panel.ui.statusLabel.text
    assert re.search(r"ecro.* 5 %, Edema.* 95 %, Enhancing.* 52 %$", panel.ui.presenceLabel.text)
    slicer.mrmlScene.RemoveNode(made())  # as other modules may
    assert panel.ui.estimateLabel.isHidden() and panel.ui.notesLabel.isHidden()
    assert panel.ui.presenceLabel.isHidden() and not panel.ui.resultLabel.text
    assert not panel.ui.opacitySlider.enabled and not panel.ui.saveButton.enabled
    assert not table_rows(panel)


def test_widgets_are_tied_to_the_parameter_node_that_is_shown_alone(panel: Any) -> None:
    slicer.mrmlScene.Clear()
    before = panel.state.parameterNode
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScriptedModuleNode")
    parameters = slicer_standin.load_module("MissingModalityPanelLib.parameters")
    panel.setParameterNode(parameters.readParameterNode(type(panel.state), node))
    panel.ui.regionsCheckBox.setChecked(True)
    assert (before.GetParameter("regions"), node.GetParameter("regions")) == ("False", "True")


def test_an_unusable_temporary_folder_is_told(
    panel: Any, student: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    add_volumes("FLAIR")
    choose_student(panel, student)
    panel.ui.detectButton.click()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
    panel.ui.applyButton.click()
    assert "gone" in panel.ui.statusLabel.text and panel.ui.applyButton.enabled
