"""Raw synthetic patients: a head around the brain, each sequence on its own grid, moved as stated."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk

from MissingModalityLib.core.errors import ImageError
from MissingModalityLib.core.modalities import Modality
from MissingModalityLib.datasets.discovery import find_cases
from MissingModalityLib.evaluation.metrics import dice
from MissingModalityLib.imaging.grid import Grid
from MissingModalityLib.imaging.preparation import prepare
from MissingModalityLib.imaging.reading import Study, read_label, read_study
from MissingModalityLib.phantom import raw_patient
from MissingModalityLib.phantom.acquisition import Acquisition, acquire
from MissingModalityLib.phantom.head import put_into_head
from MissingModalityLib.phantom.patient import grow_patient
from MissingModalityLib.phantom.raw_patient import RawPatient, grow_raw_patient, write_raw_patient

SPACING = 4.0


@pytest.fixture(scope="module")
def patient() -> RawPatient:
    return grow_raw_patient(4, SPACING)


@pytest.fixture(scope="module")
def stripped() -> tuple[dict[Modality, sitk.Image], sitk.Image]:
    return grow_patient(4, (42, 52, 44), (SPACING,) * 3)


def test_a_seed_gives_the_same_raw_patient_to_the_bit(patient) -> None:
    again, other = grow_raw_patient(4, SPACING), grow_raw_patient(5, SPACING)
    for modality, volume in patient.volumes.items():
        array = sitk.GetArrayViewFromImage(volume)
        np.testing.assert_array_equal(array, sitk.GetArrayViewFromImage(again.volumes[modality]))
    assert patient.acquisitions == again.acquisitions != other.acquisitions


def test_each_sequence_has_a_grid_of_its_own_and_the_label_that_of_flair(patient) -> None:
    grids = {modality: Grid.from_image(volume) for modality, volume in patient.volumes.items()}
    assert len({(grid.spacing, grid.direction) for grid in grids.values()}) == len(Modality)
    assert max(grids[Modality.FLAIR].spacing) == 5.0
    assert Grid.from_image(patient.label).matches(grids[Modality.FLAIR])


def test_the_head_is_taken_for_one_with_its_skull_on(patient) -> None:
    flair = {Modality.FLAIR: patient.volumes[Modality.FLAIR]}
    warnings = prepare(Study(flair, {Modality.FLAIR: "flair"})).warnings
    assert any("the skull is probably still there" in warning for warning in warnings)


def test_the_brain_inside_the_head_is_the_stripped_one(stripped) -> None:
    volumes, _ = stripped
    heads = put_into_head(volumes, seed=1)
    for modality, volume in volumes.items():
        inside = sitk.GetArrayViewFromImage(volume) > 0
        found = Grid.from_image(volume).resample(heads[modality], sitk.sitkNearestNeighbor, 0)
        np.testing.assert_array_equal(
            sitk.GetArrayFromImage(found)[inside], sitk.GetArrayViewFromImage(volume)[inside]
        )
        head = sitk.GetArrayFromImage(heads[modality]) > 0
        assert 1.5 < head.sum() / inside.sum() < 5


def test_a_volume_taken_of_a_moved_head_fits_again_when_moved_back(stripped) -> None:
    volume = sitk.Cast(stripped[0][Modality.T1], sitk.sitkFloat32)
    moved = Acquisition("coronal", (2.0, 2.0, 2.0), (9.0, -6.0, 4.0), (5.0, -4.0, 8.0), bias=0, noise=0)
    taken = acquire(volume, moved, (1,))
    middle = volume.TransformContinuousIndexToPhysicalPoint([(n - 1) / 2 for n in volume.GetSize()])
    back = moved.movement(middle).GetInverse()
    brain = sitk.GetArrayFromImage(volume) > 0
    scores = [
        dice(brain, sitk.GetArrayFromImage(sitk.Resample(taken, volume, transform)) > 200)
        for transform in (sitk.Transform(), back)
    ]
    assert scores[0] < 0.9 < 0.97 < scores[1]


def test_thick_slices_hold_the_mean_of_what_they_cover() -> None:
    array = np.zeros((60, 20, 20), np.float32)
    array[30:32] = 1200  # a sheet of 2 mm
    sheet = sitk.GetImageFromArray(array)
    thick = acquire(sheet, Acquisition("axial", (1, 1, 6), bias=0, noise=0), (1,))
    middle = sitk.GetArrayFromImage(thick)[:, 10, 10]
    assert middle.sum() * 6 == pytest.approx(2 * 1200, rel=0.1)
    assert middle.max() < 0.5 * 1200


def test_a_label_lies_where_flair_is_bright(patient) -> None:
    flair = sitk.GetArrayViewFromImage(patient.volumes[Modality.FLAIR])
    label = sitk.GetArrayViewFromImage(patient.label)
    assert np.median(flair[label == 2]) > 1.2 * np.median(flair[flair > flair.mean()])


def test_nothing_but_background_gets_no_head() -> None:
    empty = sitk.Image(8, 8, 8, sitk.sitkInt16)
    with pytest.raises(ImageError, match="nothing but background"):
        put_into_head({Modality.T1: empty}, seed=1)


def test_a_written_raw_patient_is_found_as_a_case(tmp_path, patient, monkeypatch) -> None:
    monkeypatch.setattr(raw_patient, "grow_raw_patient", lambda seed: patient)
    folder = write_raw_patient(tmp_path, 4)
    (case,) = find_cases(folder).cases
    assert folder.name == "patient_0004_raw" and set(case.images) == set(Modality)
    np.testing.assert_array_equal(
        sitk.GetArrayFromImage(read_label(case)), sitk.GetArrayFromImage(patient.label)
    )
    assert read_study(case).images[Modality.T2].GetSize() == patient.volumes[Modality.T2].GetSize()
