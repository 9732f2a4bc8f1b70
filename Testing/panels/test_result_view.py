"""A result brought into view, and segmentations that a run would overwrite."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import slicer
import slicer.util

import qt_standin
import slicer_standin
from child_process import replace_process
from MissingModalityLib import mrml
from mrml_nodes import add_transform, add_volume, rotation
from seg_panel import opened_panel, seg
from small_patient import brain_volume

bringIntoView = sys.modules["MissingModalitySegLib.resultview"].bringIntoView
LARGE = (slice(6, 10), slice(8, 12), slice(4, 8))
NOTHING = dict.fromkeys(("WT", "TC", "NCR", "ED", "ET"), 0.0)
REPORT = {"volumes_cm3": NOTHING, "axial_diameters_mm": NOTHING, "modalities": "FLAIR", "warnings": []}
SMALL = (slice(1, 2), slice(1, 3), slice(15, 17))


@pytest.fixture
def panel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    with opened_panel(monkeypatch, tmp_path) as panel:
        yield panel


def add_result(volume: Any, *parts: Any) -> Any:
    """A segmentation of the volume."""
    return mrml.place_segmentation(mrml.build_segmentation(tumor(volume, *parts), volume), volume)


def tumor(volume: Any, *parts: Any) -> np.ndarray:
    """Edema with one slice of another class."""
    classes = np.zeros(mrml.voxels_of(volume).shape, np.uint8)
    for part in parts:
        classes[part] = 2
        classes[part[0].start][part[1:]] = 1
    return classes


def test_slices_go_through_the_middle_of_the_largest_part() -> None:
    slicer_standin.new_scene()
    view = slicer.app.layoutManager().sliceWidget("Red").sliceLogic().GetSliceNode()
    volume = add_volume("FLAIR")
    center = mrml.tumor_center(tumor(volume, LARGE, SMALL), volume)
    bringIntoView(add_result(volume, LARGE, SMALL), volume, center, isNew=True)
    assert view.GetSliceOffset() == pytest.approx(7.5)


def test_slices_stay_where_there_is_no_tumor() -> None:
    slicer_standin.new_scene()
    view = slicer.app.layoutManager().sliceWidget("Red").sliceLogic().GetSliceNode()
    volume = add_volume("FLAIR")
    slicer.util.setSliceViewerLayers(background=volume, fit=True)
    before = view.GetSliceOffset()
    bringIntoView(add_result(volume), volume, None, isNew=True)
    assert view.GetSliceOffset() == before


def test_the_camera_moves_to_a_new_result_unless_something_else_is_shown() -> None:
    slicer_standin.new_scene()
    manager = slicer.app.layoutManager()
    volume = add_volume("FLAIR")
    node = add_result(volume, LARGE)
    bringIntoView(node, volume, None, isNew=True)
    assert manager.resets == 1
    bringIntoView(node, volume, None, isNew=False)
    assert manager.resets == 1, "whoever has turned the view to this node stays there"
    add_result(volume, SMALL)
    bringIntoView(node, volume, None, isNew=True)
    assert manager.resets == 1


def test_without_a_main_window_a_result_is_made_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    slicer_standin.new_scene()
    monkeypatch.setattr(slicer.app, "layoutManager", lambda: None)
    volume = add_volume("FLAIR")
    bringIntoView(add_result(volume, LARGE), volume, (0.0, 0.0, 0.0), isNew=True)


@pytest.fixture
def asked(panel: Any, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Questions put to a user who says no; a run that starts leaves a mark among them."""
    questions: list[str] = []
    monkeypatch.setattr(slicer.util, "confirmOkCancelDisplay", lambda text, **_: questions.append(text))
    monkeypatch.setattr(panel.run, "start", lambda _: questions.append("started"))
    return questions


def test_a_segmentation_made_by_hand_is_not_overwritten_without_asking(panel: Any, asked: list[str]) -> None:
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "My careful contours")
    panel.state.outputSegmentation = node
    panel.run.onApply()
    node.GetSegmentation().AddEmptySegment("Segment_1", "Resected")
    panel.run.onApply()
    assert asked[0] == "started", "there is nothing to lose in an empty node"
    assert "My careful contours" in asked[1] and "Resected" in asked[1] and "New segmentation" in asked[1]
    assert asked[2:] == []


