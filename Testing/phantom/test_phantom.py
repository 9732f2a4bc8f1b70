"""Synthetic patients: repeatable, the same on every grid, with contrasts and volumes like those of people."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from full_disk import full_disk
from MissingModalityLib.clinical.contrast import contrast_gain
from MissingModalityLib.core.errors import ImageError, OptionError
from MissingModalityLib.core.modalities import Modality
from MissingModalityLib.datasets.discovery import find_cases
from MissingModalityLib.evaluation.metrics import dice
from MissingModalityLib.imaging.preparation import prepare
from MissingModalityLib.imaging.reading import read_label, read_study
from MissingModalityLib.phantom.contrast import ContrastParameters
from MissingModalityLib.phantom.patient import grow_patient, write_patient

COARSE = {"shape": (44, 54, 46), "spacing": (4.0, 4.0, 4.0)}
FINE = {"shape": (88, 108, 92), "spacing": (2.0, 2.0, 2.0)}


def arrays(patient: tuple) -> tuple[dict[Modality, np.ndarray], np.ndarray]:
    volumes, label = patient
    return {m: sitk.GetArrayFromImage(image) for m, image in volumes.items()}, sitk.GetArrayFromImage(label)


@pytest.fixture(scope="module")
def a_patient() -> tuple[dict[Modality, np.ndarray], np.ndarray]:
    return arrays(grow_patient(4, **FINE))


def test_a_seed_gives_the_same_patient_to_the_bit() -> None:
    first, second, other = (arrays(grow_patient(seed, **COARSE)) for seed in (4, 4, 5))
    for modality in Modality:
        np.testing.assert_array_equal(first[0][modality], second[0][modality])
    np.testing.assert_array_equal(first[1], second[1])
    assert dice(first[1] > 0, other[1] > 0) < 0.9


def test_the_same_patient_appears_on_a_finer_grid() -> None:
    coarse, fine = (grow_patient(4, **grid)[1] for grid in (COARSE, FINE))
    moved = sitk.Resample(fine, coarse, sitk.Transform(), sitk.sitkNearestNeighbor, 0)
    for values in ((1, 2, 3), (1, 3)):
        a, b = (np.isin(sitk.GetArrayFromImage(image), values) for image in (coarse, moved))
        assert dice(a, b) > 0.8
    assert grow_patient(4, **COARSE)[0][Modality.T1].GetSpacing() == (4.0, 4.0, 4.0)


def test_the_background_is_exactly_zero_and_the_brain_is_not(a_patient) -> None:
    volumes, label = a_patient
    brain = volumes[Modality.T1] > 0
    for volume in volumes.values():
        np.testing.assert_array_equal(volume > 0, brain)
        assert volume.dtype == np.int16
    assert not label[~brain].any()
    assert 1.0e6 < brain.sum() * 8 < 1.7e6, "a brain of 1.0 to 1.7 liters"


@pytest.mark.parametrize("seed", range(6))
def test_tumors_have_all_parts_in_sizes_seen_in_people(seed: int) -> None:
    _, label = arrays(grow_patient(seed, **COARSE))
    necrosis, edema, rim = (int((label == cls).sum()) * 0.064 for cls in (1, 2, 3))
    assert 3 < necrosis + edema + rim < 250
    assert edema > 2 and rim > 0.3


def test_contrasts_are_those_of_the_sequences(a_patient) -> None:
    volumes, label = a_patient
    healthy = (volumes[Modality.T1] > 0) & (label == 0)
    fluid = healthy & (volumes[Modality.T2] > np.percentile(volumes[Modality.T2][healthy], 98))
    typical = {m: np.median(volume[healthy]) for m, volume in volumes.items()}
    ratio = {
        (m, name): np.median(volume[mask]) / typical[m]
        for m, volume in volumes.items()
        for name, mask in (("fluid", fluid), ("ncr", label == 1), ("ed", label == 2), ("et", label == 3))
    }
    assert ratio[Modality.FLAIR, "ed"] > 1.2 and ratio[Modality.T2, "ed"] > 1.15
    assert ratio[Modality.T1CE, "et"] > 1.25 > ratio[Modality.T1CE, "ncr"]
    assert ratio[Modality.T1CE, "et"] > ratio[Modality.T1, "et"] + 0.2
    assert ratio[Modality.T2, "fluid"] > 1.6
    assert ratio[Modality.T1, "fluid"] < 0.85 and ratio[Modality.FLAIR, "fluid"] < 0.85


def test_contrast_agent_is_seen_in_vessels_without_any_tumor() -> None:
    volumes, _ = grow_patient(4, **FINE, tumor=False)
    assert contrast_gain(volumes[Modality.T1], volumes[Modality.T1CE]) > 0.35


def test_a_healthy_brain_is_nearly_its_own_mirror_image_and_a_tumor_breaks_that() -> None:
    def asymmetry(tumor: bool) -> float:
        volumes, _ = arrays(grow_patient(4, **FINE, tumor=tumor))
        volume = volumes[Modality.FLAIR].astype(float)
        inside = (volume > 0) & (volume[..., ::-1] > 0)
        return np.abs(volume - volume[..., ::-1])[inside].mean() / volume[inside].mean()

    assert not arrays(grow_patient(4, **COARSE, tumor=False))[1].any()
    assert asymmetry(tumor=False) < 0.25
    assert asymmetry(tumor=True) > asymmetry(tumor=False) + 0.02


def test_a_written_patient_is_a_case_like_any_other(tmp_path: Path) -> None:
    folder = write_patient(tmp_path, 7, **COARSE)
    (case,) = find_cases(tmp_path).cases
    assert (case.folder, case.convention, set(case.images)) == (folder, "brats2021", set(Modality))
    prepared = prepare(read_study(case), read_label(case))
    assert not prepared.warnings and set(np.unique(prepared.label)) == {0, 1, 2, 3}
    _, label = grow_patient(7, **COARSE)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(read_label(case)), sitk.GetArrayFromImage(label))


@pytest.mark.parametrize(
    "grid",
    [
        *({"shape": shape} for shape in ((0, 10, 10), (10, 10), (10, 10, 10.5), ("10",) * 3, 10, None)),
        *({"spacing": spacing} for spacing in ((1.0, -1.0, 1.0), (1, 1, math.nan), (1, 1, math.inf), 1.0)),
    ],
    ids=str,
)
def test_an_impossible_grid_is_refused(grid: dict) -> None:
    with pytest.raises(OptionError, match="cannot be grown"):
        grow_patient(0, **grid)


@pytest.mark.slow
def test_a_full_size_patient_lies_on_the_grid_of_brats() -> None:
    volumes, label = grow_patient(1)
    assert label.GetSize() == (240, 240, 155) and label.GetSpacing() == (1.0, 1.0, 1.0)
    assert label.GetOrigin() == (0.0, -239.0, 0.0)
    counts = np.bincount(sitk.GetArrayFromImage(label).ravel(), minlength=4) / 1000
    assert (counts[1:] > 1).all()
    assert len(volumes) == 4


def test_without_contrast_no_tumor_is_brighter_than_white_matter() -> None:
    drawn = [ContrastParameters.sample(np.random.default_rng(seed)).means for seed in range(50)]
    assert all(means[tissue][Modality.T1] <= 1 for means in drawn for tissue in ("ncr", "ed", "et"))
    assert any(means["ed"][Modality.FLAIR] > 2 for means in drawn)  # elsewhere as measured


@pytest.mark.parametrize("room", [0, 5000])
def test_of_a_patient_that_a_full_disk_does_not_take_nothing_stays(room: int, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"patient_0004.*disk is not full"), full_disk(room):
        write_patient(tmp_path / "patients", 4, **COARSE)
    assert not list(tmp_path.iterdir())


def test_a_patient_that_is_there_stays_where_a_disk_is_full(tmp_path: Path) -> None:
    patient = write_patient(tmp_path, 4, **COARSE)
    before = {path.name: path.read_bytes() for path in patient.iterdir()}
    healthy = write_patient(tmp_path / "healthy", 4, **COARSE, tumor=False)
    largest = max(path.stat().st_size for path in healthy.iterdir())
    with pytest.raises(ImageError), full_disk(largest - 1):
        write_patient(tmp_path, 4, **COARSE, tumor=False)
    assert {path.name: path.read_bytes() for path in patient.iterdir()} == before
