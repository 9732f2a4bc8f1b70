"""Tumors grown from label maps: where they lie, what they look like, and what is never touched or used."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage

from MissingModalityLib.core.errors import CaseError, ImageError, OptionError
from MissingModalityLib.core.labels import TUMOR_CLASSES, TumorClass
from MissingModalityLib.core.modalities import MODALITIES, Modality
from MissingModalityLib.imaging.cache import CachedCase
from MissingModalityLib.synthesis import grower
from MissingModalityLib.synthesis.distances import depth_in
from MissingModalityLib.synthesis.grown_case import GrownTumorCase
from MissingModalityLib.synthesis.label_maps import find_label_maps
from MissingModalityLib.synthesis.looks import make_kind
from MissingModalityLib.synthesis.mass_effect import STEP, push
from MissingModalityLib.synthesis.options import EARLIER_GROWING, GrownOptions, SynthesisOptions
from MissingModalityLib.synthesis.pairing import grow_cases, synthetic_cases
from MissingModalityLib.synthesis.texture import SCALES, correlation_lengths, mixed_fields, unit_fields
from MissingModalityLib.training.plan import make_plan
from symmetric_brains import CONTRAST, prepared_brains, write_archive

STILL = GrownOptions(
    max_mass_effect_mm=0, contrast_jitter=0, low_grade_share=0, non_enhancing_share=0, thin_rim_share=0
)
"""Tumors as in the label maps, tissue around them in its place."""


@pytest.fixture(scope="module")
def brains(tmp_path_factory: pytest.TempPathFactory) -> list[CachedCase]:
    """Not to be changed."""
    return prepared_brains(tmp_path_factory.mktemp("brains"))


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_archive(tmp_path_factory.mktemp("maps") / "maps.npz")


@pytest.fixture
def grow(brains: list[CachedCase], tmp_path: Path) -> Callable[..., list[GrownTumorCase]]:
    """Grows a set anew in a folder of its own."""

    def make(options: GrownOptions = STILL, factor: int = 2, seed: int = 3, place: str = "a", cases=None):
        whole = SynthesisOptions(grown=options)
        return synthetic_cases(cases or brains[:3], factor, seed, "grown", whole, tmp_path / place)

    return make


@pytest.fixture(scope="module")
def grown(brains: list[CachedCase], tmp_path_factory: pytest.TempPathFactory) -> list[GrownTumorCase]:
    """Three cases for each brain, as in the label maps and without mass effect. Not to be changed."""
    options = SynthesisOptions(grown=STILL)
    return synthetic_cases(brains, 4, 3, "grown", options, tmp_path_factory.mktemp("grown"))


def everything(case) -> tuple[np.ndarray, np.ndarray]:
    return case.crop((0, 0, 0), case.shape)


def unscaled(case: GrownTumorCase) -> np.ndarray:
    """The image (C, D, H, W) in the recipient's own intensities."""
    image, _ = everything(case)
    return np.stack(
        [
            np.where(volume != 0, (volume - case.shift[m]) / case.scale[m], 0)
            for m, volume in zip(MODALITIES, image, strict=True)
        ]
    )


# ---- where tissue changes


def test_tissue_changes_inside_the_label_and_near_its_border_alone(grown) -> None:
    for case in grown:
        _, label = everything(case)
        healed, _ = case.healed_crop((0, 0, 0), case.shape)
        changed = np.abs(unscaled(case) - healed)[list(case.subset)].max(axis=0) > 0.02
        far = ~ndimage.binary_dilation(label > 0, iterations=9)
        assert not changed[far].any()
        assert changed[label > 0].mean() > 0.97


def test_nothing_grows_outside_the_brain(grown) -> None:
    for case in grown:
        image, label = everything(case)
        before, _ = everything(case.recipient)
        for modality in case.subset:
            np.testing.assert_array_equal(image[modality] != 0, before[modality] != 0)
        assert (label > 0).any() and not label[(before == 0).all(axis=0)].any()


def test_missing_sequences_stay_missing(grown) -> None:
    found = set()
    for case in grown:
        image, _ = everything(case)
        assert case.subset == case.recipient.subset
        assert [bool(volume.any()) for volume in image] == [m in case.subset for m in MODALITIES]
        found.add(case.subset)
    assert found == {MODALITIES, (Modality.FLAIR, Modality.T1CE)}


