"""Synthetic training cases: what they hold, who meets whom, and that a seed decides it."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from scipy import ndimage

from MissingModalityLib.core.errors import CaseError, OptionError
from MissingModalityLib.core.modalities import MODALITIES, Modality
from MissingModalityLib.datasets.discovery import find_cases
from MissingModalityLib.imaging.cache import CachedCase, cache_case
from MissingModalityLib.synthesis.options import SynthesisOptions
from MissingModalityLib.synthesis.pairing import synthetic_cases
from MissingModalityLib.synthesis.transplant import PRIORITY, centered
from MissingModalityLib.synthesis.transplanted_case import TransplantedCase
from small_cases import prepared_patients

EVERYTHING = SynthesisOptions(
    difference="signed",
    tumors=2,
    placement="random",
    clip_to_brain=True,
    max_scale_change=0.3,
    max_rotation_deg=40.0,
    flip=True,
    feather_mm=1.5,
)
KINDS = {
    "paper": ("aem", SynthesisOptions()),
    "everything": ("aem", EVERYTHING),
    "mixup": ("mixup", SynthesisOptions()),
}


@pytest.fixture(scope="module")
def patients(tmp_path_factory: pytest.TempPathFactory) -> list[CachedCase]:
    """Four cases; c has FLAIR and T1ce alone, d no tumor. Not to be changed."""
    return prepared_patients(tmp_path_factory.mktemp("patients"))


def make(patients: Sequence[CachedCase], kind: str = "paper", factor: int = 4, seed: int = 3) -> list:
    method, options = KINDS[kind]
    return synthetic_cases(patients, factor, seed, method, options)


def everything(case) -> tuple[np.ndarray, np.ndarray]:
    return case.crop((0, 0, 0), case.shape)


def same(one, other) -> bool:
    return one.describe() == other.describe() and all(
        np.array_equal(mine, theirs) for mine, theirs in zip(everything(one), everything(other), strict=True)
    )


# ---- who meets whom


@pytest.mark.parametrize("kind", KINDS)
def test_a_factor_is_the_size_of_real_and_synthetic_cases_together(patients, kind: str) -> None:
    for factor in (2, 4):
        made = make(patients, kind, factor)
        assert len(patients) + len(made) == factor * len(patients)
        assert len({case.name for case in made}) == len(made)
        assert [case.recipient for case in made] == patients * (factor - 1)


def test_donors_are_others_with_a_tumor(patients) -> None:
    for case in make(patients, factor=12):
        (donor,) = case.describe()["donors"]
        assert donor != case.recipient.name and donor != "patient_d"


def test_mixup_takes_donors_without_tumor_too(patients) -> None:
    assert "patient_d" in {case.donor.name for case in make(patients, "mixup", factor=8)}


@pytest.mark.parametrize("kind", KINDS)
def test_a_case_offers_what_all_of_its_cases_have_and_nothing_else(patients, kind: str) -> None:
    by_name = {case.name: case for case in patients}
    found = set()
    for case in make(patients, kind, factor=6):
        facts = case.describe()
        shared = set(case.recipient.subset).intersection(*(by_name[name].subset for name in facts["donors"]))
        assert case.subset == tuple(sorted(shared))
        image, _ = everything(case)
        for modality in MODALITIES:
            assert image[modality].any() == (modality in shared)
        found.add(case.subset)
    assert found == {(Modality.FLAIR, Modality.T1CE), MODALITIES}


def test_several_tumors_come_from_different_donors(patients) -> None:
    options = SynthesisOptions(tumors=2)
    for case in synthetic_cases(patients, 4, options=options):
        assert len(set(case.describe()["donors"])) == 2
    many = synthetic_cases(patients, 2, options=SynthesisOptions(tumors=4))
    assert all(len(case.grafts) == 4 for case in many), "donors repeat where there are too few"


# ---- what they hold


@pytest.mark.parametrize("tumors", [1, 2])
def test_a_grown_case_is_the_recipient_plus_the_donors_error_maps(patients, tumors: int) -> None:
    rank = np.argsort(PRIORITY)
    for case in synthetic_cases(patients, 4, 3, options=SynthesisOptions(tumors=tumors)):
        expected, label = everything(case.recipient)
        assert len(case.grafts) == tumors
        for graft in case.grafts:
            donor_image, donor_label = everything(graft.tumor.donor)
            subset = list(graft.tumor.donor.subset)
            present = torch.from_numpy(donor_image[subset])
            error = np.zeros_like(donor_image)
            error[subset] = (present - graft.tumor.plane.reflect(present)).abs().numpy()
            values = error * (donor_label > 0)
            offset = centered(case.shape, donor_label.shape)
            for voxel in np.argwhere(donor_label > 0):
                place = tuple(voxel + offset)
                if min(place) < 0 or (np.array(place) >= case.shape).any():
                    continue
                expected[(slice(None), *place)] += values[(slice(None), *voxel)]
                label[place] = max(label[place], donor_label[tuple(voxel)], key=lambda cls: rank[cls])
        expected[[modality for modality in MODALITIES if modality not in case.subset]] = 0
        image, classes = everything(case)
        np.testing.assert_allclose(image, expected, atol=2e-3)
        np.testing.assert_array_equal(classes, label)


def test_mixup_mixes_images_and_keeps_the_recipients_label(patients) -> None:
    shares = []
    for case in make(patients, "mixup"):
        mine, label = everything(case.recipient)
        offset = centered(case.shape, case.donor.shape)
        theirs, _ = case.donor.crop([-step for step in offset], case.shape)
        image, classes = everything(case)
        for modality in case.subset:
            expected = case.share * mine[modality] + (1 - case.share) * theirs[modality]
            np.testing.assert_allclose(image[modality], expected, atol=1e-5)
        np.testing.assert_array_equal(classes, label)
        shares.append(case.share)
    assert min(shares) >= 0 and max(shares) <= 1 and len(set(shares)) == len(shares)


def test_shares_of_mixup_follow_the_distribution_that_makes_hard_labels_fair(patients) -> None:
    shares = [case.share for case in make(patients, "mixup", factor=500)]
    alpha = SynthesisOptions().mixup_alpha
    assert np.mean(shares) == pytest.approx((alpha + 1) / (2 * alpha + 1), abs=0.02)


def test_whole_intensities_can_be_added_as_the_public_code_does_for_mixup(patients) -> None:
    for case in synthetic_cases(patients, 2, options=SynthesisOptions(difference="none")):
        graft = case.grafts[0]
        image, label = graft.tumor.donor.crop(graft.tumor.start, graft.shape)
        np.testing.assert_array_equal(graft.tumor.values(graft.tumor.box), image * (label > 0))


@pytest.mark.parametrize("kind", KINDS)
def test_a_crop_is_that_part_of_the_whole(patients, kind: str) -> None:
    random = np.random.default_rng(0)
    for case in make(patients, kind):
        image, label = everything(case)
        for _ in range(6):
            start, size = random.integers(-6, 18, 3), random.integers(3, 20, 3)
            framed = np.pad(image, ((0, 0), *[(6, 40)] * 3)), np.pad(label, [(6, 40)] * 3)
            box = tuple(slice(s + 6, s + 6 + n) for s, n in zip(start, size, strict=True))
            crop, classes = case.crop(start.tolist(), size.tolist())
            assert crop.dtype == np.float32 and classes.dtype == np.uint8
            np.testing.assert_allclose(crop, framed[0][(slice(None), *box)], atol=1e-5)
            np.testing.assert_array_equal(classes, framed[1][box])
        beyond, classes = case.crop((100, 0, 0), (4, 4, 4))
        assert not beyond.any() and not classes.any()


@pytest.mark.parametrize("kind", KINDS)
def test_tumor_voxels_name_every_class_where_it_is(patients, kind: str) -> None:
    for case in make(patients, kind):
        _, label = everything(case)
        rows = case.tumor_voxels()
        assert rows.dtype == np.int16
        assert set(rows[:, 0]) == set(np.unique(label)) - {0}
        assert (label[tuple(rows[:, 1:].T)] == rows[:, 0]).all()
        assert len(np.unique(rows, axis=0)) == len(rows)


@pytest.mark.parametrize("kind", KINDS)
def test_it_can_be_had_whole_like_a_real_case(patients, kind: str) -> None:
    case = next(case for case in make(patients, kind) if len(case.subset) == 2)
    whole, (image, label) = case.load(), everything(case)
    np.testing.assert_array_equal(whole.image, image)
    np.testing.assert_array_equal(whole.label, label)
    assert whole.subset == case.subset and whole.grid.size == tuple(reversed(case.shape))


def test_what_a_missing_modality_holds_never_shows(patients, tmp_path: Path) -> None:
    """NaN in the donor's T1 and T2 must not reach a recipient that has neither."""
    spoilt = tmp_path / patients[0].path.name
    arrays = load_file(patients[0].path)
    arrays["image"][2:] = np.nan
    save_file(arrays, spoilt, {"fingerprint": "spoilt"})
    donor = CachedCase(patients[0].name, spoilt, patients[0].subset, patients[0].shape)
    for method in ("aem", "mixup"):
        options = SynthesisOptions(difference="none")
        made = synthetic_cases([donor, patients[2]], 2, 0, method, options, tmp_path / "tumors")
        image, _ = everything(made[1])
        assert made[1].recipient == patients[2] and np.isfinite(image).all()
        assert image[:2].any() and not image[2:].any()
        if method == "aem":
            read = made[1].grafts[0].tumor
            assert read.values(read.box)[2:].isnan().any(), "the trap has to be set"


