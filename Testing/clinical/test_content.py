"""What the voxels say of the sequences that volumes were given as."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from safetensors.numpy import load_file, save_file

from MissingModalityLib.clinical import content
from MissingModalityLib.clinical.coarse import RANGE, SHAPE, coarse, on_coarse_grid
from MissingModalityLib.clinical.content import check_content, sequence_of, sequences
from MissingModalityLib.clinical.contrast import contrast_gain
from MissingModalityLib.clinical.sequence_network import network_file, read_network
from MissingModalityLib.core.errors import StudentError
from MissingModalityLib.core.modalities import MODALITIES, Modality
from MissingModalityLib.datasets.discovery import find_cases
from MissingModalityLib.imaging.grid import Grid
from MissingModalityLib.imaging.reading import Study, read_study
from MissingModalityLib.phantom.patient import grow_patient
from small_patient import brain_volume

FLAIR, T1CE, T1, T2 = MODALITIES
Images = Mapping[Modality, sitk.Image]


@pytest.fixture(scope="module")
def patient() -> Images:
    return grow_patient(4, (56, 72, 56), (3.0,) * 3)[0]


def study(images: Images) -> Study:
    return Study(images, {slot: f"{slot.title}.nii" for slot in images})


def changed(image: sitk.Image, change: Callable[[np.ndarray], np.ndarray]) -> sitk.Image:
    """The volume with other intensities inside the brain."""
    values = sitk.GetArrayFromImage(image).astype(np.float32)
    return Grid.from_image(image).to_image(np.where(values > 0, change(values), 0).astype(np.float32))


@pytest.mark.parametrize("size", [(80, 80, 80), (83, 81, 79)])
def test_the_head_in_a_raw_volume_is_found_whatever_its_size(size: tuple[int, int, int]) -> None:
    z, y, x = np.ogrid[tuple(slice(-n / 2, n / 2) for n in reversed(size))]
    random = np.random.default_rng(0)
    air, head = (random.uniform(*ends, tuple(reversed(size))) for ends in ((0, 20), (100, 700)))
    image = sitk.GetImageFromArray(np.where(x**2 + y**2 + z**2 < 28**2, head, air).astype(np.float32))
    image.SetSpacing((2.0, 2.0, 2.0))
    assert on_coarse_grid(image).head.sum() == pytest.approx(4 / 3 * np.pi * 14**3, rel=0.1)


@pytest.mark.parametrize("modality", MODALITIES)
def test_a_sequence_is_told_from_its_voxels(patient: Images, modality: Modality) -> None:
    found, share = sequence_of(patient[modality])
    # synthetic vessels are fewer than real ones: of one volume alone contrast agent is not told there
    assert found in ((T1, T1CE) if modality is T1CE else (modality,))
    assert share > 0.4


def test_a_study_whose_volumes_are_what_they_were_given_as_is_told_nothing_of(
    patient: Images,
) -> None:
    assert check_content(study(patient)) == ()


def test_a_volume_in_the_wrong_slot_is_named_with_what_it_looks_like(
    patient: Images,
) -> None:
    images = {FLAIR: patient[T2], T1CE: patient[T1CE], T1: patient[T1]}
    (sentence,) = check_content(study(images))
    assert "given as FLAIR, FLAIR.nii, looks like T2 (" in sentence


def test_t1_and_t1ce_exchanged_are_told_in_one_sentence(patient: Images) -> None:
    images = {**patient, T1: patient[T1CE], T1CE: patient[T1]}
    (sentence,) = check_content(study(images))
    assert sentence.startswith("T1 and T1ce are probably exchanged: T1.nii, given as T1, shows contrast")


def believed(monkeypatch: pytest.MonkeyPatch, *kinds: int) -> None:
    """The network takes the volumes of a study for these kinds, counted as sequences and none of them."""
    rows = np.full((len(kinds), len(MODALITIES) + 1), 0.005)
    rows[range(len(kinds)), kinds] = 0.98
    monkeypatch.setattr(content, "probabilities", lambda volumes: rows.copy())


def test_a_second_t1_in_the_place_of_t1ce_is_told(patient: Images, monkeypatch: pytest.MonkeyPatch) -> None:
    noise = np.random.default_rng(0)
    again = changed(patient[T1], lambda values: values + noise.normal(0, 0.02 * values.max(), values.shape))
    believed(monkeypatch, T1, T1)
    without, copied = check_content(study({T1: patient[T1], T1CE: again}))
    assert "given as T1ce, T1ce.nii, probably shows no contrast agent" in without
    assert "show nearly the same image" in copied


def test_an_image_that_is_none_of_the_sequences_is_told(
    patient: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    believed(monkeypatch, len(MODALITIES))
    (sentence,) = check_content(study({T2: patient[T2]}))
    assert "looks like none of FLAIR, T1ce, T1 and T2" in sentence


def test_noise_is_none_of_the_sequences() -> None:
    noise = np.random.default_rng(0).normal(500, 100, SHAPE).astype(np.float32)
    image = sitk.GetImageFromArray(noise)
    image.SetSpacing((4.0, 4.0, 4.0))
    assert sequence_of(image)[0] is None


def test_of_a_volume_that_shows_little_nothing_is_said() -> None:
    small = brain_volume()
    assert sequence_of(small)[0] is None
    assert check_content(study({FLAIR: small})) == ()


def test_probabilities_are_given_by_slot(patient: Images) -> None:
    found = sequences(study({T2: patient[T2], FLAIR: patient[FLAIR]}))
    assert list(found) == [T2, FLAIR]
    assert all(
        share >= 0 and sum(shares.values()) <= 1 + 1e-6
        for shares in found.values()
        for share in shares.values()
    )
    assert max(found[T2], key=found[T2].get) is T2


def test_scale_and_offset_of_a_stripped_volume_do_not_count(patient: Images) -> None:
    image = patient[T2]
    before = coarse(image)
    assert before.shape == SHAPE
    assert before.min() == RANGE[0]
    np.testing.assert_allclose(coarse(changed(image, lambda values: 40 * values + 9000)), before, atol=1e-2)


def test_orientation_of_the_voxels_does_not_count(patient: Images) -> None:
    np.testing.assert_allclose(coarse(sitk.DICOMOrient(patient[T1], "SRA")), coarse(patient[T1]), atol=1e-3)


def test_what_lies_outside_a_brain_mask_is_air(patient: Images) -> None:
    image = patient[T1]
    head = sitk.Cast(image, sitk.sitkFloat32) + sitk.Cast(image == 0, sitk.sitkFloat32) * 300
    np.testing.assert_allclose(coarse(head, image > 0), coarse(image), atol=1e-3)
    given = replace(study({T1: head}), brain=image > 0)
    assert sequences(given)[T1] == pytest.approx(sequences(study({T1: image}))[T1], abs=1e-3)


def test_contrast_of_volumes_exchanged_is_the_same_the_other_way(
    patient: Images,
) -> None:
    gain = contrast_gain(patient[T1], patient[T1CE])
    assert gain > 0.2
    assert contrast_gain(patient[T1CE], patient[T1]) == pytest.approx(-gain)


def test_volumes_that_share_no_brain_are_not_compared(patient: Images) -> None:
    far = sitk.Image(patient[T1CE])
    far.SetOrigin((5000.0, 0.0, 0.0))
    assert contrast_gain(patient[T1], far) is None


@pytest.mark.parametrize("damage", ["truncated", "weight absent", "another shape", "not finite", "too many"])
def test_a_damaged_network_is_refused_by_name(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "network.safetensors"
    weights = load_file(network_file())
    name = next(iter(weights))
    match damage:
        case "weight absent":
            del weights[name]
        case "another shape":
            weights[name] = np.zeros(7, np.float32)
        case "not finite":
            weights[name] = np.full_like(weights[name], np.nan)
        case "too many":
            weights["more"] = np.zeros(1, np.float32)
    save_file(weights, path)
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(StudentError, match=r"network\.safetensors.*Install MissingModality again"):
        read_network(path)


@pytest.mark.slow
def test_shared_test_patients_are_told_nothing_of_and_their_exchanges_are_told(shared: Path) -> None:
    cases = find_cases(shared / "data" / "cases" / "test").cases
    for case in cases:
        given = read_study(case)
        assert check_content(given) == (), case.name
        if {T1, T1CE} <= given.images.keys():
            images = {**given.images, T1: given.images[T1CE], T1CE: given.images[T1]}
            # in a patient in whom little enhances, as contrast that is missing
            told = check_content(replace(given, images=images))[0]
            assert "exchanged" in told or "probably shows no contrast agent" in told, case.name