def test_the_last_result_is_overwritten_until_somebody_has_edited_it(panel: Any, asked: list[str]) -> None:
    volume = add_volume("FLAIR")
    node = add_result(volume, LARGE)
    panel.state.outputSegmentation = node
    panel.run.onApply()
    assert len(asked) == 1 and "Edema" in asked.pop(), "a scene may bring results that were corrected"
    panel.result.showRun(SimpleNamespace(segmentation=node, report=REPORT))
    node.GetDisplayNode().SetOpacity3D(0.3)
    panel.ui.show3DButton.setChecked(False)
    panel.run.onApply()
    assert asked == ["started"]
    edited = np.zeros(mrml.voxels_of(volume).shape, np.uint8)
    edited[SMALL] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(edited, node, "ED", volume)
    panel.run.onApply()
    assert len(asked) == 2 and "Edema" in asked[1]


def test_the_output_selector_offers_a_new_node_once(panel: Any) -> None:
    selector = panel.ui.outputSelector
    entries = [selector.itemText(index) for index in range(selector.count)]
    assert entries == ["New segmentation for each run", "Rename current Segmentation"]
    assert seg.MissingModalitySegLogic().getParameterNode().outputSegmentation is None


def rows(panel: Any) -> list[tuple[str, ...]]:
    table = panel.ui.volumesTable
    return [tuple(table.item(row, column).text() for column in (1, 2)) for row in range(table.rowCount)]


def test_the_table_follows_what_is_corrected_by_hand(panel: Any) -> None:
    volume = add_volume("FLAIR")
    node = add_result(volume, LARGE)
    panel.result.showRun(SimpleNamespace(segmentation=node, report=REPORT))
    worth = panel.ui.estimateLabel.text
    found = rows(panel)
    assert found == [("0.00", "0")] * 5 and "What" in worth
    other = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Other")
    panel.state.outputSegmentation = other
    assert not rows(panel)
    panel.state.outputSegmentation = None
    assert rows(panel) == found and panel.ui.estimateLabel.text == worth, "as the run has told it"
    panel.exit()  # to the Segment Editor
    edited = np.zeros(mrml.voxels_of(volume).shape, np.uint8)
    edited[5, 2:12, 3] = edited[6, 2, 3:13] = 1
    for name, mask in (("NCR", edited), ("ED", 0 * edited), ("ET", edited)):
        slicer.util.updateSegmentBinaryLabelmapFromArray(mask, node, name, volume)
    panel.enter()
    # twenty voxels of 1 mm, ten in a row, which two segments share
    assert rows(panel) == [("0.02", "9"), ("0.02", "9"), ("0.00", "0"), ("0.00", "0"), ("0.02", "9")]
    assert "were changed" in panel.ui.estimateLabel.text and worth not in panel.ui.estimateLabel.text
    slicer.mrmlScene.RemoveNode(volume)
    assert len(rows(panel)) == 5, "nothing has changed since they were measured"
    node.GetSegmentation().RemoveSegment("ET")
    panel.updateGui()
    assert not rows(panel) and "is not loaded any more" in panel.ui.estimateLabel.text


def test_whole_tumor_follows_corrections_when_the_panel_is_shown_again(panel: Any) -> None:
    volume = add_volume("FLAIR")
    classes = tumor(volume, LARGE)
    node = mrml.place_segmentation(mrml.build_segmentation(classes, volume, regions=True), volume)
    panel.result.showRun(SimpleNamespace(segmentation=node, report=REPORT))
    found = rows(panel)
    panel.exit()  # to the Segment Editor
    grown = np.zeros_like(classes)
    grown[2:12, 2:12, 2:12] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(grown, node, "ED", volume)
    panel.updateGui()  # as when a node is removed while somebody draws
    whole = slicer.util.arrayFromSegmentBinaryLabelmap(node, "WT", volume)
    assert rows(panel) == found and np.count_nonzero(whole) == np.count_nonzero(classes)
    panel.enter()
    assert rows(panel)[0][0] == "1.00"
    np.testing.assert_array_equal(slicer.util.arrayFromSegmentBinaryLabelmap(node, "WT", volume), grown)
    assert panel.ui.regionsButton.isHidden()
    slicer.util.updateSegmentBinaryLabelmapFromArray(classes, node, "WT", volume)
    panel.updateGui()
    assert not panel.ui.regionsButton.isHidden()
    assert rows(panel)[0][0] == "1.00" and "the sum of its parts: Whole tumor" in panel.ui.estimateLabel.text
    panel.ui.regionsButton.click()
    np.testing.assert_array_equal(slicer.util.arrayFromSegmentBinaryLabelmap(node, "WT", volume), grown)
    assert "sum of its parts" not in panel.ui.estimateLabel.text and panel.ui.regionsButton.isHidden()


