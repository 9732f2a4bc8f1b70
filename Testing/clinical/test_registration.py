"""Volumes of one patient come into one space, stay where they are, or are refused where they do not fit."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import SimpleITK as sitk

from MissingModalityLib.clinical.registration import Movement, follow, register, register_study
from MissingModalityLib.core.errors import ImageError
from MissingModalityLib.core.modalities import Modality
from MissingModalityLib.core.progress import Event
from MissingModalityLib.imaging.reading import Study
from MissingModalityLib.phantom.patient import CENTER_MM, grow_patient
from MissingModalityLib.runtime import side_by_side
from movements import Way, corner_error, head_corners, moved
from small_patient import brain_volume

NAMES = ("flair.nii.gz", "t1.nii.gz")


@cache
def patient() -> dict[Modality, sitk.Image]:
    return grow_patient(3, (52, 70, 64), (3.0, 3.0, 3.0))[0]


@cache
def moved_t1() -> tuple[sitk.Image, Way]:
    """By 19 mm and 13 degrees."""
    return moved(patient()[Modality.T1], (11.0, -12.0, 9.0), (8.0, -8.0, 7.0))


@cache
def found() -> Movement:
    return register(patient()[Modality.FLAIR], moved_t1()[0], NAMES)


def test_a_known_movement_comes_back() -> None:
    assert found().moved
    assert corner_error(found().transform, moved_t1()[1], CENTER_MM) < 1.5
    assert found().similarity[1] > found().similarity[0]


def test_the_movement_is_told_as_a_shift_and_an_angle() -> None:
    shift = np.linalg.norm(moved_t1()[1](CENTER_MM) - CENTER_MM)
    assert found().shift_mm == pytest.approx(shift, abs=1.0)
    assert found().angle_degrees == pytest.approx(np.linalg.norm((8.0, -8.0, 7.0)), abs=0.7)


def test_a_volume_follows_by_its_header_alone() -> None:
    image, way = moved_t1()
    laid = follow(image, found())
    assert (sitk.GetArrayViewFromImage(laid) == sitk.GetArrayViewFromImage(image)).all()
    assert laid.GetSpacing() == image.GetSpacing()
    for point in head_corners(CENTER_MM):
        voxel = image.TransformPhysicalPointToContinuousIndex(way(point).tolist())
        place = laid.TransformContinuousIndexToPhysicalPoint(voxel)
        assert np.linalg.norm(np.subtract(place, point)) < 1.5


def test_the_same_volumes_give_the_same_movement_to_the_bit() -> None:
    again = register(patient()[Modality.FLAIR], moved_t1()[0], NAMES)
    assert again.transform.GetParameters() == found().transform.GetParameters()


def test_a_slab_is_laid_into_a_whole_head_and_into_the_right_place() -> None:
    whole, way = moved_t1()
    slab = whole[:, :, 20:40]
    laid = register(patient()[Modality.FLAIR], slab, NAMES)
    assert laid.moved
    assert corner_error(laid.transform, way, CENTER_MM) < 3.0


def test_volumes_of_a_study_go_onto_the_first_and_what_was_moved_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(side_by_side, "usable_cores", lambda: 2)
    volumes = {Modality.FLAIR: patient()[Modality.FLAIR], Modality.T1: moved_t1()[0]}
    volumes[Modality.T2] = patient()[Modality.T2]
    events: list[Event] = []
    study, movements, told = register_study(
        Study(volumes, {modality: modality.title for modality in volumes}), events.append
    )
    assert list(study.images) == list(volumes)
    assert {modality: one.moved for modality, one in movements.items()} == {
        Modality.T1: True,
        Modality.T2: False,
    }
    assert study.images[Modality.T2].GetOrigin() == volumes[Modality.T2].GetOrigin()
    assert study.images[Modality.T1].GetOrigin() != volumes[Modality.T1].GetOrigin()
    shift, degrees = movements[Modality.T1].shift_mm, movements[Modality.T1].angle_degrees
    assert told == (f"T1 was moved by {shift:.1f} mm and {degrees:.0f} degrees onto FLAIR.",)
    assert [event.step for event in events] == [0, 1, 2]
    # two at a time, with the bits of one by itself
    assert movements[Modality.T1].transform.GetParameters() == found().transform.GetParameters()


def noise(seed: int) -> sitk.Image:
    return brain_volume(seed, (40, 48, 40), (4.0, 4.0, 4.0))


def test_volumes_that_share_nothing_are_refused_in_one_sentence() -> None:
    elsewhere, _ = moved(noise(2), (25.0, 0.0, 0.0), (0.0, 0.0, 0.0))
    with pytest.raises(
        ImageError, match=r"t1\.nii\.gz could not be laid over flair\.nii\.gz: .*same patient"
    ):
        register(noise(1), elsewhere, NAMES)


def test_volumes_that_share_nothing_but_their_place_are_told() -> None:
    laid = register(noise(1), noise(2), NAMES)
    assert not laid.moved
    assert laid.doubt.startswith("t1.nii.gz resembles flair.nii.gz little.")


def test_a_volume_without_a_head_is_refused_by_its_name() -> None:
    empty = sitk.Image((20, 20, 20), sitk.sitkInt16)
    with pytest.raises(ImageError, match=r"t1\.nii\.gz: no head"):
        register(patient()[Modality.FLAIR], empty, NAMES)