def test_the_recipients_own_tumor_is_healed_by_the_mirror_side(grown) -> None:
    for case in (case for case in grown if case.recipient.name in ("brain_a", "brain_b")):
        before, own = everything(case.recipient)
        healed, label = case.healed_crop((0, 0, 0), case.shape)
        assert not label.any()
        mirror = np.flip(before, axis=-1)
        rim = own == TumorClass.ET
        contrast = before[Modality.T1CE][rim].mean() - mirror[Modality.T1CE][rim].mean()
        left = healed[Modality.T1CE][rim].mean() - mirror[Modality.T1CE][rim].mean()
        assert contrast > 1 and abs(left) < 0.15 * contrast
        spread = healed[Modality.T1CE][own > 0].std() / mirror[Modality.T1CE][own > 0].std()
        assert 0.7 < spread < 1.3, "the mirror side's texture comes along"


def test_the_label_is_that_of_the_grown_tumor_alone(grown) -> None:
    for case in grown:
        _, label = everything(case)
        rows = case.tumor_voxels()
        assert len(rows) and (label[tuple(rows[:, 1:].T)] == rows[:, 0]).all()
        assert set(np.unique(label)) - {0} == set(rows[:, 0])


def test_no_tumor_crosses_the_falx_or_lies_in_the_ventricles(grown) -> None:
    for case in grown:
        _, label = everything(case)
        z, y, x = np.nonzero(label)
        facts = case.healed.facts
        distance = np.stack([z, y, x], axis=1) @ facts["normal"] - facts["offset"]
        assert (distance > 1).all() or (distance < -1).all()
        healed, _ = case.healed_crop((0, 0, 0), case.shape)
        fluid = ndimage.binary_erosion(healed[Modality.FLAIR] < -2.5, iterations=2)
        assert fluid.any() and not label[fluid].any()


def test_a_patient_with_tumors_on_both_sides_is_no_recipient(grown, brains, grow) -> None:
    assert {case.recipient.name for case in grown} == {case.name for case in brains} - {"brain_d"}
    assert len(grown) == 3 * len(brains)
    with pytest.raises(CaseError, match="tumor on both sides"):
        grow(cases=[case for case in brains if case.name == "brain_d"] * 2)


def test_the_brain_is_standardized_anew(grown) -> None:
    for case in grown:
        image, _ = everything(case)
        for modality in case.subset:
            inside = image[modality][image[modality] != 0]
            assert abs(inside.mean()) < 0.01 and abs(inside.std() - 1) < 0.01


def test_a_crop_is_a_part_of_the_whole(grown) -> None:
    for case in grown[::4]:
        image, label = everything(case)
        part, classes = case.crop((-3, 10, 5), (30, 20, 25))
        np.testing.assert_array_equal(part[:, 3:], image[:, :27, 10:30, 5:30])
        np.testing.assert_array_equal(classes[3:], label[:27, 10:30, 5:30])
        assert not part[:, :3].any() and not classes[:3].any()


def test_mass_effect_moves_tissue_outwards_and_keeps_the_brain() -> None:
    z, y, x = np.indices((30, 40, 40), dtype=np.float32)
    distance = np.sqrt((z - 15) ** 2 + (y - 20) ** 2 + (x - 20) ** 2)
    brain = distance < 14.5
    image = np.where(brain, 1 + distance, 0)[None]
    every_other = (slice(None, None, STEP),) * 3
    pushed = push(image, distance < 6, depth_in(brain)[every_other], 2.0)
    np.testing.assert_array_equal(pushed[0] != 0, brain)
    shell = (distance > 7) & (distance < 9)
    moved = image[0][shell] - pushed[0][shell]
    assert 0.3 < moved.mean() < 2 and moved.min() > -0.1, "what lay nearer to the core lies there now"


# ---- what it looks like


def test_contrasts_of_classes_have_the_signs_that_were_measured(grown) -> None:
    seen = set()
    for case in grown:
        image, label = everything(case)
        healed, _ = case.healed_crop((0, 0, 0), case.shape)
        tissue = (label == 0) & (image != 0).any(axis=0) & (healed[Modality.FLAIR] > -1.5)
        for cls, contrast in CONTRAST.items():
            if (label == cls).sum() < 60:
                continue
            seen.add(cls)
            for modality in case.subset:
                if abs(contrast[modality]) >= 60:
                    found = np.median(image[modality][label == cls]) - np.median(image[modality][tissue])
                    assert np.sign(found) == np.sign(contrast[modality]), (case.name, cls, modality)
    assert seen == set(TUMOR_CLASSES)


