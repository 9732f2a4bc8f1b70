"""Volumes that no patient's head can be, values that no scanner gives, and one volume given twice."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from MissingModalityLib.core.errors import ImageError
from MissingModalityLib.core.modalities import Modality
from MissingModalityLib.core.words import counted
from MissingModalityLib.datasets.case import ImageFile
from MissingModalityLib.imaging import plausibility
from MissingModalityLib.imaging.plausibility import check_head
from MissingModalityLib.imaging.preparation import prepare
from MissingModalityLib.imaging.prepared import Prepared
from MissingModalityLib.imaging.reading import Study, read_volumes
from MissingModalityLib.imaging.volumes import read_image, write_image
from small_patient import brain_volume
from volume_headers import head, write_nifti


@pytest.fixture(autouse=True)
def sizes_of_people(true_head_sizes: dict[str, float], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, size in true_head_sizes.items():
        monkeypatch.setattr(plausibility, name, size)


SIZE = (40, 44, 36)
SUFFIXES = (".nii", ".nii.gz", ".mha", ".nrrd")


def brain(spacing: float = 4.0, size: tuple[int, int, int] = SIZE, seed: int = 0) -> sitk.Image:
    """Of 4 mm: 1.2 liters."""
    return brain_volume(seed, size, (spacing, spacing, spacing))


def prepared(*images: sitk.Image) -> Prepared:
    modalities = dict(zip(Modality, images, strict=False))
    return prepare(Study(modalities, {modality: f"{modality.title}.nii" for modality in modalities}))


def changed(image: sitk.Image, array: np.ndarray) -> sitk.Image:
    result = sitk.GetImageFromArray(array)
    result.CopyInformation(image)
    return result


def test_brain_of_a_size_that_people_have_passes_without_a_word() -> None:
    for spacing in (3.0, 4.0):  # a newborn and an adult
        assert not prepared(brain(spacing)).warnings


@pytest.mark.parametrize("factor", [0.1, 0.2, 1 / 4.5])
def test_brain_stated_far_too_small_is_refused(factor: float) -> None:
    size = (120, 132, 108)  # so that no side is shorter than that of a slab
    with pytest.raises(ImageError, match="No brain is so small: the voxel spacing is wrong"):
        prepared(brain(4 / 3 * factor, size))


@pytest.mark.parametrize("factor", [0.3, 0.4, 0.5])
def test_brain_stated_somewhat_too_small_is_told(factor: float) -> None:
    (warning,) = prepared(brain(4 * factor)).warnings
    assert "less than a brain" in warning and "spacing" in warning


def test_brain_too_flat_for_one_is_told_unless_it_is_cut() -> None:
    squeezed = brain(4.0)
    squeezed.SetSpacing((4.0, 4.0, 1.5))
    (warning,) = prepared(squeezed).warnings
    assert "no head or brain is so flat" in warning and "voxels of 4 x 4 x 1.5 mm" in warning
    slab = sitk.GetImageFromArray(sitk.GetArrayFromImage(brain(4.0))[13:20])
    slab.SetSpacing((4.0, 4.0, 4.0))
    assert not check_head(sitk.GetArrayFromImage(slab) > 0, slab.GetSpacing(), "slab")


@pytest.mark.parametrize("factor", [2.1, 2.5, 3.0])
def test_brain_stated_too_large_is_refused_for_its_spacing(factor: float) -> None:
    with pytest.raises(ImageError, match=r"liters.*voxel spacing|measures .* mm"):
        prepared(brain(4 * factor))


def test_slab_through_a_brain_passes_without_a_word() -> None:
    array = sitk.GetArrayFromImage(brain(2.0))[14:24]
    slab = sitk.GetImageFromArray(array)
    slab.SetSpacing((2.0, 2.0, 2.0))
    assert not prepared(slab).warnings


@pytest.mark.parametrize(
    ("size", "spacing", "words"),
    [
        ((8, 8, 8), (120, 120, 120), "measures"),
        ((20, 20, 20), (16, 4, 4), "above 15 mm"),
        ((40, 40, 40), (15.0, 14.9, 14.9), "liters"),
        ((101, 20, 20), (6, 6, 6), "measures"),
        ((8, 20, 20), (1, 4, 4), "measures"),
    ],
)
def test_extent_of_no_head_is_refused_before_anything_is_resampled(
    size: tuple[int, int, int], spacing: tuple[float, float, float], words: str
) -> None:
    with pytest.raises(ImageError, match=words):
        prepared(brain_volume(0, size, spacing))


def test_sheared_axes_in_memory_are_refused_or_told_as_those_in_files() -> None:
    image = brain()
    image.SetDirection((1, 0.3, 0, 0, 0.954, 0, 0, 0, 1))
    with pytest.raises(ImageError, match="right angles"):
        prepared(image)
    image.SetDirection((1.1, 0, 0, 0, 1, 0, 0, 0, 1))
    with pytest.raises(ImageError, match="length 1"):
        prepared(image)
    image.SetDirection((1, 0.01, 0, 0, 0.99995, 0, 0, 0, 1))
    (warning,) = prepared(image).warnings
    assert "right angle" in warning


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_values_that_are_not_finite_are_counted_in_files_of_every_format(
    tmp_path: Path, kind: type, value: float, suffix: str
) -> None:
    array = sitk.GetArrayFromImage(brain()).astype(kind)
    array[10, 20, 5:9] = value
    array[30, 3, 4] = value
    path = tmp_path / f"x{suffix}"
    sitk.WriteImage(changed(brain(), array), str(path))
    with pytest.raises(ImageError, match="holds 5 voxels of NaN or infinity"):
        prepare(read_volumes({Modality.FLAIR: ImageFile(path)}))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_values_are_counted_in_either_byte_order_and_not_in_what_follows(
    tmp_path: Path, order: str, suffix: str
) -> None:
    array = head().astype(np.float32)
    path = write_nifti(tmp_path / "x.nii", order=order, array=array)
    content = path.read_bytes() + np.full(9, np.nan, f"{order}f4").tobytes()
    path = tmp_path / f"y{suffix}"
    path.write_bytes(gzip.compress(content) if suffix == ".nii.gz" else content)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(read_image(path)).T, array)
    array[3, 4, 5] = np.inf
    content = write_nifti(tmp_path / "x.nii", order=order, array=array).read_bytes()
    path.write_bytes(gzip.compress(content) if suffix == ".nii.gz" else content)
    with pytest.raises(ImageError, match="holds 1 voxel of"):
        read_image(path)


@pytest.mark.parametrize("value", [1e300, -1e300, 1e19])
def test_range_beyond_any_scanner_is_named_as_the_reason(value: float) -> None:
    array = sitk.GetArrayFromImage(brain()).astype(np.float64)
    array[20, 20, 20] = value
    with pytest.raises(ImageError, match="beyond any scanner"):
        prepared(changed(brain(), array))


@pytest.mark.parametrize("factor", [1e-300, 1e-40, 1e-34])
def test_range_too_small_for_float32_is_named_as_the_reason(factor: float) -> None:
    array = sitk.GetArrayFromImage(brain()).astype(np.float64) * factor
    with pytest.raises(ImageError, match="beyond any scanner"):
        prepared(changed(brain(), array))


@pytest.mark.parametrize("value", [1e9, -1e9, 3e5, 1e17])
@pytest.mark.parametrize("count", [1, 3])
def test_few_hot_voxels_neither_move_the_others_nor_pass_without_a_word(value: float, count: int) -> None:
    sound = prepared(brain())
    array = sitk.GetArrayFromImage(brain()).astype(np.float64)
    array[18, 20, 15 : 15 + count] = value
    found = prepared(changed(brain(), array))
    (warning,) = found.warnings
    assert counted(count, "voxel") in warning and f"{value:.4g}" in warning and "FLAIR.nii" in warning
    other = np.abs(found.image - sound.image)[Modality.FLAIR][found.brain]
    assert np.median(other) < 0.1
    assert (other > 0.3).sum() < 0.01 * other.size


def test_air_stays_as_far_from_a_brain_of_one_brightness_as_it_is_where_a_voxel_is_hot() -> None:
    array = sitk.GetArrayFromImage(brain())
    array[array > 0] = array[array > 0] / 100 + 495
    sound = prepared(changed(brain(), array))
    array[18, 20, 15] = 1e7
    found = prepared(changed(brain(), array))
    other = np.abs(found.image - sound.image)[Modality.FLAIR][found.brain]
    assert np.percentile(other, 99) < 0.05


def test_hot_voxel_in_the_air_and_in_a_volume_with_noisy_air() -> None:
    array = sitk.GetArrayFromImage(brain())
    array[1, 1, 1] = 1e8
    assert "1e+08" in prepared(changed(brain(), array)).warnings[0]
    noisy = array + np.abs(np.random.default_rng(1).normal(0, 8, array.shape)).astype(np.float32)
    found = prepared(changed(brain(), noisy))
    assert any("1e+08" in text for text in found.warnings) and any("skull" in text for text in found.warnings)
    assert found.brain.sum() == pytest.approx(prepared(brain()).brain.sum(), rel=0.05)


def test_bright_vessels_and_lesions_stay_as_they_are() -> None:
    array = sitk.GetArrayFromImage(brain())
    array[10:26, 20, 20] = 1500
    array[12:20, 12:20, 12:20] += 400
    found = prepared(changed(brain(), array))
    assert not found.warnings and found.image.max() > 5


def same(image: sitk.Image) -> dict[str, sitk.Image]:
    array = sitk.GetArrayFromImage(image)
    cropped = image[2:, 1:, 3:]
    return {
        "itself": image,
        "whole numbers": changed(image, np.round(array).astype(np.int16)),
        "times 2": changed(image, 2 * array),
        "scaled and shifted": changed(image, np.where(array > 0, 0.37 * array - 20, -50).astype(np.float32)),
        "dark for bright": changed(image, np.where(array > 0, 2000 - array, 0).astype(np.float32)),
        "cropped": cropped,
        "flipped in memory": sitk.DICOMOrient(image, "RAS"),
        "256 levels": changed(image, np.round(array / array.max() * 255).astype(np.uint8)),
    }


@pytest.mark.parametrize("how", same(brain()))
def test_one_volume_as_two_sequences_is_refused_by_both_names(how: str) -> None:
    with pytest.raises(ImageError, match=r"T1ce\.nii and T1\.nii hold the same volume"):
        prepared(brain(seed=1), brain(seed=2), same(brain(seed=2))[how])


@pytest.mark.parametrize(("first", "second"), [(".nii", ".nii.gz"), (".nii.gz", ".mha"), (".nrrd", ".nii")])
def test_one_volume_saved_twice_is_refused_whatever_the_format(
    tmp_path: Path, first: str, second: str
) -> None:
    write_image(sitk.Cast(brain(), sitk.sitkInt16), tmp_path / f"a{first}")
    write_image(brain(), tmp_path / f"b{second}")
    files = {
        Modality.T1: ImageFile(tmp_path / f"a{first}"),
        Modality.T1CE: ImageFile(tmp_path / f"b{second}"),
    }
    with pytest.raises(ImageError, match="hold the same volume, given as T1 and as T1ce"):
        prepare(read_volumes(files))


def test_two_sequences_of_one_patient_may_be_much_alike() -> None:
    array = sitk.GetArrayFromImage(brain())
    enhanced = array.copy()
    enhanced[16:20, 18:22, 16:20] += 150
    enhanced[array > 0] += np.random.default_rng(5).normal(0, 3, int((array > 0).sum()))
    assert not prepared(brain(), changed(brain(), enhanced)).warnings


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("scale", [1, 1 / 255, 0.5])
def test_mask_is_no_volume_in_any_format_whatever_its_scale(
    tmp_path: Path, suffix: str, scale: float
) -> None:
    mask = (sitk.GetArrayFromImage(brain()) > 0).astype(np.float32) * scale
    write_image(changed(brain(), mask), tmp_path / f"x{suffix}")
    with pytest.raises(ImageError, match="label map or mask"):
        prepare(read_volumes({Modality.T2: ImageFile(tmp_path / f"x{suffix}")}))


@pytest.mark.parametrize("count", [12, 40, 200])
@pytest.mark.parametrize("kind", [np.int16, np.float32])
def test_map_of_many_structures_is_no_volume(count: int, kind: type) -> None:
    z, y, x = np.indices(SIZE[::-1]) // 7
    structures = (z * 36 + y * 6 + x) % count + 1
    inside = sitk.GetArrayFromImage(brain()) > 0
    with pytest.raises(ImageError, match="label map"):
        prepared(changed(brain(), np.where(inside, structures, 0).astype(kind)))


def test_volume_of_few_gray_levels_and_one_of_repeated_voxels_pass() -> None:
    array = sitk.GetArrayFromImage(brain())
    assert not prepared(changed(brain(), np.round(array / array.max() * 30).astype(np.uint8))).warnings
    fine = array.repeat(2, 0).repeat(2, 1).repeat(2, 2)
    image = sitk.GetImageFromArray(fine)
    image.SetSpacing((2.0, 2.0, 2.0))
    assert not prepared(image).warnings


@pytest.mark.parametrize("components", [1, 3])
def test_vectors_and_complex_numbers_in_memory_are_no_volumes(components: int) -> None:
    array = np.repeat(sitk.GetArrayFromImage(brain())[..., None], components, axis=-1)
    with pytest.raises(ImageError, match="one gray value per voxel"):
        prepared(sitk.GetImageFromArray(array, isVector=True))
    with pytest.raises(ImageError, match="one gray value per voxel"):
        prepared(sitk.GetImageFromArray(array[..., 0].astype(np.complex64)))
