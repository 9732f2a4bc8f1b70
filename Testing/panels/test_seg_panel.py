"""The segmentation panel in real Qt (no screen), over real MRML, with real child processes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import slicer
import vtk
from PySide6 import QtCore, QtGui

import qt_standin
import slicer_standin
from calibrations import constant_calibration
from child_process import replace_process
from event_loop import run_events, scene_state
from MissingModalityLib import mrml
from MissingModalityLib.core.segments import SEGMENTS
from MissingModalityLib.inference.student import Student
from MissingModalityLib.runtime import jobs
from seg_panel import Silence, add_volumes, choose_student, devicesection, finish, made, opened_panel
from small_networks import telling_student, write_student
from small_patient import write_brain

runsection = slicer_standin.load_module("MissingModalitySegLib.runsection")


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_student(tmp_path_factory.mktemp("students") / "tiny.safetensors")


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
    assert "choose by hand" in panel.ui.detectionLabel.text


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
    assert "'Brain' is chosen for both FLAIR and T2" in panel.ui.applyButton.toolTip
    assert panel.ui.expectationLabel.text == panel.ui.applyButton.toolTip


def test_model_file_that_is_absent_keeps_apply_off(panel: Any, tmp_path: Path) -> None:
    (node,) = add_volumes("T2")
    panel.ui.t2Selector.setCurrentNode(node)
    choose_student(panel, tmp_path / "nowhere.safetensors")
    assert "nowhere.safetensors: there is no such model file" in panel.ui.applyButton.toolTip
    assert panel.ui.expectationLabel.text == panel.ui.applyButton.toolTip


def test_choices_live_in_the_parameter_node(panel: Any, student: Path) -> None:
    (node,) = add_volumes("T2")
    panel.ui.t2Selector.setCurrentNode(node)
    panel.ui.regionsCheckBox.setChecked(True)
    panel.ui.deviceSelector.setCurrentIndex(1)
    choose_student(panel, student)
    state = panel.logic.getParameterNode()
    assert (state.t2, state.regions, state.device) == (node, True, "cpu")
    assert state.studentPath == str(student)


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
    volumes = mrml.region_volumes(node)
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


def test_file_that_is_no_student_is_told_before_anything_starts(panel: Any, tmp_path: Path) -> None:
    fake = tmp_path / "fake.safetensors"
    fake.write_text("not a student")
    (node,) = add_volumes("T2")
    choose_student(panel, fake)
    panel.ui.t2Selector.setCurrentNode(node)
    assert not panel.ui.applyButton.enabled
    assert "fake.safetensors: cannot be read as a model file" in panel.ui.expectationLabel.text


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


def test_captions_tell_the_grid_of_each_chosen_volume(panel: Any) -> None:
    (node,) = add_volumes("T2")
    assert not panel.ui.t2CaptionLabel.text
    panel.ui.t2Selector.setCurrentNode(node)
    assert panel.ui.t2CaptionLabel.text == "26 x 24 x 22 voxels of 2 x 2 x 2 mm"
    assert not panel.ui.flairCaptionLabel.text


def test_captions_follow_voxels_that_are_replaced_in_place_until_another_volume_is_chosen(panel: Any) -> None:
    first, second = add_volumes("T2", "T2 again")
    panel.ui.t2Selector.setCurrentNode(first)
    smaller = vtk.vtkImageData()
    smaller.SetDimensions(10, 11, 12)
    smaller.AllocateScalars(vtk.VTK_SHORT, 1)
    first.SetAndObserveImageData(smaller)
    assert panel.ui.t2CaptionLabel.text == "10 x 11 x 12 voxels of 2 x 2 x 2 mm"
    first.SetSpacing(1, 1, 1)
    assert panel.ui.t2CaptionLabel.text == "10 x 11 x 12 voxels of 1 x 1 x 1 mm"
    panel.ui.t2Selector.setCurrentNode(second)
    assert not panel.hasObserver(first, vtk.vtkCommand.ModifiedEvent, panel.inputs._showGrids)


@pytest.fixture
def evaluated(tmp_path: Path) -> Path:
    """A student whose card tells scores of two subsets."""
    scores = {"T2": (0.8, 0.6, 0.31), "T1ce+T2": (0.75, 0.7, 0.7)}
    named = {name: dict(zip(("WT", "TC", "ET"), dice, strict=True)) for name, dice in scores.items()}
    subsets = [
        {"subset": name, "cases": 7, "dice": dice, "dice_std": dict.fromkeys(dice, 0.12)}
        for name, dice in named.items()
    ]
    gain = {"subset": "T2", "added": "T1ce", "cases": 1, "before": named["T2"], "after": named["T1ce+T2"]}
    path = write_student(tmp_path / "evaluated.safetensors")
    known = Student.load(path)
    known.card["evaluation"] = {"subsets": subsets, "gains": [gain]}
    known.card["license"] = "MIT"
    known.save(path)
    return path


def expected(panel: Any) -> list[str]:
    """Lines of the expectation, as they read without colors."""
    return QtGui.QTextDocumentFragment.fromHtml(panel.ui.expectationLabel.text).toPlainText().splitlines()


def test_the_panel_says_what_to_expect_and_what_a_further_sequence_would_change(
    panel: Any, evaluated: Path
) -> None:
    (node,) = add_volumes("T2")
    choose_student(panel, evaluated)
    assert not panel.ui.expectationLabel.text
    panel.ui.t2Selector.setCurrentNode(node)
    assert expected(panel) == [
        "T2 (1 of 4 sequences): what to expect, by mean Dice \u00b1 spread over 7 patients",
        "✓ Whole tumor: reliable (0.80 \u00b1 0.12)",
        "⚠ Tumor core: check (0.60 \u00b1 0.12)",
        "✗ Enhancing tumor: doubtful (0.31 \u00b1 0.12)",
        "Adding T1ce, in the same 1 patient: better: tumor core 0.60 → 0.70, enhancing tumor 0.31 → 0.70; "
        "worse: whole tumor 0.80 → 0.75.",
    ]


def test_the_panel_says_what_a_chosen_sequence_costs(panel: Any, evaluated: Path) -> None:
    choose_student(panel, evaluated)
    t1ce, t2 = add_volumes("T1CE", "T2")
    panel.ui.t1ceSelector.setCurrentNode(t1ce)
    panel.ui.t2Selector.setCurrentNode(t2)
    assert expected(panel)[-1] == (
        "Without T1ce, in the same 1 patient: better: whole tumor 0.75 → 0.80; worse: tumor core "
        "0.70 → 0.60, enhancing tumor 0.70 → 0.31."
    )


def test_nothing_is_promised_of_sequences_that_were_never_evaluated(panel: Any, evaluated: Path) -> None:
    (node,) = add_volumes("T1")
    choose_student(panel, evaluated)
    panel.ui.t1Selector.setCurrentNode(node)
    assert "never evaluated" in panel.ui.expectationLabel.text


def test_the_models_card_is_shown_on_demand(panel: Any, evaluated: Path) -> None:
    choose_student(panel, evaluated)
    assert panel.ui.cardBrowser.isHidden()
    panel.ui.cardButton.click()
    assert not panel.ui.cardBrowser.isHidden()
    assert "license: MIT" in panel.ui.cardBrowser.plainText
    evaluated.with_suffix(".md").write_text("# All about it")
    panel.ui.cardButton.click()
    panel.ui.cardButton.click()
    assert panel.ui.cardBrowser.plainText.strip() == "All about it"


def test_a_student_trained_here_appears_when_the_panel_is_entered(panel: Any, tmp_path: Path) -> None:
    selector = panel.ui.studentSelector
    count = selector.count
    (tmp_path / "models").mkdir()
    mine = write_student(tmp_path / "models" / "mine.safetensors")
    panel.enter()
    assert selector.count == count + 1
    assert selector.itemText(count - 1) == "mine (trained here)"
    selector.setCurrentIndex(count - 1)
    assert panel.logic.getParameterNode().studentPath == str(mine)
    panel.enter()
    assert selector.itemText(selector.currentIndex) == "mine (trained here)"
    mine.unlink()
    panel.enter()
    assert "mine.safetensors: there is no such model file" in panel.ui.applyButton.toolTip


def test_the_device_is_found_with_an_estimate_of_the_time(
    panel: Any, student: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    choose_student(panel, student)
    panel.ui.deviceSelector.setCurrentIndex(1)
    assert Silence.asked[-1] == ["devices", "--device", "cpu", "--student", str(student)]
    panel.ui.deviceSelector.setCurrentIndex(0)
    assert Silence.asked[-1][2] == "auto"
    monkeypatch.setattr(devicesection, "Job", jobs.Job)
    panel.ui.deviceSelector.setCurrentIndex(1)
    assert panel.ui.deviceFoundLabel.text == "Looking at the processor and the graphics card..."
    run_events(lambda: not panel.ui.deviceFoundLabel.text.startswith("Looking"), 180)
    assert re.fullmatch(r"CPU: .* cores.*; about \d+ s per patient", panel.ui.deviceFoundLabel.text)


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
    found = mrml.region_volumes(node)
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


def test_a_saved_scene_brings_the_choices_back(panel: Any, evaluated: Path, tmp_path: Path) -> None:
    (node,) = add_volumes("T2")
    choose_student(panel, evaluated)
    panel.ui.t2Selector.setCurrentNode(node)
    panel.ui.regionsCheckBox.setChecked(True)
    panel.ui.folderOutputPathEdit.setCurrentPath(str(tmp_path / "out"))
    storage = slicer.vtkMRMLNRRDStorageNode()
    storage.SetFileName(str(tmp_path / "t2.nrrd"))
    slicer.mrmlScene.AddNode(storage)
    node.SetAndObserveStorageNodeID(storage.GetID())
    assert storage.WriteData(node)
    slicer.mrmlScene.SetURL(str(tmp_path / "scene.mrml"))
    slicer.mrmlScene.SetRootDirectory(str(tmp_path))
    assert slicer.mrmlScene.Commit()
    slicer.mrmlScene.Clear(0)
    assert panel.ui.t2Selector.currentNode() is None and not panel.ui.regionsCheckBox.checked
    assert not panel.ui.folderOutputPathEdit.currentPath
    slicer.mrmlScene.SetURL(str(tmp_path / "scene.mrml"))
    assert slicer.mrmlScene.Import()
    assert panel.ui.t2Selector.currentNode().GetName() == "T2"
    assert panel.ui.regionsCheckBox.checked
    assert panel.ui.folderOutputPathEdit.currentPath == str(tmp_path / "out")
    assert panel.ui.studentPathEdit.currentPath == str(evaluated)
    assert "T2" in panel.ui.expectationLabel.text
    assert panel.ui.applyButton.enabled


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


def test_the_default_model_is_remembered_as_such_wherever_it_lies(panel: Any, student: Path) -> None:
    choose_student(panel, student)
    panel.ui.studentSelector.setCurrentIndex(0)
    assert panel.logic.getParameterNode().studentPath == ""


def test_detect_keeps_a_choice_by_hand_that_nothing_speaks_against(panel: Any) -> None:
    unclear, flair = add_volumes("Volume_7", "FLAIR")
    panel.ui.t1Selector.setCurrentNode(unclear)
    panel.ui.t2Selector.setCurrentNode(flair)
    panel.ui.detectButton.click()
    chosen = {name: getattr(panel.ui, f"{name}Selector").currentNode() for name in ("flair", "t1", "t2")}
    assert chosen == {"flair": flair, "t1": unclear, "t2": None}


def test_detect_passes_by_a_chosen_volume_without_voxels(panel: Any) -> None:
    add_volumes("T2w")
    empty = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "nothing yet")
    panel.ui.flairSelector.setCurrentNode(empty)
    panel.ui.detectButton.click()
    assert panel.ui.flairSelector.currentNode() is empty
    assert "T2: 'T2w'" in panel.ui.detectionLabel.text


def test_nothing_is_computed_for_a_panel_that_is_not_shown(
    panel: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    monkeypatch.setattr(panel.device, "_ask", lambda *chosen: asked.append(chosen))
    panel.exit()
    panel.ui.flairSelector.setCurrentNode(add_volumes("FLAIR")[0])
    assert not asked
    panel.enter()
    assert asked


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