@pytest.mark.parametrize("share", ["low_grade_share", "non_enhancing_share"])
def test_tumors_without_enhancement_can_be_asked_for(grow, share: str) -> None:
    for case in grow(replace(STILL, **{share: 1})):
        _, label = everything(case)
        assert (label == TumorClass.NCR).any() and not (label == TumorClass.ET).any()
        assert case.describe()["kind"] == share.removesuffix("_share").replace("_", "-")


def test_thin_rims_are_thin() -> None:
    label = np.zeros((24, 24, 24), np.uint8)
    distance = np.sqrt(sum((axis - 11.5) ** 2 for axis in np.indices(label.shape)))
    label[distance < 10], label[distance < 8], label[distance < 3] = (
        TumorClass.ED,
        TumorClass.ET,
        TumorClass.NCR,
    )
    thinned, kind = make_kind(label, replace(STILL, thin_rim_share=1), np.random.default_rng(0))
    assert kind == "thin rim"
    rim = thinned == TumorClass.ET
    assert rim[(distance > 7.3) & (distance < 8)].all() and not rim[distance < 5.5].any()
    np.testing.assert_array_equal(np.isin(thinned, (1, 3)), np.isin(label, (1, 3)))


def test_fields_have_the_correlations_that_they_were_made_with() -> None:
    random = np.random.default_rng(0)
    weights = np.zeros((2, len(SCALES)))
    weights[0, 1], weights[1, 3] = 1, 1
    independent = unit_fields(SCALES, 2, (60, 64, 60), random)
    fields = mixed_fields(independent, weights, np.eye(2))
    mask = np.ones(fields.shape[1:], bool)
    for field, expected in zip(fields, weights, strict=True):
        measured = correlation_lengths((field - field.mean()) / field.std(), mask)
        assert measured[expected.argmax()] > 0.7  # a box holds a dozen of the larger structures along an axis
    same = np.repeat(weights[:1], 2, axis=0)
    one, other = mixed_fields(independent, same, np.array([[1, -0.6], [-0.6, 1]]))
    assert -0.7 < np.corrcoef(one.ravel(), other.ravel())[0, 1] < -0.5


# ---- what decides it


def test_a_seed_decides_everything(grow) -> None:
    options = GrownOptions()
    one, again, other = grow(options), grow(options, place="b"), grow(options, seed=4, place="c")
    for first, second in zip(one, again, strict=True):
        assert first.describe() == second.describe()
        for mine, theirs in zip(everything(first), everything(second), strict=True):
            np.testing.assert_array_equal(mine, theirs)
    assert [case.describe() for case in one] != [case.describe() for case in other]
    assert len({str(case.describe()["center"]) for case in one}) == len(one)


def test_larger_sets_begin_with_smaller_ones(grow) -> None:
    small, large = grow(factor=2), grow(factor=3, place="b")
    assert [case.describe() for case in small] == [case.describe() for case in large][: len(small)]


def test_what_was_grown_is_kept_and_what_is_damaged_is_grown_anew(grow) -> None:
    made = grow()
    path = made[0].grown.path
    times = {case.grown.path: case.grown.path.stat().st_mtime_ns for case in made}
    before, _ = everything(made[0])
    path.write_bytes(path.read_bytes()[:1000])
    again = grow()
    after, _ = everything(again[0])
    np.testing.assert_array_equal(before, after)
    assert all(case.grown.path.stat().st_mtime_ns == times[case.grown.path] for case in again[1:])
    assert grow(replace(STILL, bend_mm=0))[0].grown.path != path, "other options, another file"


