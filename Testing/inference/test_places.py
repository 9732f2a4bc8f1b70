"""Where a volume ends inside the brain, the place is segmented as if that volume were not there."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from MissingModalityLib.core.modalities import Modality
from MissingModalityLib.imaging.grid import Grid
from MissingModalityLib.imaging.preparation import prepare, to_reference_grid
from MissingModalityLib.imaging.prepared import Prepared
from MissingModalityLib.imaging.reading import Study
from MissingModalityLib.inference.places import Places, places_of
from MissingModalityLib.inference.sliding_window import RawPrediction
from MissingModalityLib.inference.student import Student
from small_networks import small_network
from small_patient import brain_volume
from subsets import with_modalities

FLAIR, T1CE = Modality.FLAIR, Modality.T1CE


def study(share: float) -> Study:
    """FLAIR, and the lower share of a T1ce."""
    t1ce = brain_volume(1)
    return Study(
        {FLAIR: brain_volume(0), T1CE: t1ce[:, :, : round(share * t1ce.GetDepth())]},
        {FLAIR: "flair.nii.gz", T1CE: "t1ce.nii.gz"},
    )


def alone(prepared: Prepared) -> Prepared:
    return replace(with_modalities(prepared, [FLAIR]), brain=prepared.brain)


@pytest.fixture
def student() -> Student:
    network = small_network("segresnet")
    torch.nn.init.zeros_(list(network.parameters())[-1])  # a new one sees background only
    return Student(network, {"name": "tiny", "window": [32, 32, 32], "license": "CC0"})


def test_above_a_slab_the_result_is_that_of_the_others_alone(student: Student) -> None:
    given = study(0.6)
    prepared = prepare(given)
    both, one = student.classes(prepared), student.classes(alone(prepared))
    found = sitk.GetArrayFromImage(student.predict(given, "cpu").labels)
    points = prepared.grid.points(np.argwhere(np.ones(prepared.brain.shape))[:, ::-1])
    shown = grids(given)[T1CE].covers(points).reshape(prepared.brain.shape)
    expected = np.where(shown, both, one)
    assert (both != one)[~shown].any()
    np.testing.assert_array_equal(found, sitk.GetArrayFromImage(to_reference_grid(expected, prepared)))


def places(share: float) -> Places:
    given = study(share)
    return places_of(prepare(given), grids(given), given.names)


def grids(given: Study) -> dict[Modality, Grid]:
    return {modality: Grid.from_image(image) for modality, image in given.images.items()}


def test_a_volume_that_shows_most_of_the_brain_counts_everywhere() -> None:
    whole = places(0.95)
    assert whole.number is None and whole.told == ()
    assert whole.available.tolist() == [True, True, False, False]


def test_what_a_volume_shows_is_its_field_of_view_and_not_what_is_bright_in_it() -> None:
    dark = sitk.GetArrayFromImage(brain_volume(1))
    dark[::2] = 0
    images = {FLAIR: brain_volume(0), T1CE: Grid.from_image(brain_volume(0)).to_image(dark)}
    given = Study(images)
    assert places_of(prepare(given), grids(given), given.names).used == (FLAIR, T1CE)


def test_a_part_is_told_and_a_small_one_left_out() -> None:
    part, small = places(0.5), places(0.35)
    assert part.used == (FLAIR, T1CE) and small.used == small.subset == (FLAIR,)
    assert part.told[0].endswith("% of the brain; where it ends, the others are used alone.")
    assert small.told[0].startswith("t1ce.nii.gz shows ") and "left out" in small.told[0]
    assert small.number is None and small.available.tolist() == [True, False, False, False]


def test_each_place_has_the_answer_of_its_subset_and_the_largest_presence_counts() -> None:
    number = np.array([[[0, 1, 1]]], np.uint8)
    found = RawPrediction(
        np.stack([np.full((3, 1, 1, 3), value, np.float32) for value in (0.25, 0.75)]),
        np.array([[0.1, 0.9, 0.3], [0.2, 0.4, 0.3]], np.float32),
    )
    asked = Places(np.eye(4, dtype=bool)[:2], number, (FLAIR,))
    probabilities, presence = asked.together(found, lambda values, presence: values * presence[0])
    np.testing.assert_allclose(probabilities[0, 0, 0], [0.025, 0.15, 0.15], rtol=1e-6)
    np.testing.assert_allclose(presence, [0.2, 0.9, 0.3], rtol=1e-6)
