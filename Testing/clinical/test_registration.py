"""Volumes of one patient are brought into one space, and left alone where they are."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import SimpleITK as sitk

from MissingModalityLib.clinical.registration import follow, register
from MissingModalityLib.core.modalities import Modality
from MissingModalityLib.phantom.patient import CENTER_MM, grow_patient
from movements import corner_error, moved

SHIFT_MM, DEGREES = (11.0, -12.0, 9.0), (8.0, -8.0, 7.0)
NAMES = ("flair.nii.gz", "t1.nii.gz")


@cache
def patient() -> dict[Modality, sitk.Image]:
    return grow_patient(3, (52, 70, 64), (3.0, 3.0, 3.0))[0]


def test_a_known_movement_comes_back() -> None:
    image, way = moved(patient()[Modality.T1], SHIFT_MM, DEGREES)
    found = register(patient()[Modality.FLAIR], image, NAMES)
    assert found.moved
    assert corner_error(found.transform, way, CENTER_MM) < 3.0


def test_a_volume_follows_by_its_header_alone() -> None:
    original = patient()[Modality.T1]
    image, _ = moved(original, SHIFT_MM, DEGREES)
    laid = follow(image, register(patient()[Modality.FLAIR], image, NAMES))
    assert (sitk.GetArrayFromImage(laid) == sitk.GetArrayFromImage(original)).all()
    for voxel in np.ndindex(2, 2, 2):
        index = [int(end * (side - 1)) for end, side in zip(voxel, original.GetSize(), strict=True)]
        places = [np.array(one.TransformIndexToPhysicalPoint(index)) for one in (laid, original)]
        assert np.linalg.norm(places[0] - places[1]) < 4.0


@pytest.mark.parametrize("modality", [Modality.T1CE, Modality.T2])
def test_a_right_header_is_left_alone(modality: Modality) -> None:
    found = register(patient()[Modality.FLAIR], patient()[modality], NAMES)
    assert not found.moved
    assert found.shift_mm == found.angle_degrees == 0
    assert found.transform.TransformPoint((1.0, 2.0, 3.0)) == (1.0, 2.0, 3.0)
