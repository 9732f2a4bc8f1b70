"""Label maps to segmentation nodes, on real MRML classes: geometry, names, codes, volumes, files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import slicer
import slicer.util

import slicer_standin
from checkout import terminology
from MissingModalityLib import mrml
from MissingModalityLib.core.errors import ImageError
from MissingModalityLib.core.segments import CAVITY_SEGMENT, OWN_CONTEXT, REGION_SEGMENTS, SEGMENTS
from mrml_nodes import GEOMETRIES, SHAPE, add_transform, add_volume, rotation

slicer_standin.install()


@pytest.fixture
def scene() -> Iterator[Any]:
    yield slicer_standin.new_scene()
    slicer.mrmlScene.Clear(0)


def blob() -> np.ndarray:
    """Classes with different counts, each touching the others."""
    classes = np.zeros(SHAPE, np.uint8)
    classes[3:9, 4:12, 5:15] = 2
    classes[4:8, 5:10, 6:12] = 3
    classes[5:7, 6:8, 7:10] = 1
    return classes


@pytest.mark.parametrize("matrix", GEOMETRIES.values(), ids=GEOMETRIES)
def test_segments_lie_on_the_reference_voxels(scene: Any, matrix: np.ndarray) -> None:
    reference = add_volume(matrix=matrix)
    node = mrml.place_segmentation(mrml.build_segmentation(blob(), reference, regions=True), reference)
    for segment in (*SEGMENTS, *REGION_SEGMENTS):
        mask = slicer.util.arrayFromSegmentBinaryLabelmap(node, segment.id, reference)
        np.testing.assert_array_equal(mask != 0, np.isin(blob(), segment.classes))
    np.testing.assert_array_equal(mrml.classes_of(node, reference), blob())


def test_segments_stay_on_the_reference_volume_under_its_transform(scene: Any) -> None:
    reference = add_volume(matrix=GEOMETRIES["oblique"])
    transform = add_transform(rotation(40, 2))
    reference.SetAndObserveTransformNodeID(transform.GetID())
    node = mrml.place_segmentation(mrml.build_segmentation(blob(), reference), reference)
    assert node.GetParentTransformNode() is transform
    mask = slicer.util.arrayFromSegmentBinaryLabelmap(node, "ED", reference)
    np.testing.assert_array_equal(mask != 0, blob() == 2)


def test_a_label_map_is_that_which_is_shown_after_the_volume_was_hardened_alone(scene: Any) -> None:
    reference = add_volume(matrix=GEOMETRIES["oblique"])
    reference.SetAndObserveTransformNodeID(add_transform(rotation(40, 2)).GetID())
    node = mrml.place_segmentation(mrml.build_segmentation(blob(), reference), reference)
    reference.HardenTransform()
    assert node.GetParentTransformNode() is not None and reference.GetParentTransformNode() is None
    np.testing.assert_array_equal(mrml.classes_of(node, reference), blob())


@pytest.mark.parametrize("matrix", GEOMETRIES.values(), ids=GEOMETRIES)
def test_the_middle_of_a_tumor_is_that_of_its_largest_part_where_it_is_shown(
    scene: Any, matrix: np.ndarray
) -> None:
    reference = add_volume(matrix=matrix)
    transform = rotation(40, 2)
    reference.SetAndObserveTransformNodeID(add_transform(transform).GetID())
    classes = blob()
    classes[0, 0:2, 0:3] = 2
    middle = transform @ matrix @ (9.5, 7.5, 5.5, 1)
    np.testing.assert_allclose(mrml.tumor_center(classes, reference), middle[:3], atol=1e-3)
    assert mrml.tumor_center(np.zeros(SHAPE, np.uint8), reference) is None


def test_segments_carry_names_colors_and_codes(scene: Any) -> None:
    reference = add_volume()
    node = mrml.place_segmentation(mrml.build_segmentation(blob(), reference, regions=True), reference)
    for segment in (*SEGMENTS, *REGION_SEGMENTS):
        entry = node.GetSegmentation().GetSegment(segment.id)
        assert entry.GetName() == segment.name
        assert entry.GetColor() == pytest.approx(segment.unit_color)
        assert entry.GetTerminology() == segment.terminology


def test_reference_role_and_surfaces_are_there(scene: Any) -> None:
    reference = add_volume(matrix=GEOMETRIES["anisotropic"])
    node = mrml.place_segmentation(mrml.build_segmentation(blob(), reference), reference)
    assert node.GetNodeReference(node.GetReferenceImageGeometryReferenceRole()) is reference
    for segment in SEGMENTS:
        surface = slicer.vtkMRMLSegmentationNode.GetClosedSurfaceInternalRepresentation(node, segment.id)
        assert surface.GetNumberOfPoints() > 10
    bounds = surface.GetBounds()
    # ET spans voxels 6..11 of 0.5 mm along x; smoothing moves the surface by less than a voxel.
    assert (bounds[0], bounds[1]) == pytest.approx((10 + 5.5 * 0.5, 10 + 11.5 * 0.5), abs=0.5)


def test_classes_without_voxels_become_empty_segments(scene: Any) -> None:
    reference = add_volume()
    node = mrml.place_segmentation(mrml.build_segmentation(np.zeros(SHAPE, np.uint8), reference), reference)
    assert node.GetSegmentation().GetNumberOfSegments() == 3
    assert set(mrml.measures_of(node)[0].values()) == {0.0}


def test_chosen_output_node_is_overwritten_wholly(scene: Any) -> None:
    reference = add_volume()
    output = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Drawing")
    output.GetSegmentation().AddEmptySegment("Old", "Old")
    output.CreateDefaultDisplayNodes()
    output.GetDisplayNode().SetVisibility(False)
    node = mrml.place_segmentation(mrml.build_segmentation(blob(), reference), reference, output)
    assert node is output and node.GetDisplayNode().GetVisibility()
    assert list(node.GetSegmentation().GetSegmentIDs()) == ["NCR", "ED", "ET"]


def test_segmentation_joins_the_study_of_the_reference_volume(scene: Any) -> None:
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    study = hierarchy.CreateStudyItem(hierarchy.GetSceneItemID(), "Visit 1")
    reference = add_volume()
    output = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Drawing")
    for node, parent in ((reference, study), (output, hierarchy.GetSceneItemID())):
        hierarchy.CreateItem(parent, node)
    mrml.place_segmentation(mrml.build_segmentation(blob(), reference), reference, output)
    assert hierarchy.GetItemParent(hierarchy.GetItemByDataNode(output)) == study


def test_a_resection_cavity_is_a_segment_of_its_own_and_no_tumor(scene: Any) -> None:
    reference = add_volume(matrix=GEOMETRIES["oblique"])
    classes, center = blob(), mrml.tumor_center(blob(), reference)
    classes[10:, 13:, :18] = CAVITY_SEGMENT.value
    node = mrml.place_segmentation(mrml.build_segmentation(classes, reference, regions=True), reference)
    entry = node.GetSegmentation().GetSegment("RC")
    assert (entry.GetName(), entry.GetTerminology()) == (CAVITY_SEGMENT.name, CAVITY_SEGMENT.terminology)
    assert entry.GetColor() == pytest.approx(CAVITY_SEGMENT.unit_color)
    np.testing.assert_array_equal(mrml.classes_of(node, reference), classes)
    volumes, without = (
        mrml.measures_of(node)[0],
        mrml.place_segmentation(mrml.build_segmentation(blob(), reference), reference),
    )
    counts = np.count_nonzero(classes == CAVITY_SEGMENT.value), np.count_nonzero(classes == 3)
    assert volumes["RC"] / volumes["ET"] == pytest.approx(counts[0] / counts[1])
    assert {name: volumes[name] for name in volumes if name != "RC"} == mrml.measures_of(without)[0]
    assert mrml.tumor_center(classes, reference) == center


def test_volumes_are_in_cubic_centimeters_and_follow_spacing_and_scale(scene: Any) -> None:
    reference = add_volume(matrix=np.diag([1.0, 2, 3, 1]))
    reference.SetAndObserveTransformNodeID(add_transform(np.diag([2.0, 1, 1, 1])).GetID())
    node = mrml.place_segmentation(mrml.build_segmentation(blob(), reference, regions=True), reference)
    counts = {value: np.count_nonzero(blob() == value) for value in (1, 2, 3)}
    voxel = 12 / 1000
    volumes = mrml.measures_of(node)[0]
    assert volumes["NCR"] == pytest.approx(counts[1] * voxel)
    assert volumes["TC"] == pytest.approx((counts[1] + counts[3]) * voxel)
    assert volumes["WT"] == pytest.approx(sum(counts.values()) * voxel)
    # what one segment gains where another one stays, as when masks are not kept apart, is no more tumor
    node.GetSegmentation().GetSegment("NCR").DeepCopy(node.GetSegmentation().GetSegment("ET"))
    assert mrml.measures_of(node)[0]["TC"] == pytest.approx(counts[3] * voxel)


def test_result_for_a_volume_that_has_changed_is_refused(scene: Any) -> None:
    reference = add_volume()
    slicer.util.updateVolumeFromArray(reference, np.random.default_rng(0).normal(size=(9, 9, 9)))
    with pytest.raises(ImageError, match="changed or removed"):
        mrml.build_segmentation(blob(), reference)


def test_segmentation_file_reloads_identical(scene: Any, tmp_path: Path) -> None:
    reference = add_volume(matrix=GEOMETRIES["oblique"])
    node = mrml.place_segmentation(mrml.build_segmentation(blob(), reference, regions=True), reference)
    storage = slicer.vtkMRMLSegmentationStorageNode()
    storage.SetFileName(str(tmp_path / "tumor.seg.nrrd"))
    assert storage.WriteData(node)
    again = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Again")
    assert storage.ReadData(again)
    for segment in (*SEGMENTS, *REGION_SEGMENTS):
        entry = again.GetSegmentation().GetSegment(segment.id)
        assert (entry.GetName(), entry.GetTerminology()) == (segment.name, segment.terminology)
        assert entry.GetColor() == pytest.approx(segment.unit_color, abs=1 / 255)
        mask = slicer.util.arrayFromSegmentBinaryLabelmap(again, segment.id, reference)
        np.testing.assert_array_equal(mask != 0, np.isin(blob(), segment.classes))


def test_slicer_loads_the_own_terminology(scene: Any) -> None:
    logic = slicer.vtkSlicerTerminologiesModuleLogic()
    assert logic.LoadTerminologyFromFile(str(terminology())) == OWN_CONTEXT
    category, entry = slicer.vtkSlicerTerminologyCategory(), slicer.vtkSlicerTerminologyType()
    assert logic.GetNthCategoryInTerminology(OWN_CONTEXT, 0, category)
    colors = {}
    for index in range(logic.GetNumberOfTypesInTerminologyCategory(OWN_CONTEXT, category)):
        logic.GetNthTypeInTerminologyCategory(OWN_CONTEXT, category, index, entry)
        colors[entry.GetCodeValue()] = entry.GetRecommendedDisplayRGBValue()
    own = [s for s in (*SEGMENTS, CAVITY_SEGMENT, *REGION_SEGMENTS) if s.terminology.startswith(OWN_CONTEXT)]
    assert colors == {segment.terminology.split("~")[2].split("^")[1]: segment.color for segment in own}
