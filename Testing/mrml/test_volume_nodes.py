"""Volume nodes to images and back, on real MRML classes: geometry and its refusals."""

from __future__ import annotations

from collections.abc import Iterator
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
from MissingModalityLib import mrml
from MissingModalityLib.core.errors import ImageError
from MissingModalityLib.imaging.volumes import read_image
from mrml_nodes import GEOMETRIES, add_transform, add_volume, rotation

slicer_standin.install()


@pytest.fixture
def scene() -> Iterator[Any]:
    yield slicer_standin.new_scene()
    slicer.mrmlScene.Clear(0)


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


@pytest.mark.parametrize("matrix", GEOMETRIES.values(), ids=GEOMETRIES)
def test_added_volume_has_the_geometry_of_its_image(scene: Any, matrix: np.ndarray) -> None:
    original = add_volume(matrix=matrix)
    copy = mrml.add_volume(scene, mrml.image_of(original), "FLAIR")
    assert slicer.vtkSlicerVolumesLogic().CompareVolumeGeometry(original, copy) == ""
    assert copy.GetName() != original.GetName()
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(copy), slicer.util.arrayFromVolume(original))
