"""Where a volume ends inside the brain, the place is segmented as if that volume were not there."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from MissingModalityLib.core.modalities import Modality
from MissingModalityLib.imaging.preparation import prepare, to_reference_grid
from MissingModalityLib.imaging.prepared import Prepared
from MissingModalityLib.imaging.reading import Study
from MissingModalityLib.inference.places import places_of
from MissingModalityLib.inference.student import Student
from small_networks import small_network, telling_student
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
    given = study(0.5)
    prepared = prepare(given)
    both, one = student.classes(prepared), student.classes(alone(prepared))
    found = sitk.GetArrayFromImage(student.predict(given, "cpu").labels)
    shown = prepared.image[T1CE] != 0
    expected = np.where(shown, both, one)
    assert (both != one)[~shown].any()
    np.testing.assert_array_equal(found, sitk.GetArrayFromImage(to_reference_grid(expected, prepared)))


def test_a_volume_that_shows_most_of_the_brain_counts_everywhere() -> None:
    places = places_of(prepare(study(0.95)))
    assert places.number is None
    assert places.available.tolist() == [True, True, False, False]
    assert places_of(prepare(study(0.5))).number is not None


def test_a_part_of_a_stripped_brain_is_told() -> None:
    assert any(
        "t1ce.nii.gz shows " in text and "% of the brain" in text for text in prepare(study(0.5)).warnings
    )
    assert not any("of the brain" in text for text in prepare(study(1.0)).warnings)


def test_what_the_network_tells_of_the_case_is_the_most_of_any_place() -> None:
    student = telling_student()
    presence = student.predict(study(0.5), "cpu").presence
    assert presence is not None and set(presence) == {"NCR", "ED", "ET"}
