"""Axes that are not quite at right angles: straightened where that is rounding, refused elsewhere."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from scipy.spatial.transform import Rotation

from MissingModalityLib.core.errors import ImageError
from MissingModalityLib.imaging.volumes import read_image
from volume_files import nifti, refusal, volume


def test_float_noise_in_the_axes_is_tolerated(tmp_path: Path) -> None:
    affine = np.diag([1.0, 1.0, 1.0, 1.0])
    affine[0, 1], affine[1, 0], affine[:3, 3] = 0.003, 0.001, (5, 6, 7)
    image = read_image(nifti(tmp_path / "x.nii.gz", affine))
    direction = np.reshape(image.GetDirection(), (3, 3))
    np.testing.assert_allclose(direction @ direction.T, np.eye(3), atol=1e-6)
    np.testing.assert_allclose(direction, np.diag([-1, -1, 1]), atol=0.004)
    np.testing.assert_allclose(image.GetOrigin(), (-5, -6, 7))
    assert "ITK_NIFTI_SFORM_PERMISSIVE" not in os.environ


def test_sheared_volume_is_refused_with_a_remedy(tmp_path: Path) -> None:
    affine = np.eye(4)
    affine[0, 1] = 0.3
    assert "Resample" in refusal(nifti(tmp_path / "x.nii.gz", affine))


def sheared(path: Path, shear: float, turn: np.ndarray | None = None) -> Path:
    affine = np.eye(4)
    affine[0, 1] = shear
    affine[:3, :3] = (np.eye(3) if turn is None else turn) @ affine[:3, :3]
    return nifti(path, affine)


@pytest.mark.parametrize("shear", [0, 5e-5, 3e-4, 0.003, 0.0087])
def test_oblique_volume_with_nearly_straight_axes_keeps_its_orientation(tmp_path: Path, shear: float) -> None:
    turn = Rotation.from_euler("xyz", [25, -10, 33], degrees=True).as_matrix()
    image = read_image(sheared(tmp_path / "x.nii", shear, turn))
    direction = np.reshape(image.GetDirection(), (3, 3))
    np.testing.assert_allclose(direction, np.diag([-1, -1, 1]) @ turn, atol=max(1e-6, shear))


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_shear_is_refused_in_files_of_every_kind(tmp_path: Path, suffix: str) -> None:
    image = volume()
    image.SetDirection((1, 0.0998, 0, 0, 0.995, 0, 0, 0, 1))
    sitk.WriteImage(image, str(tmp_path / f"x{suffix}"))
    assert "sheared" in refusal(tmp_path / f"x{suffix}")


def test_threads_that_read_nearly_straight_volumes_leave_sheared_ones_refused(tmp_path: Path) -> None:
    nearly, truly = sheared(tmp_path / "nearly.nii", 0.01), sheared(tmp_path / "truly.nii", 0.3)

    def read(path: Path) -> bool:
        try:
            return bool(read_image(path))
        except ImageError:
            return False

    with ThreadPoolExecutor(4) as threads:
        known = list(threads.map(read, [nearly, nearly, truly] * 60))
    assert known == [True, True, False] * 60
    assert "ITK_NIFTI_SFORM_PERMISSIVE" not in os.environ
    assert not read(truly)


def test_real_headers_keep_their_directions(real_case) -> None:
    for name in ("BraTS2021_00019", "TCGA-FG-6692_native_unstripped"):
        for path in sorted(real_case(name).glob("*.nii.gz")):
            assert read_image(path).GetDirection() == sitk.ReadImage(str(path)).GetDirection()
