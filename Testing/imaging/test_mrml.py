"""MRML nodes to images and back, on real MRML classes: geometry, refusals, segments, files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
import slicer
import slicer.util
import vtk

import slicer_standin
from checkout import terminology
from MissingModalityLib import mrml
from MissingModalityLib.core.errors import ImageError
from MissingModalityLib.core.modalities import Modality
from MissingModalityLib.core.segments import OWN_CONTEXT, REGION_SEGMENTS, SEGMENTS
from MissingModalityLib.imaging.header_geometry import file_geometry
from MissingModalityLib.imaging.volumes import read_image

slicer_standin.install()

SHAPE = (12, 16, 20)
AddVolume = Callable[..., Any]


@pytest.fixture
def scene() -> Iterator[Any]:
    yield slicer_standin.new_scene()
    slicer.mrmlScene.Clear(0)


def add_volume(
    name: str = "FLAIR", matrix: np.ndarray | None = None, kind: str = "vtkMRMLScalarVolumeNode"
) -> Any:
    """A volume of noise in the scene; ``matrix`` (4, 4) goes from voxel indices to RAS."""
    array = np.random.default_rng(0).normal(100, 20, SHAPE).astype(np.float32)
    node = slicer.util.addVolumeFromArray(array, nodeClassName=kind, name=name)
    if matrix is not None:
        node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(matrix))
    return node


def rotation(degrees: float, axis: int) -> np.ndarray:
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    matrix = np.eye(4)
    first, second = (index for index in range(3) if index != axis)
    matrix[[first, first, second, second], [first, second, first, second]] = cosine, -sine, sine, cosine
    return matrix


def add_transform(matrix: np.ndarray) -> Any:
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "Registration")
    node.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    return node


GEOMETRIES = {
    "plain": np.eye(4),
    "anisotropic": np.array([[0.5, 0, 0, 10], [0, 0.5, 0, -20], [0, 0, 5, 30], [0, 0, 0, 1]]),
    "flipped": np.array([[-1.0, 0, 0, 9], [0, 1, 0, 2], [0, 0, -2, 5], [0, 0, 0, 1]]),
    "oblique": rotation(25, 0) @ rotation(-10, 2) @ np.diag([1, 0.9, 3, 1.0]),
}


def blob() -> np.ndarray:
    """Classes with different counts, each touching the others."""
    classes = np.zeros(SHAPE, np.uint8)
    classes[3:9, 4:12, 5:15] = 2
    classes[4:8, 5:10, 6:12] = 3
    classes[5:7, 6:8, 7:10] = 1
    return classes


@pytest.mark.parametrize("matrix", GEOMETRIES.values(), ids=GEOMETRIES)
def test_image_has_every_voxel_where_the_node_has_it(scene: Any, matrix: np.ndarray) -> None:
    node = add_volume(matrix=matrix)
    image = mrml.image_of(node)
    for index in ((0, 0, 0), (19, 0, 0), (3, 15, 11)):
        ras = (matrix @ [*index, 1])[:3]
        lps = image.TransformIndexToPhysicalPoint(index)
        np.testing.assert_allclose(lps, ras * [-1, -1, 1], atol=1e-6)
    np.testing.assert_array_equal(sitk.GetArrayViewFromImage(image), slicer.util.arrayFromVolume(node))


def test_image_follows_a_rigid_parent_transform(scene: Any) -> None:
    node = add_volume(matrix=GEOMETRIES["anisotropic"])
    transform = rotation(30, 1)
    transform[:3, 3] = 5, -7, 11
    node.SetAndObserveTransformNodeID(add_transform(transform).GetID())
    lps = mrml.image_of(node).TransformIndexToPhysicalPoint((4, 5, 6))
    ras = (transform @ GEOMETRIES["anisotropic"] @ [4, 5, 6, 1])[:3]
    np.testing.assert_allclose(lps, ras * [-1, -1, 1], atol=1e-6)


def test_shear_is_refused_by_node_name(scene: Any) -> None:
    node = add_volume("Tilted")
    node.SetAndObserveTransformNodeID(add_transform(np.array([[1, 0.3, 0, 0], *np.eye(4)[1:]])).GetID())
    with pytest.raises(ImageError, match=r"'Tilted'.*Resample"):
        mrml.image_of(node)


@pytest.mark.parametrize("degrees", [0.02, 0.5, 1.0, 1.2, 3.0])
def test_sheared_volume_is_judged_alike_as_file_and_as_node(
    scene: Any, tmp_path: Path, degrees: float
) -> None:
    matrix = GEOMETRIES["oblique"].copy()
    matrix[:3, 1] += np.tan(np.radians(degrees)) * 0.9 * matrix[:3, 0]
    node = add_volume("Tilted", matrix)
    file = nibabel.Nifti1Image(mrml.voxels_of(node).T, None)
    file.header.set_sform(matrix, 1)
    file.header.set_qform(np.diag(np.linalg.norm(matrix, axis=0)), 0)
    nibabel.save(file, tmp_path / "tilted.nii")
    if degrees > 1.1:
        with pytest.raises(ImageError, match="sheared"):
            read_image(tmp_path / "tilted.nii")
        with pytest.raises(ImageError, match="slanted"):
            mrml.image_of(node)
        return
    from_file, from_node = read_image(tmp_path / "tilted.nii"), mrml.image_of(node)
    np.testing.assert_allclose(from_file.GetDirection(), from_node.GetDirection(), atol=1e-4)
    np.testing.assert_allclose(from_file.GetSpacing(), from_node.GetSpacing(), rtol=1e-4)
    np.testing.assert_allclose(from_file.GetOrigin(), from_node.GetOrigin(), atol=1e-4)


def test_bending_transform_is_refused_with_the_remedy(scene: Any) -> None:
    node = add_volume("Warped")
    warp = scene.AddNewNodeByClass("vtkMRMLTransformNode", "Warp")
    spline = vtk.vtkThinPlateSplineTransform()
    warp.SetAndObserveTransformToParent(spline)
    node.SetAndObserveTransformNodeID(warp.GetID())
    with pytest.raises(ImageError, match=r"'Warped'.*'Warp'.*Harden"):
        mrml.image_of(node)


def test_written_inputs_read_back_on_the_same_grid(scene: Any, tmp_path: Path) -> None:
    node = add_volume(matrix=GEOMETRIES["oblique"])
    paths = mrml.write_inputs({Modality.T2: node}, tmp_path)
    image, expected = read_image(paths[Modality.T2]), mrml.image_of(node)
    np.testing.assert_allclose(image.GetDirection(), expected.GetDirection(), atol=1e-9)
    np.testing.assert_allclose(image.GetOrigin(), expected.GetOrigin(), atol=1e-9)
    np.testing.assert_array_equal(sitk.GetArrayViewFromImage(image), sitk.GetArrayViewFromImage(expected))


@pytest.mark.parametrize("matrix", GEOMETRIES.values(), ids=GEOMETRIES)
def test_added_volume_has_the_geometry_of_its_image(scene: Any, matrix: np.ndarray) -> None:
    original = add_volume(matrix=matrix)
    copy = mrml.add_volume(scene, mrml.image_of(original), "FLAIR")
    assert slicer.vtkSlicerVolumesLogic().CompareVolumeGeometry(original, copy) == ""
    assert copy.GetName() != original.GetName()
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(copy), slicer.util.arrayFromVolume(original))


def test_guessing_holds_on_to_no_node(scene: Any) -> None:
    node = add_volume("FLAIR")
    before = node.GetReferenceCount()
    for _ in range(3):
        assert mrml.detect_inputs(scene)
    assert node.GetReferenceCount() == before


def test_no_volume_is_refused() -> None:
    with pytest.raises(ImageError, match="at least one of FLAIR, T1ce, T1 and T2"):
        mrml.check_nodes({})


def test_one_volume_for_two_sequences_is_refused(scene: Any) -> None:
    node = add_volume("Brain")
    with pytest.raises(ImageError, match="'Brain' is chosen for both FLAIR and T2"):
        mrml.check_nodes({Modality.FLAIR: node, Modality.T2: node})


def _label_map() -> Any:
    return add_volume("Mask", kind="vtkMRMLLabelMapVolumeNode")


def _vector() -> Any:
    array = np.random.default_rng(0).random((*SHAPE, 3)).astype(np.float32)
    return slicer.util.addVolumeFromArray(array, nodeClassName="vtkMRMLVectorVolumeNode", name="Color")


def _sequence() -> Any:
    return slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode", "Perfusion")


def _empty() -> Any:
    return slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Nothing")


def _segmentation() -> Any:
    return slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Drawing")


def _model() -> Any:
    return slicer.mrmlScene.AddNewNodeByClass("vtkMRMLModelNode", "Skull")


def _constant() -> Any:
    return slicer.util.addVolumeFromArray(np.full(SHAPE, 7, np.int16), name="Flat")


def _not_a_number() -> Any:
    node = add_volume("Broken")
    slicer.util.arrayFromVolume(node)[0, 0, 0] = np.nan
    return node


def _two_slices() -> Any:
    return slicer.util.addVolumeFromArray(np.random.default_rng(0).normal(size=(2, 30, 30)), name="Localizer")


BAD_NODES = {
    "label map": (_label_map, "'Mask' chosen for T1ce is a label map"),
    "vector": (_vector, "'Color' chosen for T1ce has several values per voxel"),
    "sequence": (_sequence, "'Perfusion' chosen for T1ce is a series of volumes"),
    "empty": (_empty, "'Nothing' chosen for T1ce has no image data"),
    "segmentation": (_segmentation, "'Drawing' chosen for T1ce is a label map or segmentation"),
    "model": (_model, "'Skull' chosen for T1ce is a vtkMRMLModelNode"),
    "none": (lambda: None, "The volume chosen for T1ce is not there"),
    "constant": (_constant, "Flat is constant"),
    "NaN": (_not_a_number, "Broken holds 1 voxels that are NaN"),
    "two slices": (_two_slices, "Localizer has only 2 slices"),
}


@pytest.mark.parametrize(("make", "message"), BAD_NODES.values(), ids=BAD_NODES)
def test_node_that_is_no_usable_volume_is_named(scene: Any, make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ImageError, match=message):
        mrml.check_nodes({Modality.T1CE: make()})


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
    assert set(mrml.region_volumes(node).values()) == {0.0}


def test_chosen_output_node_is_overwritten_wholly(scene: Any) -> None:
    reference = add_volume()
    output = _segmentation()
    output.GetSegmentation().AddEmptySegment("Old", "Old")
    node = mrml.place_segmentation(mrml.build_segmentation(blob(), reference), reference, output)
    assert node is output
    assert list(node.GetSegmentation().GetSegmentIDs()) == ["NCR", "ED", "ET"]


def test_segmentation_joins_the_study_of_the_reference_volume(scene: Any) -> None:
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    study = hierarchy.CreateStudyItem(hierarchy.GetSceneItemID(), "Visit 1")
    reference, output = add_volume(), _segmentation()
    for node, parent in ((reference, study), (output, hierarchy.GetSceneItemID())):
        hierarchy.CreateItem(parent, node)
    mrml.place_segmentation(mrml.build_segmentation(blob(), reference), reference, output)
    assert hierarchy.GetItemParent(hierarchy.GetItemByDataNode(output)) == study


def test_volumes_are_in_cubic_centimeters_and_follow_spacing_and_scale(scene: Any) -> None:
    reference = add_volume(matrix=np.diag([1.0, 2, 3, 1]))
    reference.SetAndObserveTransformNodeID(add_transform(np.diag([2.0, 1, 1, 1])).GetID())
    node = mrml.place_segmentation(mrml.build_segmentation(blob(), reference, regions=True), reference)
    counts = {value: np.count_nonzero(blob() == value) for value in (1, 2, 3)}
    voxel = 12 / 1000
    volumes = mrml.region_volumes(node)
    assert volumes["NCR"] == pytest.approx(counts[1] * voxel)
    assert volumes["TC"] == pytest.approx((counts[1] + counts[3]) * voxel)
    assert volumes["WT"] == pytest.approx(sum(counts.values()) * voxel)


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


def test_each_loaded_volume_gets_a_guess_and_others_none(scene: Any) -> None:
    names = ("301: sag T2 FLAIR", "T1 MPRAGE post Gd", "t1_native", "T2w TSE", "Volume")
    nodes = [add_volume(name) for name in names]
    _label_map()
    _vector()
    _empty()
    guesses = mrml.detect_inputs(scene)
    assert list(guesses) == [node.GetID() for node in nodes]
    assert [guess.modality for guess in guesses.values()] == [
        *(Modality.FLAIR, Modality.T1CE, Modality.T1, Modality.T2),
        None,
    ]


def test_dicom_header_decides_where_the_name_is_silent(scene: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Database:
        def instanceValue(self, uid: str, tag: str) -> str:
            return {("1.2.3", "0008,103e"): "AX T2 FLAIR"}.get((uid, tag), "")

    node = add_volume("5: Unnamed")
    node.SetAttribute("DICOM.instanceUIDs", "1.2.3 1.2.4")
    monkeypatch.setattr(slicer, "dicomDatabase", Database(), raising=False)
    assert mrml.detect_inputs(scene)[node.GetID()].modality is Modality.FLAIR


def test_series_with_a_slice_missing_is_refused(scene: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Database:
        def instanceValue(self, uid: str, tag: str) -> str:
            places = {"0020,0032": f"0\\0\\{uid}", "0020,0037": "1\\0\\0\\0\\1\\0"}
            return places.get(tag, "")

    monkeypatch.setattr(slicer, "dicomDatabase", Database(), raising=False)
    node = add_volume("3: FLAIR")
    node.SetAttribute("DICOM.instanceUIDs", " ".join(map(str, range(SHAPE[0]))))
    mrml.check_nodes({Modality.FLAIR: node})
    node.SetAttribute("DICOM.instanceUIDs", "0 1 2 3 5 6 7 8 9 10 11 12")
    with pytest.raises(ImageError, match=r"3: FLAIR.*2 mm between slices 4 and 5"):
        mrml.check_nodes({Modality.FLAIR: node})


def test_shear_beyond_rounding_is_told_by_whoever_reads_the_written_input(scene: Any, tmp_path: Path) -> None:
    matrix = np.eye(4)
    matrix[0, 1] = 0.01
    for node, count in ((add_volume("Tilted", matrix), 1), (add_volume("Straight"), 0)):
        path = mrml.write_inputs({Modality.T2: node}, tmp_path)[Modality.T2]
        assert len(file_geometry(path).warnings) == count
        np.testing.assert_allclose(
            read_image(path).GetDirection(), mrml.image_of(node).GetDirection(), atol=1e-6
        )


def test_file_name_counts_when_the_node_has_another_name(scene: Any, tmp_path: Path) -> None:
    node = add_volume("Volume")
    storage = scene.AddNewNodeByClass("vtkMRMLVolumeArchetypeStorageNode")
    storage.SetFileName(str(tmp_path / "patient_t1ce.nii.gz"))
    node.SetAndObserveStorageNodeID(storage.GetID())
    assert mrml.detect_inputs(scene)[node.GetID()].modality is Modality.T1CE


def test_of_two_volumes_for_one_sequence_the_more_confident_is_taken(scene: Any) -> None:
    weak = add_volume("T1 FLAIR")
    strong = add_volume("T1 pre contrast")
    chosen, warnings = mrml.assign_inputs(scene, mrml.detect_inputs(scene))
    assert chosen == {Modality.T1: strong}
    (warning,) = warnings
    assert weak.GetName() in warning
    assert strong.GetName() in warning


def test_of_equal_volumes_the_first_is_taken_and_the_other_told(scene: Any) -> None:
    first = add_volume("FLAIR a")
    add_volume("FLAIR b")
    chosen, warnings = mrml.assign_inputs(scene, mrml.detect_inputs(scene))
    assert chosen == {Modality.FLAIR: first}
    assert warnings == ["'FLAIR b' (95%) looks like FLAIR too; 'FLAIR a' (95%) was taken."]


def test_doubtful_guess_is_not_filled_in(scene: Any) -> None:
    add_volume("post contrast")
    chosen, warnings = mrml.assign_inputs(scene, mrml.detect_inputs(scene))
    assert chosen == {}
    assert "'post contrast' was left out" in warnings[0]


def test_slicer_loads_the_own_terminology(scene: Any) -> None:
    logic = slicer.vtkSlicerTerminologiesModuleLogic()
    assert logic.LoadTerminologyFromFile(str(terminology())) == OWN_CONTEXT
    category, entry = slicer.vtkSlicerTerminologyCategory(), slicer.vtkSlicerTerminologyType()
    assert logic.GetNthCategoryInTerminology(OWN_CONTEXT, 0, category)
    colors = {}
    for index in range(logic.GetNumberOfTypesInTerminologyCategory(OWN_CONTEXT, category)):
        logic.GetNthTypeInTerminologyCategory(OWN_CONTEXT, category, index, entry)
        colors[entry.GetCodeValue()] = entry.GetRecommendedDisplayRGBValue()
    own = [s for s in (*SEGMENTS, *REGION_SEGMENTS) if s.terminology.startswith(OWN_CONTEXT)]
    assert colors == {segment.terminology.split("~")[2].split("^")[1]: segment.color for segment in own}
