"""Which nodes can be segmented, which sequence each is, and the files written of them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import slicer
import slicer.util

import slicer_standin
from MissingModalityLib import mrml
from MissingModalityLib.clinical import content
from MissingModalityLib.core.errors import ImageError
from MissingModalityLib.core.modalities import Modality
from MissingModalityLib.imaging.header_geometry import file_geometry
from MissingModalityLib.imaging.volumes import read_image
from mrml_nodes import GEOMETRIES, SHAPE, add_volume

slicer_standin.install()


@pytest.fixture
def scene() -> Iterator[Any]:
    yield slicer_standin.new_scene()
    slicer.mrmlScene.Clear(0)


def test_written_inputs_read_back_on_the_same_grid(scene: Any, tmp_path: Path) -> None:
    node = add_volume(matrix=GEOMETRIES["oblique"])
    paths = mrml.write_inputs({Modality.T2: node}, tmp_path)
    image, expected = read_image(paths[Modality.T2]), mrml.image_of(node)
    np.testing.assert_allclose(image.GetDirection(), expected.GetDirection(), atol=1e-9)
    np.testing.assert_allclose(image.GetOrigin(), expected.GetOrigin(), atol=1e-9)
    np.testing.assert_array_equal(sitk.GetArrayViewFromImage(image), sitk.GetArrayViewFromImage(expected))


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
    "NaN": (_not_a_number, "Broken holds 1 voxel of NaN"),
    "two slices": (_two_slices, "Localizer has only 2 slices"),
}


@pytest.mark.parametrize(("make", "message"), BAD_NODES.values(), ids=BAD_NODES)
def test_node_that_is_no_usable_volume_is_named(scene: Any, make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ImageError, match=message):
        mrml.check_nodes({Modality.T1CE: make()})


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


def test_voxels_decide_where_name_and_header_are_silent(scene: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content, "sequence_of", lambda image: (Modality.T2, 0.93))
    silent, named = add_volume("Volume"), add_volume("FLAIR")
    guesses = mrml.detect_inputs(scene)
    assert (guesses[silent.GetID()].modality, guesses[silent.GetID()].confidence) == (Modality.T2, 0.93)
    assert guesses[silent.GetID()].reason == "Neither name nor header tells; the image looks like T2."
    assert guesses[named.GetID()].modality is Modality.FLAIR


@pytest.mark.parametrize("name", ["ADC map", "T1 T2"])
def test_voxels_do_not_overrule_a_name_that_speaks(
    scene: Any, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(content, "sequence_of", lambda image: (Modality.T2, 0.93))
    node = add_volume(name)
    assert mrml.detect_inputs(scene)[node.GetID()].modality is None


def test_without_the_packages_that_it_takes_a_silent_name_stays_silent(
    scene: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = add_volume("Volume")
    monkeypatch.setitem(sys.modules, "safetensors", None)
    for name in ("content", "sequence_network"):
        monkeypatch.delitem(sys.modules, f"MissingModalityLib.clinical.{name}", raising=False)
    guess = mrml.detect_inputs(scene)[node.GetID()]
    assert (guess.modality, guess.confidence) == (None, 0.0)
    assert guess.silent


def test_file_name_counts_when_the_node_has_another_name(scene: Any, tmp_path: Path) -> None:
    node = add_volume("Volume")
    storage = scene.AddNewNodeByClass("vtkMRMLVolumeArchetypeStorageNode")
    storage.SetFileName(str(tmp_path / "patient_t1ce.nii.gz"))
    node.SetAndObserveStorageNodeID(storage.GetID())
    assert mrml.detect_inputs(scene)[node.GetID()].modality is Modality.T1CE


def test_of_two_volumes_for_one_sequence_the_more_confident_is_taken(scene: Any) -> None:
    weak = add_volume("T1")
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
