"""Results on the grid of another volume than the first one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

import MissingModalityLib as mm
from MissingModalityLib.core.errors import ImageError, OptionError
from MissingModalityLib.core.modalities import Modality
from MissingModalityLib.datasets.case import ImageFile
from MissingModalityLib.imaging.grid import Grid
from MissingModalityLib.imaging.preparation import prepare, to_grid
from MissingModalityLib.imaging.prepared import Prepared
from MissingModalityLib.imaging.reading import Study, read_volumes
from MissingModalityLib.inference.target_grid import TargetGrid, grid_told, parse_grid, target_grid
from small_patient import brain_volume, write_brain

OBLIQUE = (0.8, -0.6, 0.0, 0.6, 0.8, 0.0, 0.0, 0.0, 1.0)


@pytest.fixture(scope="module")
def prepared() -> Prepared:
    return prepare(Study({Modality.T1: brain_volume()}, {Modality.T1: "t1.nii.gz"}))


def ball(prepared: Prepared, radius_mm: float = 9.0) -> np.ndarray:
    """A ball of class 2 with a smaller one of class 3 in it, around the middle of the brain."""
    z, y, x = np.indices(prepared.brain.shape)
    center = (np.array(prepared.brain.shape) - 1) / 2
    distance = np.sqrt((z - center[0]) ** 2 + (y - center[1]) ** 2 + (x - center[2]) ** 2)
    return np.where(distance < radius_mm / 2, 3, np.where(distance < radius_mm, 2, 0)).astype(np.uint8)


def finer(grid: Grid, times: int) -> Grid:
    """The same extent in smaller voxels."""
    spacing = tuple(length / times for length in grid.spacing)
    origin = tuple(grid.points(np.array([(1 / times - 1) / 2] * 3))[:].tolist())
    return Grid(tuple(count * times for count in grid.size), spacing, origin, grid.direction)


def test_on_finer_voxels_the_border_is_smooth_and_volumes_stay(prepared: Prepared) -> None:
    classes = ball(prepared)
    grid = finer(prepared.grid, 3)
    smooth = sitk.GetArrayFromImage(to_grid(classes, prepared, grid))
    steps = np.repeat(np.repeat(np.repeat(classes, 3, 0), 3, 1), 3, 2)
    assert np.unique(smooth).tolist() == [0, 2, 3]
    z, y, x = np.indices(smooth.shape)
    center = (np.array(smooth.shape) - 1) / 2
    distance = np.sqrt((z - center[0]) ** 2 + (y - center[1]) ** 2 + (x - center[2]) ** 2) / 3
    truth = distance < 9.0

    def wrong(found: np.ndarray) -> int:
        return int(np.count_nonzero((found > 0) != truth))

    assert wrong(smooth) < 0.8 * wrong(steps)
    assert np.count_nonzero(smooth) == pytest.approx(27 * np.count_nonzero(classes), rel=0.02)


def test_same_voxels_get_the_same_classes(prepared: Prepared) -> None:
    classes = ball(prepared)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(to_grid(classes, prepared, prepared.grid)), classes)


def test_a_volume_moved_onto_the_first_one_gets_the_result_under_its_own_header(prepared: Prepared) -> None:
    """It is sampled where it lies in the patient, and written where its file says."""
    own = brain_volume(1, spacing=(2.0, 2.0, 3.0), origin=(40.0, -7.0, 11.0), direction=OBLIQUE)
    moved = sitk.Image(own)
    moved.SetOrigin((3.0, 1.0, -5.0))
    moved.SetDirection((1, 0, 0, 0, 1, 0, 0, 0, 1))
    first = brain_volume()
    names = {Modality.T1: "t1.nii.gz", Modality.T2: "t2.nii.gz"}
    given = Study({Modality.T1: first, Modality.T2: own}, names)
    target = target_grid(Modality.T2, given, replace(given, images={Modality.T1: first, Modality.T2: moved}))
    assert target is not None and target.name == "t2.nii.gz"
    classes = ball(prepared)
    labels = target.stamp(to_grid(classes, prepared, target.sampled))
    assert Grid.from_image(labels) == Grid.from_image(own)
    np.testing.assert_array_equal(
        sitk.GetArrayFromImage(labels),
        sitk.GetArrayFromImage(to_grid(classes, prepared, Grid.from_image(moved))),
    )
    assert sitk.GetArrayFromImage(labels).any()


def test_the_first_volume_needs_no_other_grid() -> None:
    study = Study({Modality.T1: brain_volume()}, {Modality.T1: "t1.nii.gz"})
    assert target_grid(None, study, study) is None
    assert target_grid(Modality.T1, study, study) is None


def test_a_file_of_any_volume_gives_the_grid(tmp_path: Path) -> None:
    path = write_brain(tmp_path / "plan.nii.gz", spacing=(1.5, 1.5, 4.0), origin=(5.0, 6.0, 7.0))
    study = Study({Modality.T1: brain_volume()}, {Modality.T1: "t1.nii.gz"})
    target = target_grid(path, study, study)
    assert target is not None and target.sampled == target.written
    assert target.written.spacing == pytest.approx((1.5, 1.5, 4.0))


def without_orientation(path: Path) -> Path:
    """A .nii file made to tell of no direction: its qform_code and sform_code become 0."""
    content = bytearray(path.read_bytes())
    content[252:256] = bytes(4)
    path.write_bytes(content)
    return path


def test_the_header_of_a_file_is_told_and_held_against_those_of_the_volumes(tmp_path: Path) -> None:
    plan, first = without_orientation(write_brain(tmp_path / "plan.nii")), write_brain(tmp_path / "t1.nii")
    files = {Modality.T1: ImageFile(first)}
    study = read_volumes(files)
    with pytest.raises(ImageError, match=r"plan\.nii does not tell in its header which way.*t1\.nii does"):
        grid_told(study, plan, [first])
    with pytest.raises(ImageError, match=r"plan\.nii does not tell.*another volume does"):
        grid_told(study, plan)  # of DICOM
    with pytest.raises(ImageError, match=r"absent\.nii"):
        grid_told(study, tmp_path / "absent.nii", [first])
    without_orientation(first)
    study = read_volumes(files)
    told = grid_told(study, plan, [first])
    assert [str(plan) in warning for warning in told.warnings] == [False, True]
    assert told.images == study.images
    assert grid_told(study, Modality.T1, [first]) is study and grid_told(study, None, [first]) is study


@pytest.mark.parametrize("segment", [mm.segment_files, mm.segment])
def test_a_result_is_refused_on_a_grid_of_unknown_orientation(
    segment: Callable[..., object], student: Path, tmp_path: Path
) -> None:
    plan, first = without_orientation(write_brain(tmp_path / "plan.nii")), write_brain(tmp_path / "t1.nii")
    with pytest.raises(ImageError, match=r"plan\.nii does not tell in its header which way"):
        segment({"T1": first}, tmp_path / "out.nii.gz", student=student, device="cpu", grid=plan)
    assert not (tmp_path / "out.nii.gz").exists()


def test_a_modality_that_is_not_given_is_refused_with_those_that_are() -> None:
    study = Study({Modality.T1: brain_volume()}, {Modality.T1: "t1.nii.gz"})
    with pytest.raises(OptionError, match=r"grid of T1ce.*Choose one of T1, or name a file"):
        target_grid(Modality.T1CE, study, study)


@pytest.mark.parametrize("first", [0, 20, 40])
def test_what_a_grid_does_not_cover_of_the_tumor_is_told(first: int, prepared: Prepared) -> None:
    tumor = ball(prepared) > 0
    size = prepared.grid.size
    grid = prepared.grid.crop((first, 0, 0), (size[0] - first, *size[1:]))
    outside = np.count_nonzero(tumor[:, :, :first]) / np.count_nonzero(tumor)
    warnings = TargetGrid("plan.nii.gz", grid, grid).warnings(tumor, prepared.grid)
    told = [warning for warning in warnings if f"plan.nii.gz does not cover {outside:.0%} of" in warning]
    assert len(told) == len(warnings) == (outside > 0)
    assert TargetGrid("plan.nii.gz", grid, grid).warnings(tumor & False, prepared.grid) == []


def test_modalities_go_before_files_of_that_name() -> None:
    assert parse_grid("T1ce") is Modality.T1CE
    assert parse_grid("t1ce.nii.gz") == Path("t1ce.nii.gz")


def test_a_result_lies_on_the_grid_of_the_volume_that_was_named(student: Path, tmp_path: Path) -> None:
    """By name and by the file of a volume that is given too, of which the header alone tells."""
    first = write_brain(tmp_path / "flair.nii.gz", 1)
    other = write_brain(
        tmp_path / "t2.nii.gz", 2, size=(40, 40, 12), spacing=(1.2, 1.2, 3.9), origin=(1.0, 2.0, 0.5)
    )
    inputs = {Modality.FLAIR: first, Modality.T2: other}
    steps = mm.Steps("never", "never", content_check=False)  # noise fits no other noise
    reports = [
        mm.segment_files(inputs, tmp_path / f"{number}.nii.gz", student, "cpu", steps=steps, grid=grid)
        for number, grid in enumerate(("t2", other))
    ]
    named, given = (sitk.ReadImage(str(tmp_path / f"{number}.nii.gz")) for number in range(2))
    assert [report["grid"] for report in reports] == ["T2", "T2"]
    volume = sitk.ReadImage(str(other))
    assert named.GetSize() == volume.GetSize()
    for mine, own in (
        (named.GetSpacing(), volume.GetSpacing()),
        (named.GetOrigin(), volume.GetOrigin()),
        (named.GetDirection(), volume.GetDirection()),
    ):
        assert mine == pytest.approx(own, abs=1e-5)
    array = sitk.GetArrayFromImage(named)
    np.testing.assert_array_equal(array, sitk.GetArrayFromImage(given))
    voxel = float(np.prod(volume.GetSpacing())) / 1000
    assert reports[0]["volumes_cm3"]["WT"] == pytest.approx(voxel * np.count_nonzero(array), abs=1e-3) != 0


def test_without_a_choice_the_report_names_no_grid(student: Path, tmp_path: Path) -> None:
    first = write_brain(tmp_path / "flair.nii.gz", 1)
    assert "grid" not in mm.segment_files({Modality.FLAIR: first}, tmp_path / "o.nii.gz", student, "cpu")
