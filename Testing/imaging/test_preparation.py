"""Volumes of any geometry come onto one grid, and label maps return to the patient's own within a voxel."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage
from scipy.ndimage import binary_erosion

from MissingModalityLib.core.errors import ImageError
from MissingModalityLib.core.modalities import Modality, subset_name
from MissingModalityLib.datasets.discovery import find_cases
from MissingModalityLib.imaging.grid import Grid, common_grid
from MissingModalityLib.imaging.preparation import prepare, to_reference_grid
from MissingModalityLib.imaging.reading import Study, read_label, read_study
from subsets import with_modalities

CENTER = np.array([12.0, -20.0, 35.0])
RADII = np.array([40.0, 50.0, 38.0])
LESION = np.array([25.0, -10.0, 40.0])
LESION_RADIUS = 12.0


def rotation(degrees: float, axis: int) -> np.ndarray:
    angle = np.radians(degrees)
    matrix = np.eye(3)
    first, second = [other for other in range(3) if other != axis]
    matrix[first, first] = matrix[second, second] = np.cos(angle)
    matrix[first, second], matrix[second, first] = -np.sin(angle), np.sin(angle)
    return matrix


def grid_around(size: tuple[int, ...], spacing: tuple[float, ...], direction: np.ndarray) -> Grid:
    """A grid whose middle is the middle of the head."""
    middle = direction @ (np.array(spacing) * (np.array(size) - 1) / 2)
    return Grid(size, spacing, tuple(CENTER - middle), tuple(direction.ravel()))


def scan(grid: Grid, background: float = 0.0, seed: int = 0) -> tuple[sitk.Image, sitk.Image]:
    """A head with one lesion and its label, evaluated at the physical position of every voxel."""
    points = positions(grid)
    head = (((points - CENTER) / RADII) ** 2).sum(-1) < 1
    lesion = ((points - LESION) ** 2).sum(-1) < LESION_RADIUS**2
    noise = np.random.default_rng(seed).normal(0, 20, head.shape)
    array = np.where(head, 400 + 300 * lesion + noise, background).astype(np.float32)
    return grid.to_image(array), grid.to_image((lesion & head).astype(np.uint8) * 3)


def positions(grid: Grid) -> np.ndarray:
    """(D, H, W, 3) physical points of the voxels, x y z."""
    z, y, x = np.meshgrid(*(np.arange(count) for count in reversed(grid.size)), indexing="ij")
    index = np.stack([x, y, z], -1) * np.array(grid.spacing)
    return index @ np.reshape(grid.direction, (3, 3)).T + np.array(grid.origin)


GRIDS = {
    "isotropic": grid_around((100, 120, 96), (1.0, 1.0, 1.0), np.eye(3)),
    "thick slices": grid_around((128, 140, 22), (0.8, 0.8, 5.0), np.eye(3)),
    "flipped": grid_around((100, 120, 96), (1.0, 1.0, 1.0), np.diag([-1.0, -1.0, 1.0])),
    "sagittal": grid_around((120, 96, 30), (1.0, 1.0, 3.0), np.eye(3)[:, [1, 2, 0]]),
    "oblique": grid_around((110, 130, 60), (0.9, 0.9, 2.0), rotation(17, 0) @ rotation(-11, 2)),
    "oblique and flipped": grid_around(
        (110, 130, 60), (0.9, 0.9, 2.0), rotation(9, 1) @ np.diag([1.0, -1.0, -1.0])
    ),
}


def center_of(label: sitk.Image) -> np.ndarray:
    return positions(Grid.from_image(label))[sitk.GetArrayFromImage(label) > 0].mean(axis=0)


@pytest.mark.parametrize("name", GRIDS)
def test_a_label_returns_to_the_patients_grid_within_a_voxel(name: str) -> None:
    image, label = scan(GRIDS[name])
    prepared = prepare(Study({Modality.FLAIR: image}, {Modality.FLAIR: name}), label)
    back = to_reference_grid(prepared.label, prepared)
    assert (back.GetSize(), back.GetSpacing(), back.GetOrigin(), back.GetDirection()) == (
        image.GetSize(),
        image.GetSpacing(),
        image.GetOrigin(),
        image.GetDirection(),
    )
    voxel = max(image.GetSpacing())
    assert np.abs(center_of(back) - center_of(label)).max() < voxel / 2
    before, after = sitk.GetArrayFromImage(label) == 3, sitk.GetArrayFromImage(back) == 3
    # whatever differs lies within one voxel of the border: nothing survives an erosion of the difference
    grown = sitk.GetArrayFromImage(sitk.BinaryDilate(label, (1, 1, 1), sitk.sitkBall, 0, 3)) == 3
    shrunk = sitk.GetArrayFromImage(sitk.BinaryErode(label, (1, 1, 1), sitk.sitkBall, 0, 3)) == 3
    assert not (after & ~grown).any()
    assert not (shrunk & ~after).any()
    assert after.sum() == pytest.approx(before.sum(), rel=0.05)


def test_every_grid_is_prepared_in_the_same_orientation() -> None:
    volumes = []
    for name in ("isotropic", "flipped", "sagittal"):
        prepared = prepare(Study({Modality.FLAIR: scan(GRIDS[name])[0]}, {Modality.FLAIR: name}))
        direction = np.reshape(prepared.grid.direction, (3, 3))
        np.testing.assert_allclose(direction, np.eye(3), atol=1e-9)
        assert prepared.grid.spacing == (1.0, 1.0, 1.0)
        volumes.append(np.array(prepared.image.shape[1:]))
    np.testing.assert_allclose(volumes[0], volumes[1], atol=1)
    np.testing.assert_allclose(volumes[0], volumes[2], atol=3)


def test_volumes_of_different_geometry_meet_on_the_reference_grid() -> None:
    names = {
        Modality.T1CE: "oblique",
        Modality.FLAIR: "thick slices",
        Modality.T2: "isotropic",
        Modality.T1: "flipped",
    }
    images = {modality: scan(GRIDS[name], seed=modality)[0] for modality, name in names.items()}
    study = Study(images, names)
    prepared = prepare(study, scan(GRIDS["oblique"])[1])
    assert study.reference is Modality.T1CE
    assert prepared.reference == Grid.from_image(images[Modality.T1CE])
    assert prepared.available.all()
    points = positions(prepared.grid)
    for modality in images:
        # away from the brain's own border, which may ring, the lesion is all that is above 1 z-score
        lesion = (prepared.image[modality] > 1.0) & ((((points - CENTER) / (RADII - 4)) ** 2).sum(-1) < 1)
        center = points[lesion].mean(axis=0)
        assert np.abs(center - LESION).max() < 1.0, f"the lesion of {names[modality]} moved to {center}"


def test_z_scores_inside_the_brain_and_zeros_elsewhere() -> None:
    prepared = prepare(Study({Modality.T2: scan(GRIDS["isotropic"])[0]}, {Modality.T2: "t2"}))
    inside = prepared.image[Modality.T2][prepared.brain]
    assert inside.mean() == pytest.approx(0, abs=1e-4)
    assert inside.std() == pytest.approx(1, abs=1e-4)
    assert (prepared.image[Modality.T2][~prepared.brain] == 0).all()
    assert not prepared.image[[Modality.FLAIR, Modality.T1CE, Modality.T1]].any()
    assert prepared.available.tolist() == [False, False, False, True]
    # cropped to the brain: it touches all six faces of its box
    for axis in range(3):
        along = prepared.brain.any(axis=tuple(other for other in range(3) if other != axis))
        assert along[0] and along[-1]


@pytest.mark.parametrize("background", [0.0, -3.5, 1000.0])
def test_the_background_may_be_any_constant(background: float) -> None:
    grid = GRIDS["isotropic"]
    plain = prepare(Study({Modality.T1: scan(grid)[0]}, {Modality.T1: "plain"}))
    shifted, _ = scan(grid)
    array = sitk.GetArrayFromImage(shifted)
    moved = grid.to_image(np.where(array == 0, background, array + background).astype(np.float32))
    other = prepare(Study({Modality.T1: moved}, {Modality.T1: "moved"}))
    np.testing.assert_array_equal(plain.brain, other.brain)
    np.testing.assert_allclose(plain.image, other.image, atol=1e-3)


def test_padding_brighter_than_the_brain_leaves_no_rim() -> None:
    image, _ = scan(GRIDS["oblique"])
    array = sitk.GetArrayFromImage(image).astype(np.uint16)
    images = [GRIDS["oblique"].to_image(np.where(array > 0, array, air)) for air in (0, 65535)]
    sound, padded = (prepare(Study({Modality.T1: one}, {Modality.T1: "x"})) for one in images)
    assert (sound.brain == padded.brain).all()
    inside = binary_erosion(sound.brain, iterations=3)
    one, other = (found.image[Modality.T1][inside] for found in (sound, padded))
    assert np.corrcoef(one, other)[0, 1] > 0.999 and 0.5 < other.std() / one.std() < 2


def test_a_volume_z_scored_over_a_zero_background_keeps_its_dark_tissue() -> None:
    image, _ = scan(GRIDS["isotropic"])
    array = sitk.GetArrayFromImage(image)
    brain = array > 0
    array[brain] = (array[brain] - array[brain].mean()) / array[brain].std()
    prepared = prepare(Study({Modality.T1: GRIDS["isotropic"].to_image(array)}, {Modality.T1: "z"}))
    np.testing.assert_array_equal(ndimage.binary_fill_holes(prepared.brain), prepared.brain)
    assert prepared.brain.sum() == pytest.approx(brain.sum(), rel=2e-3)


def test_small_negative_interpolation_values_do_not_widen_the_brain() -> None:
    image, _ = scan(GRIDS["isotropic"])
    array = sitk.GetArrayFromImage(image)
    brain = array > 0
    air = np.flatnonzero(~brain.ravel())
    array.ravel()[air[::7]] = -4.0
    prepared = prepare(Study({Modality.T1: GRIDS["isotropic"].to_image(array)}, {Modality.T1: "ringing"}))
    assert prepared.brain.sum() == brain.sum()
    assert not prepared.warnings


def test_an_unstripped_head_is_used_with_a_warning() -> None:
    image, _ = scan(GRIDS["isotropic"])
    noise = np.abs(np.random.default_rng(1).normal(0, 8, image.GetSize()[::-1]))
    noisy = GRIDS["isotropic"].to_image((sitk.GetArrayFromImage(image) + noise).astype(np.float32))
    prepared = prepare(Study({Modality.T1: noisy}, {Modality.T1: "raw_t1"}))
    assert len(prepared.warnings) == 1
    assert "raw_t1" in prepared.warnings[0] and "skull" in prepared.warnings[0]
    true = np.prod(RADII) * 4 / 3 * np.pi
    assert prepared.brain.sum() == pytest.approx(true, rel=0.05)


@pytest.mark.parametrize("shift", [900.0, 60.0])
def test_volumes_apart_are_refused_by_name(shift: float) -> None:
    with pytest.raises(ImageError, match=r"b\.nii does not overlap with a\.nii"):
        prepare(shifted_study(shift))


def test_volumes_that_hardly_meet_are_used_with_a_warning() -> None:
    (warning,) = prepare(shifted_study(20.0)).warnings
    assert "b.nii" in warning and "a.nii" in warning and "Register" in warning
    assert not prepare(shifted_study(2.0)).warnings


def shifted_study(shift: float) -> Study:
    image, _ = scan(GRIDS["isotropic"])
    moved, _ = scan(GRIDS["isotropic"], seed=1)
    moved.SetOrigin([value + (shift if axis == 0 else 0) for axis, value in enumerate(image.GetOrigin())])
    return Study({Modality.T1: image, Modality.T2: moved}, {Modality.T1: "a.nii", Modality.T2: "b.nii"})


def test_a_slab_inside_the_head_overlaps_well() -> None:
    slab = grid_around((100, 120, 12), (1.0, 1.0, 3.0), np.eye(3))
    images = {Modality.T1: scan(GRIDS["isotropic"])[0], Modality.T2: scan(slab)[0]}
    prepared = prepare(Study(images, {m: m.title for m in images}))
    assert not prepared.warnings
    slices = {modality: prepared.image[modality].any(axis=(1, 2)) for modality in images}
    assert slices[Modality.T1].all() and slices[Modality.T2].sum() == pytest.approx(12 * 3, abs=2)


def test_brain_beyond_the_volume_on_which_the_result_lies_is_told() -> None:
    slab = grid_around((100, 120, 12), (1.0, 1.0, 3.0), np.eye(3))
    images = {Modality.T2: scan(slab)[0], Modality.T1: scan(GRIDS["isotropic"])[0]}
    (warning,) = prepare(Study(images, {m: f"{m.title}.nii" for m in images})).warnings
    assert "T2.nii, on which the result lies, shows" in warning and "% of the brain in T1.nii" in warning


def test_a_head_with_skull_on_black_air_is_used_with_a_warning() -> None:
    grid = grid_around((190, 220, 190), (1.0, 1.0, 1.0), np.eye(3))
    points = positions(grid)
    head = (((points - CENTER) / (RADII * 2)) ** 2).sum(-1) < 1
    noise = np.random.default_rng(0).normal(500, 50, head.shape)
    image = grid.to_image(np.where(head, noise, 0).astype(np.float32))
    (warning,) = prepare(Study({Modality.T2: image}, {Modality.T2: "whole_head"})).warnings
    assert "whole_head" in warning and "skull" in warning


@pytest.mark.parametrize("factor", [0.001, 100.0])
def test_a_spacing_that_is_not_in_millimeters_is_refused(factor: float) -> None:
    image, _ = scan(GRIDS["isotropic"])
    image.SetSpacing([step * factor for step in image.GetSpacing()])
    with pytest.raises(ImageError, match=r"meters\.nii measures .* spacing"):
        prepare(Study({Modality.T1: image}, {Modality.T1: "meters.nii"}))


def test_no_volume_at_all_is_refused() -> None:
    with pytest.raises(ImageError, match="at least one"):
        prepare(Study({}, {}))


def test_keeping_a_subset_equals_never_having_had_the_rest() -> None:
    images = {m: scan(GRIDS["isotropic"], seed=m)[0] for m in Modality}
    whole = prepare(Study(images, {m: m.title for m in Modality}))
    kept = with_modalities(whole, [Modality.T1])
    alone = prepare(Study({Modality.T1: images[Modality.T1]}, {Modality.T1: "T1"}))
    np.testing.assert_array_equal(kept.image, alone.image)
    assert kept.subset == (Modality.T1,)


def test_float_noise_in_a_header_does_not_cause_resampling() -> None:
    image, _ = scan(GRIDS["isotropic"])
    noisy = sitk.Image(image)
    noisy.SetOrigin([value + 2e-5 for value in image.GetOrigin()])
    assert common_grid(image).resample(noisy, sitk.sitkLinear, 0) is noisy


def test_real_cases_return_voxel_for_voxel(shared) -> None:
    for case in find_cases(shared / "data" / "cases" / "test").cases[:2]:
        label = read_label(case)
        prepared = prepare(read_study(case), label)
        back = sitk.GetArrayFromImage(to_reference_grid(prepared.label, prepared))
        np.testing.assert_array_equal(back, sitk.GetArrayFromImage(label))
        assert 1.0e6 < prepared.brain.sum() < 1.9e6


def test_a_raw_clinical_study_on_four_grids_is_prepared(shared) -> None:
    (case,) = find_cases(shared / "data" / "cases" / "other").cases
    prepared = prepare(read_study(case))
    assert subset_name(prepared.subset) == "FLAIR+T1ce+T1+T2"
    assert np.isfinite(prepared.image).all()
    assert any("skull" in warning for warning in prepared.warnings)