def test_a_randomly_placed_tumor_is_centered_on_the_recipients_brain(patients) -> None:
    places = set()
    for case in synthetic_cases(patients, 8, options=SynthesisOptions(placement="random")):
        graft = case.grafts[0]
        center = np.array(graft.start) + np.array(graft.shape) // 2
        image, _ = case.recipient.crop(center.tolist(), (1, 1, 1))
        assert image.any()
        places.add(graft.start)
    assert len(places) > 10


def test_a_clipped_case_is_background_where_the_recipient_is(patients) -> None:
    for case in synthetic_cases(
        patients, 6, options=SynthesisOptions(placement="random", clip_to_brain=True)
    ):
        before, own = everything(case.recipient)
        image, label = everything(case)
        background = ~before.any(axis=0)
        assert not image[:, background].any()
        np.testing.assert_array_equal(label[background], own[background])


def test_a_blended_tumor_fades_towards_its_border(patients) -> None:
    sharp, soft = (
        synthetic_cases(patients, 2, options=SynthesisOptions(feather_mm=width))[0].grafts[0].tumor
        for width in (0.0, 4.0)
    )
    label = sharp.label(sharp.box)
    assert torch.equal(label, soft.label(soft.box))
    before, after = sharp.values(sharp.box), soft.values(soft.box)
    depth = ndimage.distance_transform_edt(np.pad(label.numpy() > 0, 1))[1:-1, 1:-1, 1:-1]
    np.testing.assert_allclose(after, before.numpy() * np.clip(depth / 5, 0, 1), atol=1e-2)
    assert after.sum() < 0.8 * before.sum()


