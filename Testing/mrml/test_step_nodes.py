"""Masks of the brain and transforms of moved volumes, as nodes and as images."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import slicer
import slicer.util

import slicer_standin
from MissingModalityLib import mrml
from MissingModalityLib.core.errors import ImageError
from mrml_nodes import GEOMETRIES, SHAPE, add_transform, add_volume, rotation

slicer_standin.install()


@pytest.fixture
def scene() -> Iterator[Any]:
    yield slicer_standin.new_scene()
    slicer.mrmlScene.Clear(0)


def brain() -> np.ndarray:
    """(z, y, x) with no symmetry, so that a wrong axis or place shows."""
    mask = np.zeros(SHAPE, np.uint8)
    mask[3:9, 4:12, 5:15] = 1
    mask[2, 4, 5] = 1
    return mask


def add_segmentation(*names: str, matrix: np.ndarray | None = None) -> Any:
    """Each segment holds the brain."""
    volume = add_volume("Drawn on", matrix)
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Drawn")
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    for name in names:
        node.GetSegmentation().AddEmptySegment(name, name)
        slicer.util.updateSegmentBinaryLabelmapFromArray(brain(), node, name, volume)
    return node


def points_inside(image: sitk.Image) -> set[tuple[float, ...]]:
    """Where the voxels of a mask lie (LPS, mm)."""
    indices = np.argwhere(sitk.GetArrayViewFromImage(image))[:, ::-1].tolist()
    return {tuple(np.round(image.TransformIndexToPhysicalPoint(index), 3)) for index in indices}


def expected_points(matrix: np.ndarray) -> set[tuple[float, ...]]:
    indices = np.argwhere(brain())[:, ::-1]
    ras = (matrix @ np.c_[indices, np.ones(len(indices))].T)[:3].T
    return {tuple(np.round(point, 3)) for point in ras * [-1, -1, 1]}


@pytest.mark.parametrize("matrix", GEOMETRIES.values(), ids=GEOMETRIES)
def test_drawn_brain_lies_where_it_was_drawn(scene: Any, matrix: np.ndarray) -> None:
    image = mrml.brain_mask_of(add_segmentation("Whatever", matrix=matrix))
    assert points_inside(image) == expected_points(matrix)
    assert image.GetPixelID() == sitk.sitkUInt8


def test_drawn_brain_follows_its_parent_transform(scene: Any) -> None:
    node, turn = add_segmentation("Brain", matrix=GEOMETRIES["oblique"]), rotation(30, 1)
    turn[:3, 3] = 5, -7, 11
    node.SetAndObserveTransformNodeID(add_transform(turn).GetID())
    assert points_inside(mrml.brain_mask_of(node)) == expected_points(turn @ GEOMETRIES["oblique"])


def test_label_map_volume_is_brain_where_it_is_not_zero(scene: Any) -> None:
    node = add_volume("Mask", GEOMETRIES["oblique"], "vtkMRMLLabelMapVolumeNode")
    slicer.util.updateVolumeFromArray(node, brain() * 7)
    image = mrml.brain_mask_of(node)
    assert points_inside(image) == expected_points(GEOMETRIES["oblique"])
    assert sitk.GetArrayViewFromImage(image).max() == 1


def test_a_label_map_of_a_tumor_is_no_brain(scene: Any) -> None:
    node = add_volume("Tumor", kind="vtkMRMLLabelMapVolumeNode")
    labels = brain()
    labels[4:6, 6:8, 7:9] = 4
    for values, told in ((labels, "0, 1, 4"), (brain() + 1, "1, 2"), (brain() * 0 + 1, "1")):
        slicer.util.updateVolumeFromArray(node, values)
        with pytest.raises(
            ImageError, match=rf"'Tumor' is no mask: it holds the values {told}, and a mask has"
        ):
            mrml.brain_mask_of(node)


def test_of_several_segments_the_one_called_brain_is_taken(scene: Any) -> None:
    node = add_segmentation("Tumor", "brain ")
    slicer.util.updateSegmentBinaryLabelmapFromArray(
        np.zeros(SHAPE, np.uint8), node, "Tumor", slicer.util.getNode("Drawn on")
    )
    assert points_inside(mrml.brain_mask_of(node)) == expected_points(np.eye(4))


def test_several_segments_without_such_a_name_are_refused(scene: Any) -> None:
    with pytest.raises(ImageError, match=r"'Drawn' has 2 segments\. .*name its segment 'Brain'"):
        mrml.brain_mask_of(add_segmentation("Left", "Right"))


def _empty_segment() -> Any:
    node = add_segmentation()
    node.GetSegmentation().AddEmptySegment("Brain", "Brain")
    return node


def _zero_label_map() -> Any:
    node = add_volume("Drawn", kind="vtkMRMLLabelMapVolumeNode")
    slicer.util.updateVolumeFromArray(node, np.zeros(SHAPE, np.uint8))
    return node


@pytest.mark.parametrize("make", [add_segmentation, _empty_segment, _zero_label_map])
def test_a_mask_without_brain_is_refused(scene: Any, make: Any) -> None:
    with pytest.raises(ImageError, match="'Drawn' holds no brain"):
        mrml.brain_mask_of(make())


def test_a_volume_that_is_no_mask_is_refused(scene: Any) -> None:
    with pytest.raises(ImageError, match="'FLAIR' is no brain mask"):
        mrml.brain_mask_of(add_volume())


@pytest.mark.parametrize("matrix", GEOMETRIES.values(), ids=GEOMETRIES)
def test_a_mask_added_to_the_scene_reads_back_as_it_was(scene: Any, matrix: np.ndarray) -> None:
    mask = mrml.brain_mask_of(add_segmentation("Brain", matrix=matrix))
    node = mrml.add_brain_mask(scene, mask, "FLAIR brain")
    assert points_inside(mrml.brain_mask_of(node)) == expected_points(matrix)
    assert node.GetName() == "FLAIR brain"
    assert not node.GetDisplayNode().GetVisibility2DFill()


def test_a_volume_under_the_transform_node_goes_where_the_registration_has_found_it(scene: Any) -> None:
    movement = sitk.Euler3DTransform((10.0, -5.0, 3.0), 0.1, -0.2, 0.3, (4.0, 5.0, -6.0))
    node = mrml.add_transform(scene, movement, "T1ce onto FLAIR")
    assert node.GetName() == "T1ce onto FLAIR"
    volume = add_volume("T1ce", GEOMETRIES["oblique"])
    before = mrml.image_of(volume).TransformIndexToPhysicalPoint((3, 4, 5))
    volume.SetAndObserveTransformNodeID(node.GetID())
    after = mrml.image_of(volume).TransformIndexToPhysicalPoint((3, 4, 5))
    np.testing.assert_allclose(movement.TransformPoint(after), before, atol=1e-6)
