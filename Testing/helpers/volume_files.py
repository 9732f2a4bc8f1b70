"""Volumes of noise, in files of several kinds."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from MissingModalityLib.core.errors import ImageError
from MissingModalityLib.imaging.volumes import read_image

SHAPE = (12, 14, 16)  # z, y, x


def noise(shape: tuple[int, ...] = SHAPE, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(-5, 1000, shape).astype(np.int16)


def volume(array: np.ndarray | None = None) -> sitk.Image:
    image = sitk.GetImageFromArray(noise() if array is None else array)
    image.SetSpacing((0.9, 1.1, 5.5))
    image.SetOrigin((10, -20, 30))
    image.SetDirection((0, 0, 1, 1, 0, 0, 0, 1, 0))
    return image


def nifti(path: Path, affine: np.ndarray, shape: tuple[int, ...] = SHAPE[::-1]) -> Path:
    """A file whose sform is exactly `affine` (RAS) and that has no qform."""
    image = nibabel.Nifti1Image(noise(shape), None)
    image.header.set_sform(affine, 1)
    image.header.set_qform(np.diag(np.linalg.norm(affine, axis=0)), 0)
    nibabel.save(image, path)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(ImageError) as caught:
        read_image(path)
    assert str(path) in str(caught.value)
    return str(caught.value)
