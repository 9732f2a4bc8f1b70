"""The segmentation panel's choice of volumes: detected, by hand, and with captions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import slicer
import vtk

from child_process import replace_process
from MissingModalityLib.mrml.detection import DICOM_TAGS
from seg_panel import add_volumes, choose_student, opened_panel


@pytest.fixture
def panel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    with opened_panel(monkeypatch, tmp_path) as widget:
        yield widget


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


def test_choices_live_in_the_parameter_node(panel: Any, student: Path) -> None:
    (node,) = add_volumes("T2")
    panel.ui.t2Selector.setCurrentNode(node)
    panel.ui.regionsCheckBox.setChecked(True)
    panel.ui.deviceSelector.setCurrentIndex(1)
    choose_student(panel, student)
    state = panel.logic.getParameterNode()
    assert (state.t2, state.regions, state.device) == (node, True, "cpu")
    assert state.studentPath == str(student)


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


def test_volumes_of_two_patients_are_segmented_only_after_asking(
    panel: Any, student: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    replace_process(monkeypatch, tmp_path, "sleep 60")
    monkeypatch.setattr(slicer.util, "confirmOkCancelDisplay", lambda text, **_: asked.append(text))
    database = SimpleNamespace(instanceValue=lambda uid, tag: uid if tag == DICOM_TAGS["PatientID"] else "")
    monkeypatch.setattr(slicer, "dicomDatabase", database, raising=False)
    choose_student(panel, student)
    for name, node in zip(("flair", "t2"), add_volumes("Left", "Right"), strict=True):
        node.SetAttribute("DICOM.instanceUIDs", f"of_{name}")
        getattr(panel.ui, f"{name}Selector").setCurrentNode(node)
    panel.ui.applyButton.click()
    assert "FLAIR 'Left', T2 'Right'" in asked[0] and not panel.ui.cancelButton.enabled
    panel.ui.flairSelector.currentNode().SetAttribute("DICOM.instanceUIDs", "of_t2")
    panel.ui.applyButton.click()
    assert len(asked) == 1 and panel.ui.cancelButton.enabled
