"""Registration of real cases, and of a synthetic one as a scanner would give it."""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from MissingModalityLib.clinical.registration import follow, register
from MissingModalityLib.core.errors import ImageError
from MissingModalityLib.core.modalities import MODALITIES, Modality
from MissingModalityLib.phantom.raw_patient import grow_raw_patient
from movements import corner_error, moved, thick_slices

pytestmark = pytest.mark.slow

CASE, STRANGER = "BraTS2021_00006", "BraTS2021_00003"
NATIVE = "TCGA-FG-6692_native_unstripped"
SHIFT_MM, DEGREES = (12.0, -12.0, 10.0), (9.0, -8.0, 9.0)

PAIRS = tuple(permutations(MODALITIES, 2))

Volumes = Callable[[Modality], sitk.Image]


@pytest.fixture
def volumes(real_case: Callable[[str], Path]) -> Callable[[str], Volumes]:
    """`volumes(case)(modality)` is read from disk."""
    return lambda case: (
        lambda modality: sitk.ReadImage(str(real_case(case) / f"{modality.name.lower()}.nii.gz"))
    )


def center_of(image: sitk.Image) -> np.ndarray:
    voxels = np.argwhere(sitk.GetArrayViewFromImage(image) > 0).mean(axis=0)[::-1]
    return np.array(image.TransformContinuousIndexToPhysicalPoint(voxels.tolist()))


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_20_mm_and_15_degrees_come_back(volumes, first: Modality, second: Modality) -> None:
    reference = volumes(CASE)(first)
    image, way = moved(volumes(CASE)(second), SHIFT_MM, DEGREES)
    found = register(reference, image, (first.title, second.title))
    assert found.moved
    assert not found.doubt
    assert corner_error(found.transform, way, center_of(reference)) < 2.0


@pytest.mark.parametrize("axis", range(3))
def test_thick_slices_come_back(volumes, axis: int) -> None:
    reference = volumes(CASE)(Modality.FLAIR)
    image, way = moved(volumes(CASE)(Modality.T1CE), SHIFT_MM, DEGREES)
    found = register(reference, thick_slices(image, 5.0, axis), ("FLAIR", "T1ce"))
    assert corner_error(found.transform, way, center_of(reference)) < 3.0


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_registered_volumes_are_left_alone(volumes, first: Modality, second: Modality) -> None:
    found = register(volumes(CASE)(first), volumes(CASE)(second), (first.title, second.title))
    assert not found.moved
    assert not found.doubt


def test_another_patient_is_refused(volumes) -> None:
    stranger, _ = moved(volumes(STRANGER)(Modality.T1), SHIFT_MM, DEGREES)
    with pytest.raises(ImageError, match="same patient"):
        register(volumes(CASE)(Modality.FLAIR), stranger, ("FLAIR", "T1"))


@pytest.mark.parametrize("second", [Modality.T1CE, Modality.T1, Modality.T2])
def test_a_raw_head_is_found_wherever_its_header_says_it_lies(volumes, second: Modality) -> None:
    reference, original = volumes(NATIVE)(Modality.FLAIR), volumes(NATIVE)(second)
    image, _ = moved(original, SHIFT_MM, DEGREES)
    names = ("FLAIR", second.title)
    here, there = (follow(one, register(reference, one, names)) for one in (original, image))
    for voxel in np.ndindex(2, 2, 2):
        index = [int(end * (side - 1)) for end, side in zip(voxel, original.GetSize(), strict=True)]
        places = [one.TransformIndexToPhysicalPoint(index) for one in (here, there)]
        assert np.linalg.norm(np.subtract(*places)) < 2.5


def test_a_raw_synthetic_patient_comes_into_one_space() -> None:
    patient = grow_raw_patient(5)
    for modality in (Modality.T1CE, Modality.T1, Modality.T2):
        volume = patient.volumes[modality]
        middle = volume.TransformContinuousIndexToPhysicalPoint([(side - 1) / 2 for side in volume.GetSize()])
        back = patient.acquisitions[modality].movement(middle).GetInverse()
        found = register(patient.volumes[Modality.FLAIR], volume, ("FLAIR", modality.title))
        error = corner_error(
            found.transform,
            lambda points, back=back: np.array([*map(back.TransformPoint, points.tolist())]),
            middle,
        )
        assert error < 2.5