def test_what_an_earlier_version_grew_is_read_where_it_is_kept_and_never_made_anew(
    brains: list[CachedCase], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def grow_as_then() -> list[GrownTumorCase]:
        options = SynthesisOptions(grown=STILL)
        return grow_cases(brains[:2], [0], 3, options, tmp_path, growing=EARLIER_GROWING)

    with pytest.raises(CaseError, match="grew its tumors with an earlier version"):
        grow_as_then()
    with monkeypatch.context() as then:
        then.setattr(grower, "GROWING", EARLIER_GROWING)
        (made,) = grow_as_then()
    (read,) = grow_as_then()
    assert read == made
    now = grow_cases(brains[:2], [0], 3, SynthesisOptions(grown=STILL), tmp_path)[0]
    assert now.grown.path != made.grown.path and now.healed.path != made.healed.path
    made.healed.path.unlink()
    with pytest.raises(CaseError, match="start a new run"):
        grow_as_then()


def test_a_stage_asks_for_grown_tumors_by_its_settings() -> None:
    asked = {
        "pretrain.synthesis.method": "grown",
        "pretrain.synthesis.grown.exclude": "patient_1,held_out.txt",
    }
    stages = make_plan("aem-kd", settings=asked).stages
    synthesis = stages["pretrain"].synthesis
    assert synthesis.method == "grown" and synthesis.options.grown.exclude == ("patient_1", "held_out.txt")
    assert make_plan("aem-kd").stages["pretrain"].synthesis.method == "aem"
    with pytest.raises(OptionError, match=r"Setting synthesis\.grown\.bend_mm=9\.0 is out of range"):
        make_plan("aem", settings={"synthesis.grown.bend_mm": 9})


# ---- label maps


def test_excluded_patients_are_never_used(grow, archive: Path, tmp_path: Path) -> None:
    listed = tmp_path / "held_out.txt"
    listed.write_text("patient_1\n\npatient_3\n")
    options = replace(STILL, label_maps=str(archive))
    free = {case.describe()["label_map"] for case in grow(options, factor=4)}
    assert free == {f"patient_{number}" for number in range(4)}
    kept = grow(replace(options, exclude=("patient_0", str(listed))), factor=4, place="b")
    assert {case.describe()["label_map"] for case in kept} == {"patient_2"}


def test_an_excluded_name_that_is_not_there_is_refused(archive: Path) -> None:
    with pytest.raises(OptionError, match=r"grown\.exclude names 'patient_9'.*look like 'patient_0'"):
        find_label_maps(archive, ["patient_9"], "brats2021")
    with pytest.raises(OptionError, match=r"held\.txt cannot be read"):
        find_label_maps(archive, ["held.txt"], "brats2021")
    with pytest.raises(CaseError, match="all 4 label maps are excluded"):
        find_label_maps(archive, [f"patient_{number}" for number in range(4)], "brats2021")


def test_a_folder_of_label_files_gives_the_same_shapes_as_an_archive(archive: Path, tmp_path: Path) -> None:
    with np.load(archive) as arrays:
        for name, seg in zip(arrays["patient"], arrays["seg"], strict=True):
            image = sitk.GetImageFromArray(seg.transpose(2, 1, 0))
            image.SetSpacing([4.0, 4.0, 4.0])
            (tmp_path / name).mkdir()
            sitk.WriteImage(sitk.DICOMOrient(image, "RAS"), str(tmp_path / name / f"{name}_seg.nii.gz"))
            sitk.WriteImage(image, str(tmp_path / name / f"{name}_flair.nii.gz"))
    found = find_label_maps(tmp_path, [], "brats2021")
    for one, other in zip(found, find_label_maps(archive, [], "brats2021"), strict=True):
        assert one.name == other.name
        mine, theirs = one.read(), other.read()
        np.testing.assert_array_equal(mine.classes, theirs.classes)
        assert (mine.spacing, mine.start, mine.brain) == (theirs.spacing, theirs.start, theirs.brain)


def test_label_maps_of_one_name_are_all_used_and_excluded_together(tmp_path: Path) -> None:
    """Files are called like visits where each patient has a folder."""
    for place in ("patient_1/visit_1", "patient_1/visit_2", "patient_2/visit_1"):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "seg.nii.gz").touch()
    names = [label_map.name for label_map in find_label_maps(tmp_path, [], "brats2021")]
    assert names == ["visit_1", "visit_1", "visit_2"]
    (kept,) = find_label_maps(tmp_path, ["visit_1"], "brats2021")
    assert kept.name == "visit_2"


def test_a_file_that_is_no_archive_of_label_maps_is_told(tmp_path: Path) -> None:
    path = tmp_path / "maps.npz"
    np.savez(path, seg=np.zeros((2, 3, 3, 3), np.uint8), patient=np.array(["a"]), spacing=np.ones(3))
    with pytest.raises(ImageError, match="does not fit 1 patient"):
        find_label_maps(path, [], "brats2021")
    with pytest.raises(CaseError, match="no label map is there"):
        find_label_maps(tmp_path, [], "brats2021")


def test_a_tumor_goes_where_the_label_map_has_it(grow, archive: Path) -> None:
    options = replace(
        STILL, label_maps=str(archive), exclude=("patient_1", "patient_2", "patient_3"), max_rotation_deg=0
    )
    # patient_0: 152 mm of 240 along x, 120 along y, 80 of 155 along z, in the box that brains have there
    expected = np.array([(80 - 4) / 139, (120 - 39) / 173, (152 - 51) / 138])
    for case in grow(options, factor=3):
        center = np.array(case.describe()["center"]) / case.shape
        if case.describe()["mirrored"]:
            center[-1] = 1 - center[-1]
        assert np.abs(center - expected).max() < 0.25