def test_a_label_map_that_lies_elsewhere_than_the_file_of_its_volume_is_told(
    panel: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume = add_volume("FLAIR")
    node, path = add_result(volume, LARGE), tmp_path / "tumor.nii.gz"
    panel.result.showRun(SimpleNamespace(segmentation=node, report=REPORT))
    monkeypatch.setattr(qt_standin.QFileDialog, "answer", str(path))
    transform = add_transform(rotation(20, 2))
    for moved in (volume, node):
        moved.SetAndObserveTransformNodeID(transform.GetID())
    panel.ui.saveButton.click()
    assert panel.ui.statusLabel.text.startswith(
        f"Wrote {path}\nIt lies where 'FLAIR' is shown, under the transform 'Registration', and not over"
    )


def test_segments_that_no_measure_and_no_file_has_are_told(
    panel: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume = add_volume("FLAIR")
    node = add_result(volume, LARGE)
    panel.result.showRun(SimpleNamespace(segmentation=node, report=REPORT))
    monkeypatch.setattr(qt_standin.QFileDialog, "answer", str(tmp_path / "tumor.nii.gz"))
    panel.ui.saveButton.click()
    assert panel.ui.statusLabel.text == f"Wrote {tmp_path / 'tumor.nii.gz'}"
    node.GetSegmentation().AddEmptySegment("Segment_1", "Missed lesion")
    slicer.util.updateSegmentBinaryLabelmapFromArray(tumor(volume, SMALL), node, "Segment_1", volume)
    panel.updateGui()
    panel.ui.saveButton.click()
    for label in (panel.ui.estimateLabel, panel.ui.statusLabel):
        assert "Not counted and not in files" in label.text and "Missed lesion" in label.text


def test_what_was_drawn_into_the_output_during_a_run_is_kept(
    panel: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    volume = mrml.add_volume(slicer.mrmlScene, brain_volume(), "FLAIR")
    drawn, made = add_result(volume, LARGE), add_result(volume, SMALL)
    result = tmp_path / "result.nrrd"
    sitk.WriteImage(sitk.Cast(mrml.image_of(volume) > 500, sitk.sitkUInt8), str(result))
    told = REPORT | {"warnings": ["Thick slices."], "seconds": {"total": 1}, "device": {"description": "CPU"}}
    for node, keeps in ((drawn, True), (made, False)):
        with monkeypatch.context() as patch:
            reply = json.dumps({"event": "result", "result": told})
            # -m MissingModalityLib segment --output OUT
            replace_process(patch, tmp_path, f"cp '{result}' \"$5\"; echo '{reply}'")
            run = panel.logic.startSegmentation({"FLAIR": volume}, node, steps=None)
        before = mrml.measures_of(node)[0]
        if keeps:
            mask = np.zeros(mrml.voxels_of(volume).shape, np.uint8)
            mask[3, 3, 3] = 1
            slicer.util.updateSegmentBinaryLabelmapFromArray(mask, node, "ET", volume)
        run.wait()
        assert run.exception is None
        assert (run.kept is node) == keeps and (run.segmentation is node) != keeps
        assert mrml.measures_of(run.segmentation)[0]["NCR"] > before["NCR"]
        assert (mrml.measures_of(node)[0]["NCR"] == before["NCR"]) == keeps
        kept = f"The segments of '{node.GetName()}' were changed during the segmentation, so they are kept; "
        kept += f"the result is '{run.segmentation.GetName()}'."
        assert run.report["warnings"] == ["Thick slices.", *([kept] if keeps else [])]
        panel.state.outputSegmentation = node
        panel.run._onFinished(run)
        assert panel.state.outputSegmentation is (None if keeps else node)
        assert panel.ui.resultLabel.text == run.segmentation.GetName()
        assert ("are kept; the result is" in panel.ui.notesLabel.text) == keeps