# ---- reproducible, on disk


@pytest.mark.parametrize("kind", KINDS)
def test_a_seed_decides_everything_whatever_the_order_of_the_cases(patients, kind: str) -> None:
    made = make(patients, kind)
    again = make(patients[::-1], kind)
    assert all(same(one, other) for one, other in zip(made, again, strict=True))
    other = make(patients, kind, seed=4)
    assert any(one.describe() != two.describe() for one, two in zip(made, other, strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_a_larger_set_begins_with_the_smaller_one(patients, kind: str) -> None:
    small, large = make(patients, kind, 2), make(patients, kind, 4)
    assert all(same(one, other) for one, other in zip(small, large, strict=False))


@pytest.mark.parametrize("kind", KINDS)
def test_cases_travel_to_other_processes(patients, kind: str) -> None:
    case = make(patients, kind)[1]
    text = pickle.dumps(case)
    assert len(text) < 5000, "files are named, not carried along"
    assert same(pickle.loads(text), case)  # noqa: S301 - made two lines above


def test_tumors_are_cut_once_and_again_when_needed(tmp_path: Path) -> None:
    patients = prepared_patients(tmp_path, ("patient_a", "patient_b"))
    (case, _) = synthetic_cases(patients, 2)
    path, expected = case.grafts[0].tumor.path, everything(case)
    assert path.parent == patients[0].path.parent / "tumors"
    stamp, content, arrays = path.stat().st_mtime_ns, path.read_bytes(), load_file(path)
    synthetic_cases(patients, 4, seed=9, options=SynthesisOptions(max_rotation_deg=10.0))
    assert path.stat().st_mtime_ns == stamp
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(CaseError, match="can no longer be read"):
        everything(case)
    np.testing.assert_array_equal(everything(synthetic_cases(patients, 2)[0])[0], expected[0])
    for name, array in load_file(path).items():
        np.testing.assert_array_equal(array, arrays[name])
    signed = synthetic_cases(patients, 2, options=SynthesisOptions(difference="signed"))[0]
    assert signed.grafts[0].tumor.path != path
    assert not list(path.parent.glob(".*")), "nothing unfinished stays"


def test_events_tell_which_tumor_is_cut(patients) -> None:
    events: list = []
    synthetic_cases(patients, 2, on_progress=events.append)
    assert [event.message for event in events[:-1]] == [case.name for case in patients]
    assert events[-1].step == events[-1].total == len(patients)


# ---- refusals


def test_a_recipient_without_a_possible_donor_is_named(tmp_path: Path) -> None:
    patients = prepared_patients(tmp_path, ("patient_a", "patient_d"))
    with pytest.raises(CaseError, match=r"'patient_a' .* shares no modality with another case"):
        synthetic_cases(patients, 2)
    assert len(synthetic_cases(patients, 2, method="mixup")) == 2


def test_a_donor_without_a_brain_is_named(patients, tmp_path: Path) -> None:
    empty = tmp_path / patients[1].path.name
    arrays = load_file(patients[1].path)
    arrays["image"][:, 2:] = 0
    save_file(arrays, empty, {"fingerprint": "empty"})
    donor = CachedCase(patients[1].name, empty, patients[1].subset, patients[1].shape)
    with pytest.raises(CaseError, match=r"'patient_b' has no plane of symmetry .* no brain"):
        synthetic_cases([patients[0], donor], 2, folder=tmp_path / "tumors")


def test_impossible_requests_are_refused(patients) -> None:
    with pytest.raises(CaseError, match="at least two"):
        synthetic_cases(patients[:1], 2)
    with pytest.raises(OptionError, match="Choose 2 or more"):
        synthetic_cases(patients, 1)
    with pytest.raises(OptionError, match="aem, mixup"):
        synthetic_cases(patients, 2, method="gan")


@pytest.mark.slow
def test_real_tumors_grow_where_they_were(real_case, tmp_path: Path) -> None:
    names = ("BraTS2021_00000", "BraTS2021_00003")
    cases = [cache_case(find_cases(real_case(name)).cases[0], tmp_path) for name in names]
    made = synthetic_cases(cases, 2)
    assert all(isinstance(case, TransplantedCase) for case in made)
    for case, donor in zip(made, cases[::-1], strict=True):
        before, own = everything(case.recipient)
        image, label = everything(case)
        grown = (image != before).any(axis=0)
        assert grown.sum() > 0.8 * (everything(donor)[1] > 0).sum()
        assert (label[grown] > 0).all() and ((label > 0) >= (own > 0)).all()
        # edema is bright on FLAIR: the map adds about a standard deviation and more
        assert (image - before)[Modality.FLAIR][grown].mean() > 0.5
