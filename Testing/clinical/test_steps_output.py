"""What the steps before a segmentation leave for people to look at."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from full_disk import full_disk
from MissingModalityLib.clinical.steps_output import check_steps_output, read_steps, write_steps
from MissingModalityLib.core.errors import OptionError
from MissingModalityLib.core.modalities import Modality
from MissingModalityLib.imaging.reading import Study
from small_patient import brain_volume

OBLIQUE = (0.8, -0.6, 0.0, 0.6, 0.8, 0.0, 0.0, 0.0, 1.0)


@pytest.fixture
def given() -> Study:
    images = {Modality.FLAIR: brain_volume(1), Modality.T1CE: brain_volume(2, direction=OBLIQUE)}
    return Study(images, {Modality.FLAIR: "flair", Modality.T1CE: "t1ce"})


def moved(image: sitk.Image, movement: sitk.Euler3DTransform) -> sitk.Image:
    """The image as if it lay where the inverse movement puts it: in the space of the reference volume."""
    back = movement.GetInverse()
    axes = np.reshape(image.GetDirection(), (3, 3))
    turned = np.reshape(back.GetMatrix(), (3, 3)) @ axes
    other = sitk.Image(image)
    other.SetOrigin(back.TransformPoint(image.GetOrigin()))
    other.SetDirection(turned.ravel().tolist())
    return other


def test_a_movement_comes_back_as_registered(given: Study, tmp_path: Path) -> None:
    movement = sitk.Euler3DTransform((1.0, 2.0, 3.0), 0.1, -0.2, 0.15, (5.0, -8.0, 12.0))
    images = {**given.images, Modality.T1CE: moved(given.images[Modality.T1CE], movement)}
    write_steps(given, replace(given, images=images), tmp_path / "new" / "steps")
    found = read_steps(tmp_path / "new" / "steps")
    assert list(found.movements) == [Modality.T1CE]
    for point in ((0.0, 0.0, 0.0), (40.0, -30.0, 20.0)):
        expected = movement.TransformPoint(point)
        np.testing.assert_allclose(found.movements[Modality.T1CE].TransformPoint(point), expected, atol=1e-6)
    assert found.brain is None


def test_the_mask_of_the_brain_comes_back(given: Study, tmp_path: Path) -> None:
    brain = sitk.Cast(given.images[Modality.FLAIR] > 0, sitk.sitkUInt8)
    write_steps(given, replace(given, brain=brain), tmp_path)
    found = read_steps(tmp_path)
    assert not found.movements
    assert found.brain.GetOrigin() == brain.GetOrigin()
    np.testing.assert_array_equal(sitk.GetArrayViewFromImage(found.brain), sitk.GetArrayViewFromImage(brain))


def test_a_folder_that_cannot_be_made_is_told(given: Study, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OptionError, match=r"file.*Choose another folder"):
        write_steps(given, given, tmp_path / "file" / "steps")


def test_movements_of_an_earlier_study_do_not_pass_for_this_ones(given: Study, tmp_path: Path) -> None:
    movement = sitk.Euler3DTransform((1.0, 2.0, 3.0), 0.1, -0.2, 0.15, (5.0, -8.0, 12.0))
    images = {**given.images, Modality.T1CE: moved(given.images[Modality.T1CE], movement)}
    brain = sitk.Cast(given.images[Modality.FLAIR] > 0, sitk.sitkUInt8)
    write_steps(given, replace(given, images=images, brain=brain), tmp_path)
    write_steps(given, given, tmp_path)
    assert not list(tmp_path.iterdir())


def test_steps_that_a_full_disk_does_not_take_leave_those_of_before(given: Study, tmp_path: Path) -> None:
    brain = sitk.Cast(given.images[Modality.FLAIR] > 0, sitk.sitkUInt8)
    movement = sitk.Euler3DTransform((1.0, 2.0, 3.0), 0.1, -0.2, 0.15, (5.0, -8.0, 12.0))
    images = {**given.images, Modality.T1CE: moved(given.images[Modality.T1CE], movement)}
    write_steps(given, replace(given, brain=brain), tmp_path / "steps")
    before = (tmp_path / "steps" / "brain.nrrd").read_bytes()
    with pytest.raises(OptionError, match=r"steps.*cannot be written"), full_disk(50):
        write_steps(given, replace(given, images=images), tmp_path / "steps")
    assert {path.name for path in (tmp_path / "steps").iterdir()} == {"brain.nrrd", "steps.report.json"}
    assert (tmp_path / "steps" / "brain.nrrd").read_bytes() == before


@pytest.mark.parametrize("renamed", [0, 1, 2, 3])
def test_steps_that_are_killed_as_they_put_files_in_place_leave_what_they_know_again(
    given: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, renamed: int
) -> None:
    brain = sitk.Cast(given.images[Modality.FLAIR] > 0, sitk.sitkUInt8)
    studies = []
    for angle in (0.1, 0.2):
        movement = sitk.Euler3DTransform((1.0, 2.0, 3.0), angle, -0.2, 0.15, (5.0, -8.0, 12.0))
        images = {**given.images, Modality.T1CE: moved(given.images[Modality.T1CE], movement)}
        studies.append(replace(given, images=images, brain=brain if angle == 0.1 else 1 - brain))
    write_steps(given, studies[0], tmp_path)
    rename, places = os.replace, []

    def kill(temporary: Path, path: Path) -> None:
        places.append(path)
        if len(places) > renamed:
            raise KeyboardInterrupt
        rename(temporary, path)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", kill)
        if renamed < 3:
            with pytest.raises(KeyboardInterrupt):
                write_steps(given, studies[1], tmp_path)
        else:
            write_steps(given, studies[1], tmp_path)
    check_steps_output(tmp_path, (), overwrite=False)
    (tmp_path / "T1CE.tfm").write_text("edited")
    with pytest.raises(OptionError, match=r"T1CE\.tfm is not as the steps"):
        check_steps_output(tmp_path, (), overwrite=False)


def test_what_no_steps_have_left_is_replaced_on_demand_only(given: Study, tmp_path: Path) -> None:
    check_steps_output(tmp_path / "new", (), overwrite=False)
    own = tmp_path / "T1.tfm"  # as Slicer saves a transform of this name
    own.write_text("#Insight Transform File V1.0\n")
    with pytest.raises(OptionError, match=r"T1\.tfm is not as the steps.*--overwrite"):
        check_steps_output(tmp_path, (), overwrite=False)
    check_steps_output(tmp_path, (), overwrite=True)
    own.rename(tmp_path / "steps.report.json")
    with pytest.raises(OptionError, match=r"steps\.report\.json is not as the steps"):
        check_steps_output(tmp_path, (), overwrite=False)
    (tmp_path / "steps.report.json").unlink()
    brain = sitk.Cast(given.images[Modality.FLAIR] > 0, sitk.sitkUInt8)
    movement = sitk.Euler3DTransform((1.0, 2.0, 3.0), 0.1, -0.2, 0.15, (5.0, -8.0, 12.0))
    images = {**given.images, Modality.T1CE: moved(given.images[Modality.T1CE], movement)}
    write_steps(given, replace(given, images=images, brain=brain), tmp_path)
    check_steps_output(tmp_path, (), overwrite=False)
    sitk.WriteImage(1 - brain, str(tmp_path / "brain.nrrd"))  # corrected by hand
    with pytest.raises(OptionError, match=r"brain\.nrrd is not as the steps"):
        check_steps_output(tmp_path, (), overwrite=False)
    with pytest.raises(OptionError, match=r"brain\.nrrd.*overwrite an input"):
        check_steps_output(tmp_path, [tmp_path / "brain.nrrd"], overwrite=True)
    (tmp_path / "brain.nrrd").unlink()
    (tmp_path / "T1CE.tfm").write_text("edited")
    with pytest.raises(OptionError, match=r"T1CE\.tfm is not as the steps"):
        check_steps_output(tmp_path, (), overwrite=False)


@pytest.mark.parametrize("name", ["brain.nrrd", "T2.tfm", "steps.report.json"])
@pytest.mark.parametrize("overwrite", [False, True])
def test_an_output_that_steps_would_overwrite_is_refused(tmp_path: Path, name: str, overwrite: bool) -> None:
    with pytest.raises(OptionError, match=rf"{name} is a file that the steps leave, and would be the output"):
        check_steps_output(tmp_path, (), overwrite, [tmp_path / "." / name])
    check_steps_output(tmp_path, (), overwrite, [tmp_path / "tumor.nrrd"])
