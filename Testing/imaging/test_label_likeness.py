"""Maps in place of images are known by their plateaus, however soft their edges; images are let pass."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk

from MissingModalityLib.core.errors import ImageError
from MissingModalityLib.core.modalities import Modality
from MissingModalityLib.imaging.label_likeness import is_smoothed_map
from MissingModalityLib.imaging.preparation import prepare
from MissingModalityLib.imaging.reading import Study
from small_patient import brain_volume

SIZE = (48, 46, 44)
SHIFTED = sitk.TranslationTransform(3, (0.4, 0.7, 0.3))


def voxels() -> np.ndarray:
    return sitk.GetArrayFromImage(brain_volume(size=SIZE))


def noise() -> np.ndarray:
    return np.random.default_rng(0).normal(0, 1, SIZE[::-1])


def structures() -> np.ndarray:
    """0 air, 1 brain, 2 and 3 parts of a tumor."""
    brain = (voxels() > 0).astype(np.float32)
    brain[14:30, 14:32, 16:34] = 2
    brain[18:25, 18:26, 20:28] = 3
    return brain


def soft(array: np.ndarray) -> np.ndarray:
    return sitk.GetArrayFromImage(sitk.DiscreteGaussian(sitk.GetImageFromArray(array), 1.0))


def resampled(array: np.ndarray) -> np.ndarray:
    return sitk.GetArrayFromImage(sitk.Resample(sitk.GetImageFromArray(array), SHIFTED, sitk.sitkLinear))


MAPS = {
    "smoothed mask": lambda: soft((voxels() > 0).astype(np.float32)),
    "resampled mask": lambda: resampled((voxels() > 0).astype(np.float32)),
    "resampled label map": lambda: resampled(structures()),
    "label map with noise": lambda: structures() + 1e-4 * noise(),
    "probabilities": lambda: 1 / (1 + np.exp(-20 * (soft((voxels() > 0).astype(np.float32)) - 0.5))),
}
IMAGES = {
    "brain": voxels,
    "smoothed": lambda: soft(voxels()),
    "padded": lambda: np.where(voxels() > 0, voxels(), 65535).astype(np.uint16),
    "13 gray levels": lambda: np.round(voxels() / voxels().max() * 13),
    "repeated along a row": lambda: voxels()[:, :, ::6].repeat(6, 2),
    "one bright voxel": lambda: np.where(voxels() == voxels().max(), 1e9, voxels()),
    "ringing in the air": lambda: np.where((voxels() == 0) & (noise() < -0.8), -4, voxels()),
    "air of two values": lambda: np.pad(voxels(), 20, constant_values=-300),
}


@pytest.mark.parametrize("name", MAPS)
def test_maps_with_soft_edges_are_known(name: str) -> None:
    assert is_smoothed_map(MAPS[name]().astype(np.float32))


@pytest.mark.parametrize("name", IMAGES)
def test_images_are_no_maps(name: str) -> None:
    assert not is_smoothed_map(IMAGES[name]())


def test_nothing_at_all_is_no_map() -> None:
    assert not is_smoothed_map(np.zeros(SIZE[::-1], np.float32))


def test_a_mask_that_was_resampled_is_refused_by_its_name() -> None:
    image = sitk.GetImageFromArray(MAPS["resampled mask"]())
    image.SetSpacing((2.0, 2.0, 2.0))
    with pytest.raises(ImageError, match=r"m\.nii looks like a mask, .* resampled or smoothed"):
        prepare(Study({Modality.T2: image}, {Modality.T2: "m.nii"}))
