"""The steps before segmentation: what they are asked for, what they do to a study, and what they tell."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from MissingModalityLib.clinical import raw, registration
from MissingModalityLib.clinical.outlines import share_outline
from MissingModalityLib.clinical.raw import make_ready
from MissingModalityLib.clinical.registration import Movement
from MissingModalityLib.clinical.steps import Steps
from MissingModalityLib.clinical.stripping import Brain
from MissingModalityLib.core.errors import ImageError, OptionError
from MissingModalityLib.core.modalities import Modality
from MissingModalityLib.core.progress import Event
from MissingModalityLib.imaging.grid import Grid
from MissingModalityLib.imaging.preparation import prepare
from MissingModalityLib.imaging.reading import Study
from MissingModalityLib.phantom.patient import grow_patient

NAMES = {modality: f"{modality.title}.nii" for modality in Modality}
TWO = (Modality.FLAIR, Modality.T1)
NO_CHECK = Steps(content_check=False)


@pytest.fixture(scope="module")
def patient() -> dict[Modality, sitk.Image]:
    return grow_patient(4, (42, 52, 44), (4.0,) * 3)[0]


def study(patient: dict[Modality, sitk.Image], *modalities: Modality) -> Study:
    return Study({m: patient[m] for m in modalities}, {m: NAMES[m] for m in modalities})


def shifted(image: sitk.Image, millimeters: float) -> sitk.Image:
    moved = sitk.Image(image)
    moved.SetOrigin([image.GetOrigin()[0] + millimeters, *image.GetOrigin()[1:]])
    return moved


@pytest.fixture
def movement(monkeypatch: pytest.MonkeyPatch) -> Movement:
    """What registration finds in the tests below; that it finds the truth is tested beside it."""
    monkeypatch.setattr(raw, "share_outline", lambda reference, moving: False)
    transform = sitk.Euler3DTransform()
    transform.SetTranslation((12.0, 0.0, 0.0))
    found = Movement(transform, 12.0, 0.0, True, (0.1, 0.9))
    monkeypatch.setattr(registration, "_register", lambda *arguments: found)
    return found


@pytest.fixture
def brain(monkeypatch: pytest.MonkeyPatch, patient: dict[Modality, sitk.Image]) -> Brain:
    """What stripping finds in the tests below: the left half of the true brain."""
    inside = sitk.GetArrayFromImage(patient[Modality.FLAIR]) > 0
    inside[:, :, : inside.shape[2] // 2] = False
    mask = Grid.from_image(patient[Modality.FLAIR]).to_image(inside.astype(np.uint8))
    found = Brain(mask, "a rule of the test", 600.0, ("The brain is half a brain.",))
    monkeypatch.setattr(raw, "needs_stripping", lambda image: True)
    monkeypatch.setattr(raw, "strip", lambda study, always, on_volume: found)
    return found


def test_stripped_volumes_in_one_space_stay_as_they_are_to_the_bit(patient) -> None:
    given = study(patient, *Modality)
    ready = make_ready(given, NO_CHECK)
    for modality, image in given.images.items():
        assert ready.study.images[modality] is image
    assert ready.study.brain is None and ready.study.warnings == given.warnings
    assert ready.facts["stripping"] == {"method": "none"}
    assert not any(facts["moved"] for facts in ready.facts["registration"].values())


def test_stripped_volumes_on_one_grid_are_registered_where_their_brains_differ(patient) -> None:
    flair, t1 = patient[Modality.FLAIR], patient[Modality.T1]
    assert share_outline(flair, t1)
    assert not share_outline(flair, shifted(t1, 4.0)), "another grid"
    other = sitk.Resample(t1, sitk.TranslationTransform(3, (3.0, 0.0, 0.0)), sitk.sitkNearestNeighbor)
    assert not share_outline(flair, other), "one grid, another place"


def test_a_volume_that_lies_apart_is_moved_and_the_user_is_told(patient, movement) -> None:
    given = study(patient, *TWO)
    ready = make_ready(given, NO_CHECK)
    assert ready.study.images[Modality.FLAIR] is given.images[Modality.FLAIR]
    moved = ready.study.images[Modality.T1]
    point = movement.transform.TransformPoint(moved.TransformIndexToPhysicalPoint((5, 6, 7)))
    assert point == pytest.approx(given.images[Modality.T1].TransformIndexToPhysicalPoint((5, 6, 7)))
    (warning,) = ready.study.warnings
    assert warning == "T1 was moved by 12.0 mm and 0 degrees onto FLAIR."
    assert ready.facts["registration"] == {
        "T1": {"moved": True, "shift_mm": 12.0, "angle_degrees": 0.0, "similarity": [0.1, 0.9]}
    }


def test_headers_are_believed_where_registration_is_left_out(patient, movement) -> None:
    given = study(patient, *TWO)
    ready = make_ready(given, Steps("never", content_check=False))
    assert ready.study.images[Modality.T1] is given.images[Modality.T1]
    assert ready.facts["registration"] == {}


def test_a_single_volume_is_not_registered(patient, movement) -> None:
    events: list[Event] = []
    assert make_ready(study(patient, Modality.T1), NO_CHECK, events.append).facts["registration"] == {}
    assert not events


def test_the_brain_that_was_found_goes_with_the_study_and_so_do_its_warnings(patient, brain) -> None:
    ready = make_ready(study(patient, Modality.FLAIR), NO_CHECK)
    assert ready.study.brain is brain.mask
    assert "The brain is half a brain." in ready.study.warnings
    assert "taken away by a rule of the test: 600 cm³ of brain are left" in ready.study.warnings[0]
    assert ready.facts["stripping"] == {"method": "a rule of the test", "brain_cm3": 600.0}


def test_one_volume_with_its_skull_on_is_enough_to_look_for_the_brain(patient, brain, monkeypatch) -> None:
    monkeypatch.setattr(raw, "needs_stripping", lambda image: image is patient[Modality.T1])
    ready = make_ready(study(patient, *TWO), Steps("never", content_check=False))
    assert ready.study.brain is brain.mask


def test_stripping_is_left_out_where_it_is_not_wanted(patient, brain) -> None:
    ready = make_ready(study(patient, Modality.FLAIR), Steps(stripping="never", content_check=False))
    assert ready.study.brain is None and not ready.study.warnings


def test_stripping_is_done_always_where_it_is_asked_for(patient, brain, monkeypatch) -> None:
    monkeypatch.setattr(raw, "needs_stripping", lambda image: False)
    given = study(patient, Modality.FLAIR)
    assert make_ready(given, NO_CHECK).study.brain is None
    assert make_ready(given, Steps(stripping="always", content_check=False)).study.brain is brain.mask


def test_a_mask_of_ones_own_takes_the_place_of_stripping(patient, brain, tmp_path) -> None:
    flair = patient[Modality.FLAIR]
    own = sitk.Cast(flair > 0, sitk.sitkUInt8) * 7
    sitk.WriteImage(own, str(tmp_path / "mask.nii.gz"))
    ready = make_ready(study(patient, Modality.FLAIR), Steps(brain_mask=tmp_path / "mask.nii.gz"))
    np.testing.assert_array_equal(
        sitk.GetArrayFromImage(ready.study.brain), sitk.GetArrayFromImage(flair) > 0
    )
    assert ready.facts["stripping"]["method"] == "given mask"
    assert ready.facts["asked"]["brain_mask"] == str(tmp_path / "mask.nii.gz")


def test_a_mask_of_ones_own_that_covers_half_of_the_brain_is_told(patient, brain, tmp_path) -> None:
    sitk.WriteImage(brain.mask, str(tmp_path / "mask.nii.gz"))
    steps = Steps(brain_mask=tmp_path / "mask.nii.gz", content_check=False)
    raw_study = study(patient, Modality.FLAIR)
    assert any("does not lie over the brain" in told for told in make_ready(raw_study, steps).study.warnings)


def test_a_mask_of_ones_own_that_is_cut_off_is_told(patient, brain, tmp_path) -> None:
    flair = patient[Modality.FLAIR]
    inside = sitk.GetArrayFromImage(flair) > 0
    inside[: inside.shape[0] // 3] = False
    mask = Grid.from_image(flair).to_image(inside.astype(np.uint8))
    sitk.WriteImage(mask, str(tmp_path / "mask.nii.gz"))
    told = make_ready(study(patient, Modality.FLAIR), Steps(brain_mask=tmp_path / "mask.nii.gz"))
    assert any("mask.nii.gz ends flat on a side" in sentence for sentence in told.study.warnings)


def test_thick_slices_and_volumes_that_end_inside_the_brain_are_told(patient, brain, monkeypatch) -> None:
    whole = np.ones(sitk.GetArrayFromImage(brain.mask).shape, np.uint8)
    mask = Grid.from_image(brain.mask).to_image(whole)
    monkeypatch.setattr(raw, "strip", lambda study, always, on_volume: Brain(mask, "all", 1.0, ()))
    thick = sitk.Image(patient[Modality.FLAIR])
    thick.SetSpacing((4.0, 4.0, 5.5))
    warnings = make_ready(Study({Modality.FLAIR: thick}, NAMES), NO_CHECK).study.warnings
    assert any(warning.startswith("Thick slices (5.5 mm in FLAIR)") for warning in warnings)
    assert any("end inside the brain" in warning for warning in warnings)


@pytest.mark.parametrize("slices", [None, 5])
def test_a_volume_that_ends_inside_the_brain_is_told_in_a_wide_field_of_view_too(
    patient, monkeypatch, slices
) -> None:
    flair = sitk.ConstantPad(patient[Modality.FLAIR], (30, 30, 4), (30, 30, 4), 0.0)
    if slices:
        flair = flair[:, :, flair.GetSize()[2] // 2 - slices : flair.GetSize()[2] // 2 + slices]
    found = Brain(sitk.Cast(flair > 0, sitk.sitkUInt8), "all", 1.0, ())
    monkeypatch.setattr(raw, "strip", lambda study, always, on_volume: found)
    monkeypatch.setattr(raw, "needs_stripping", lambda image: True)
    steps = Steps(content_check=False, bias_field="never")
    warnings = make_ready(Study({Modality.FLAIR: flair}, NAMES), steps).study.warnings
    assert any("end inside the brain" in warning for warning in warnings) == bool(slices)


def test_what_the_contents_say_is_told_unless_nobody_asks(patient, monkeypatch) -> None:
    monkeypatch.setattr(raw, "check_content", lambda study: ("FLAIR.nii looks like T2.",))
    given = study(patient, Modality.FLAIR)
    assert make_ready(given, Steps()).study.warnings == ("FLAIR.nii looks like T2.",)
    assert make_ready(given, NO_CHECK).study.warnings == ()


def test_a_volume_that_is_none_is_refused_before_any_step(patient, movement) -> None:
    empty = sitk.Image(16, 16, 16, sitk.sitkInt16)
    with pytest.raises(ImageError, match=r"T1\.nii is empty"):
        make_ready(Study({Modality.FLAIR: patient[Modality.FLAIR], Modality.T1: empty}, NAMES), Steps())


def test_what_a_step_makes_of_a_volume_is_not_taken_for_what_was_given(patient, brain, monkeypatch) -> None:
    flat = patient[Modality.FLAIR] > 0  # a mask, as a user's volume would be refused
    monkeypatch.setattr(
        raw, "even_out", lambda study, notify: (replace(study, images={Modality.FLAIR: flat}), {})
    )
    ready = make_ready(study(patient, Modality.FLAIR), NO_CHECK)
    assert prepare(ready.study).available.sum() == 1
    with pytest.raises(ImageError, match="looks like a label map or mask"):
        prepare(Study({Modality.FLAIR: flat}, NAMES))


def test_a_grid_that_is_a_little_off_is_told_once(patient) -> None:
    sheared = sitk.Image(patient[Modality.FLAIR])
    sheared.SetDirection((1, 0.003, 0, 0, 1, 0, 0, 0, 1))
    ready = make_ready(Study({Modality.FLAIR: sheared}, NAMES), NO_CHECK)
    told = prepare(ready.study).warnings
    assert sum("degrees off a right angle" in warning for warning in told) == 1


@pytest.mark.parametrize("curve", [np.sqrt, np.square, np.negative], ids=["root", "square", "inverted"])
def test_a_raw_volume_in_other_intensities_is_refused_before_it_is_evened_out(patient, brain, curve) -> None:
    first = sitk.Cast(patient[Modality.FLAIR], sitk.sitkFloat32)
    other = Grid.from_image(first).to_image(curve(sitk.GetArrayFromImage(first)))
    with pytest.raises(ImageError, match="hold the same volume, given as FLAIR and as T1"):
        make_ready(Study({Modality.FLAIR: first, Modality.T1: other}, NAMES), NO_CHECK)


@pytest.mark.parametrize("wrong", [{"registration": "maybe"}, {"stripping": "yes"}, {"bias_field": "always"}])
def test_unknown_steps_are_refused(wrong) -> None:
    with pytest.raises(OptionError, match="is unknown"):
        Steps(**wrong)


def test_a_mask_and_stripping_always_exclude_each_other() -> None:
    with pytest.raises(OptionError, match="takes the place of stripping"):
        Steps(stripping="always", brain_mask=Path("mask.nii.gz"))


class TestPreparationWithABrain:
    """Volumes are z-scored inside the brain that comes with the study."""

    def test_the_brain_is_the_mask_and_z_scores_are_those_inside(self, patient, brain) -> None:
        given = study(patient, *TWO)
        prepared = prepare(Study(given.images, given.names, brain=brain.mask))
        whole = prepare(given)
        assert 0.4 < prepared.brain.sum() / whole.brain.sum() < 0.6
        for modality in TWO:
            inside = prepared.image[modality][prepared.brain]
            assert inside.mean() == pytest.approx(0, abs=1e-3) and inside.std() == pytest.approx(1, abs=1e-3)
            assert not prepared.image[modality][~prepared.brain].any()

    def test_a_brain_that_is_all_that_is_not_background_changes_nothing_deep_inside(self, patient) -> None:
        given = study(patient, *TWO)
        mask = sitk.Cast(patient[Modality.T1] > 0, sitk.sitkUInt8)
        prepared, plain = prepare(Study(given.images, given.names, brain=mask)), prepare(given)
        assert prepared.grid == plain.grid
        np.testing.assert_array_equal(prepared.brain, plain.brain)
        np.testing.assert_allclose(prepared.image, plain.image, atol=1e-5)

    def test_a_volume_that_covers_part_of_the_brain_has_no_voxels_beyond(self, patient) -> None:
        mask = sitk.Cast(patient[Modality.FLAIR] > 0, sitk.sitkUInt8)
        part = patient[Modality.T1][:, :, 22:]
        images = {Modality.FLAIR: patient[Modality.FLAIR], Modality.T1: part}
        prepared = prepare(Study(images, NAMES, brain=mask))
        seen = prepared.image.any(axis=(2, 3))
        assert seen[Modality.FLAIR].sum() > 1.5 * seen[Modality.T1].sum() > 0

    def test_a_volume_beside_the_brain_is_refused(self, patient) -> None:
        mask = sitk.Cast(patient[Modality.FLAIR] > 0, sitk.sitkUInt8)
        images = {Modality.FLAIR: patient[Modality.FLAIR], Modality.T1: shifted(patient[Modality.T1], 400)}
        with pytest.raises(ImageError, match=r"T1\.nii shows nothing of the brain"):
            prepare(Study(images, NAMES, brain=mask))
