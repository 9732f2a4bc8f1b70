"""What a person corrects in segments: told from what was computed, and followed by whole tumor and core."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import slicer
import slicer.util
import vtk

import slicer_standin
from MissingModalityLib import mrml
from MissingModalityLib.core.errors import ImageError
from MissingModalityLib.imaging.segmentation_file import write_segmentation
from mrml_nodes import GEOMETRIES, SHAPE, add_transform, add_volume, rotation

slicer_standin.install()

IDS = ["NCR", "ED", "ET", "WT", "TC"]


@pytest.fixture(autouse=True)
def scene() -> Iterator[Any]:
    yield slicer_standin.new_scene()
    slicer.mrmlScene.Clear(0)


def tumor() -> np.ndarray:
    classes = np.zeros(SHAPE, np.uint8)
    classes[3:9, 4:12, 5:15] = 2
    classes[4:8, 5:10, 6:12] = 3
    classes[5:7, 6:8, 7:10] = 1
    return classes


def result(geometry: str = "oblique", regions: bool = True) -> tuple[Any, Any]:
    """A segmentation as a run makes it, and its volume."""
    reference = add_volume(matrix=GEOMETRIES[geometry])
    return mrml.place_segmentation(mrml.build_segmentation(tumor(), reference, regions), reference), reference


def draw(node: Any, reference: Any, name: str, mask: np.ndarray) -> None:
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask.astype(np.uint8), node, name, reference)


def drawn(node: Any, reference: Any, name: str) -> np.ndarray:
    return slicer.util.arrayFromSegmentBinaryLabelmap(node, name, reference) != 0


def algorithm_types(node: Any) -> list[str]:
    found = []
    for name in ("NCR", "ED", "ET"):
        value = vtk.reference("")
        node.GetSegmentation().GetSegment(name).GetTag("DICOM.SegmentAlgorithmType", value)
        found.append(str(value))
    return found


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_what_nobody_has_changed_is_as_computed_also_from_a_file(geometry: str, tmp_path: Path) -> None:
    node, reference = result(geometry)
    assert mrml.corrected_in(node) == [] and algorithm_types(node) == ["AUTOMATIC"] * 3
    for moved in (node, reference):
        moved.SetAndObserveTransformNodeID(add_transform(rotation(40, 2)).GetID())
    assert mrml.corrected_in(node) == []
    storage = slicer.vtkMRMLSegmentationStorageNode()
    storage.SetFileName(str(tmp_path / "tumor.seg.nrrd"))
    assert storage.WriteData(node)
    again = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Again")
    assert storage.ReadData(again)
    again.SetReferenceImageGeometryParameterFromVolumeNode(reference)
    again.SetAndObserveTransformNodeID(reference.GetTransformNodeID())
    assert mrml.corrected_in(again) == []
    draw(again, reference, "ED", tumor() == 3)
    assert "ED" in mrml.corrected_in(again)


def test_each_part_that_was_corrected_is_told_until_the_correction_is_undone() -> None:
    node, reference = result()
    draw(node, reference, "ET", (tumor() == 3) & (np.arange(SHAPE[2]) > 7))
    assert mrml.corrected_in(node) == ["ET"]
    assert algorithm_types(node) == ["AUTOMATIC", "AUTOMATIC", "SEMIAUTOMATIC"]
    draw(node, reference, "ET", tumor() == 3)
    assert mrml.corrected_in(node) == [] and algorithm_types(node) == ["AUTOMATIC"] * 3
    node.GetSegmentation().RemoveSegment("ED")
    assert mrml.corrected_in(node) == ["ED"]


def test_what_another_program_or_a_person_has_made_is_not_called_computed() -> None:
    node, _ = result(regions=False)
    for name in ("NCR", "ED"):
        node.GetSegmentation().GetSegment(name).RemoveTag("MissingModality.VoxelsSHA256")
    node.GetSegmentation().GetSegment("ED").RemoveTag("DICOM.SegmentAlgorithmType")
    assert mrml.corrected_in(node) == ["ED"], "one of an earlier version says that it was computed"


def test_a_result_of_the_command_line_is_known_on_a_volume_stored_the_other_way_round(tmp_path: Path) -> None:
    """Slicer stores the slices of a DICOM series upward, others may have them downward."""
    reference = add_volume(matrix=GEOMETRIES["oblique"])
    labels = sitk.GetImageFromArray(tumor())
    labels.CopyInformation(mrml.image_of(reference))
    path = tmp_path / "tumor.seg.nrrd"
    write_segmentation(sitk.Flip(labels, [False, False, True]), path, computed=["NCR", "ET"])
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Result")
    storage = slicer.vtkMRMLSegmentationStorageNode()
    storage.SetFileName(str(path))
    assert storage.ReadData(node)
    node.SetReferenceImageGeometryParameterFromVolumeNode(reference)
    np.testing.assert_array_equal(mrml.classes_of(node, reference), tumor())
    assert mrml.corrected_in(node) == ["ED"]


def test_whole_tumor_and_core_follow_the_parts_again_and_again() -> None:
    node, reference = result()
    for first in (7, 9):
        classes = np.where(np.arange(SHAPE[2]) > first, tumor(), 0)
        for value, name in enumerate(("NCR", "ED", "ET"), 1):
            draw(node, reference, name, classes == value)
        assert mrml.update_regions(node) == []
        labels = sitk.GetArrayFromImage(mrml.label_map_of(node))
        np.testing.assert_array_equal(labels, classes)
        np.testing.assert_array_equal(drawn(node, reference, "WT"), classes > 0)
        np.testing.assert_array_equal(drawn(node, reference, "TC"), np.isin(classes, (1, 3)))
    assert list(node.GetSegmentation().GetSegmentIDs()) == IDS


def test_the_surface_of_a_whole_tumor_follows_too() -> None:
    node, reference = result()
    classes = np.where(np.arange(SHAPE[2]) > 9, tumor(), 0)
    for value, name in enumerate(("NCR", "ED", "ET"), 1):
        draw(node, reference, name, classes == value)
    node.GetSegmentation().CreateRepresentation("Closed surface")
    mrml.update_regions(node)
    anew = mrml.place_segmentation(mrml.build_segmentation(classes, reference, True), reference)
    bounds = [
        slicer.vtkMRMLSegmentationNode.GetClosedSurfaceInternalRepresentation(each, "WT").GetBounds()
        for each in (node, anew)
    ]
    assert bounds[0] == pytest.approx(bounds[1], abs=1e-3)


def test_a_whole_tumor_that_was_drawn_in_is_told_and_kept_until_it_is_to_go() -> None:
    node, reference = result()
    volumes = mrml.measures_of(node)[0]
    drawn_in = np.ones(SHAPE, bool)
    draw(node, reference, "WT", drawn_in)
    assert mrml.update_regions(node) == ["Whole tumor"]
    assert drawn(node, reference, "WT").all() and mrml.measures_of(node)[0] == volumes
    assert mrml.update_regions(node, drawn=True) == []
    np.testing.assert_array_equal(drawn(node, reference, "WT"), tumor() > 0)
    draw(node, reference, "ED", tumor() == 3)
    assert mrml.update_regions(node) == [], "one that was made anew follows again"


def test_what_the_editor_takes_from_a_region_for_a_part_is_told() -> None:
    """It takes what is painted into one segment from all others, unless it is told otherwise."""
    node, reference = result()
    stroke = np.zeros(SHAPE, bool)
    stroke[2:6, 2:8, 3:9] = True
    for name, values in (("ED", (2,)), ("NCR", (1,)), ("ET", (3,)), ("WT", (1, 2, 3)), ("TC", (1, 3))):
        mask = np.isin(tumor(), values)
        draw(node, reference, name, (mask | stroke) if name == "ED" else (mask & ~stroke))
    assert mrml.update_regions(node) == ["Whole tumor"], "the core has lost what its parts have lost"
    assert mrml.update_regions(node, drawn=True) == []
    np.testing.assert_array_equal(drawn(node, reference, "WT"), (tumor() > 0) | stroke)


def test_segments_that_are_surfaces_alone_are_turned_into_voxels() -> None:
    node, _ = result(regions=False)
    before = mrml.measures_of(node)[0]
    node.GetSegmentation().SetSourceRepresentationName("Closed surface")
    assert node.GetSegmentation().GetSegment("ED").GetRepresentation("Binary labelmap") is None
    assert mrml.measures_of(node)[0]["ED"] == pytest.approx(before["ED"], rel=0.25)
    assert "ED" in mrml.corrected_in(node)


def test_segments_that_reach_beyond_their_volume_are_not_measured_in_part() -> None:
    node, reference = result("plain", regions=False)
    moved = np.eye(4)
    moved[0, 3] = 8
    node.SetAndObserveTransformNodeID(add_transform(moved).GetID())
    with pytest.raises(ImageError, match="reaches beyond 'FLAIR'"):
        mrml.measures_of(node)
    node.SetAndObserveTransformNodeID(None)
    whole = mrml.measures_of(node)
    crop = slicer.util.addVolumeFromArray(mrml.voxels_of(reference)[:, :, :10].copy(), name="Cropped")
    node.SetReferenceImageGeometryParameterFromVolumeNode(crop)
    with pytest.raises(ImageError, match="reaches beyond 'Cropped'"):
        mrml.label_map_of(node)
    node.SetReferenceImageGeometryParameterFromVolumeNode(reference)
    assert mrml.measures_of(node) == whole
