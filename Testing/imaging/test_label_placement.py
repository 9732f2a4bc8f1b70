"""Labels that lie elsewhere than their volumes or on air are refused or told, by every command alike."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from MissingModalityLib.core.errors import LabelError
from MissingModalityLib.core.labels import RESECTION_CAVITY
from MissingModalityLib.core.modalities import Modality
from MissingModalityLib.datasets.discovery import find_cases
from MissingModalityLib.imaging.cache import cache_case
from MissingModalityLib.imaging.preparation import prepare
from MissingModalityLib.imaging.reading import Study
from small_patient import brain_volume

SUFFIXES = [".nii.gz", ".mha", ".nrrd"]
SIZE, SPACING = (26, 24, 22), (2.0, 2.0, 2.0)
FLIPPED = (-1, 0, 0, 0, -1, 0, 0, 0, 1)


def tumor(size: tuple[int, int, int] = SIZE) -> np.ndarray:
    """A block of edema with a core in the middle."""
    array = np.zeros(size[::-1], np.uint8)
    z, y, x = (side // 2 for side in array.shape)
    array[z - 3 : z + 3, y - 3 : y + 3, x - 3 : x + 3] = 2
    array[z - 1 : z + 1, y - 1 : y + 1, x - 1 : x + 1] = 4
    return array


def save_label(folder: Path, array: np.ndarray, suffix: str, **header: tuple[float, ...]) -> Path:
    """A label beside the volume of a case, with the header of the volume but for what is given."""
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(header.get("spacing", SPACING))
    image.SetOrigin(header.get("origin", (0.0, 0.0, 0.0)))
    image.SetDirection(header.get("direction", (1, 0, 0, 0, 1, 0, 0, 0, 1)))
    path = folder / f"p_seg{suffix}"
    sitk.WriteImage(image, str(path))
    return path


def case_folder(folder: Path, suffix: str = ".nii.gz", **geometry: tuple[float, ...]) -> Path:
    folder = folder / "data" / "p"
    folder.mkdir(parents=True)
    sitk.WriteImage(brain_volume(size=SIZE, spacing=SPACING, **geometry), str(folder / f"p_flair{suffix}"))
    return folder


def prepared(folder: Path) -> tuple[str, ...]:
    """Warnings of the case, as every command that needs its label reads it."""
    (case,) = find_cases(folder).cases
    return cache_case(case, folder / "cache").warnings


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(
    "header",
    [
        {"origin": (-900.0, 0.0, 0.0)},
        {"origin": (0.0, 46.0, 0.0)},  # the height of the volume, as in BraTS 2017
        {"spacing": (1.0, 1.0, 1.0)},  # an affine of ones: inside the volume, but smaller
        {"direction": FLIPPED},
        {"spacing": (2.0, 2.0, 4.0)},
        {"origin": (12.0, 0.0, 0.0)},
    ],
)
def test_a_label_of_another_header_is_refused_with_what_to_do(
    tmp_path: Path, suffix: str, header: dict[str, tuple[float, ...]]
) -> None:
    folder = case_folder(tmp_path, suffix)
    path = save_label(folder, tumor(), suffix, **header)
    with pytest.raises(LabelError) as caught:
        prepared(tmp_path)
    text = str(caught.value)
    assert path.name in text and "26x24x22 voxels and only the headers differ" in text
    assert "CopyInformation" in text and not list((tmp_path / "cache").glob("*"))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_label_of_other_size_that_lies_elsewhere_is_refused(tmp_path: Path, suffix: str) -> None:
    folder = case_folder(tmp_path, suffix)
    save_label(folder, tumor((30, 24, 22)), suffix, origin=(0.0, 0.0, 25.0))
    with pytest.raises(LabelError, match=r"p_seg\S+ lies elsewhere.* 33\.3 % .*30x24x22 voxels of 2, 2, 2"):
        prepared(tmp_path)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_share_inside_decides_between_a_warning_and_an_error(tmp_path: Path, suffix: str) -> None:
    folder = case_folder(tmp_path, suffix)
    for inside, outcome in ((24, "warning"), (5, "error")):
        array = np.zeros((24, 24, 60), np.uint8)  # twice as long as the volume along x
        array[9:13, 9:13, 2 : 2 + inside] = 2
        array[9:13, 9:13, 27] = 2  # one plane outside
        save_label(folder, array, suffix)
        if outcome == "error":
            with pytest.raises(LabelError, match=r"83\.3 %"):
                prepared(tmp_path)
        else:
            assert "only 96 %" in prepared(tmp_path)[0]
            (cached,) = (folder.parent.parent / "cache").glob("*p.safetensors")
            cached.unlink()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_label_on_air_is_told(tmp_path: Path, suffix: str) -> None:
    folder = case_folder(tmp_path, suffix)
    array = np.zeros(SIZE[::-1], np.uint8)
    array[0:4, 0:4, 0:4] = 2
    save_label(folder, array, suffix)
    (warning,) = prepared(tmp_path)
    assert f"p_seg{suffix}" in warning and "100 % of its tumor lies on background" in warning


@pytest.mark.parametrize(("in_air", "told"), [(5, False), (20, True)])
def test_a_tenth_of_the_tumor_may_reach_beyond_the_brain(in_air: int, told: bool) -> None:
    volume = brain_volume(size=SIZE, spacing=(1.0, 1.0, 1.0))
    array = np.zeros(SIZE[::-1], np.uint8)
    array[8:12, 10:15, 10:15] = 2
    array[0, 0, :in_air] = 2
    study = Study({Modality.T1: volume}, {Modality.T1: "t1"})
    warnings = prepare(study, sitk.GetImageFromArray(array), "the label").warnings
    assert bool(warnings) is told and all("the label" in warning for warning in warnings)
    array[0, 0, :in_air] = RESECTION_CAVITY  # as dark as air, and no tumor
    assert not prepare(study, sitk.GetImageFromArray(array), "the label").warnings


def test_a_brain_mask_in_place_of_a_label_is_told() -> None:
    volume = brain_volume(size=SIZE, spacing=(1.0, 1.0, 1.0))
    label = sitk.GetImageFromArray((sitk.GetArrayFromImage(volume) > 0).astype(np.uint8))
    warnings = prepare(Study({Modality.T1: volume}, {Modality.T1: "t1"}), label, "mask").warnings
    assert any("mask: 100% of the brain is labeled" in warning for warning in warnings)


@pytest.mark.parametrize(("suffix", "shift"), [*((suffix, 4.0) for suffix in SUFFIXES), (".nii.gz", 1.0)])
def test_a_label_half_a_voxel_or_a_few_millimeters_off_is_told(
    tmp_path: Path, suffix: str, shift: float
) -> None:
    save_label(case_folder(tmp_path, suffix), tumor(), suffix, origin=(0.0, shift, 0.0))
    (warning,) = prepared(tmp_path)
    assert f"{shift} mm away" in warning and "CopyInformation" in warning


def test_a_mask_of_the_whole_tumor_in_place_of_a_label_is_told(tmp_path: Path) -> None:
    save_label(case_folder(tmp_path), (tumor() > 0).astype(np.uint8), ".nii.gz")
    (warning,) = prepared(tmp_path)
    assert "numbered as necrotic core, and no edema" in warning


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("orientation", ["RAS", "LAI", "PIR"])
def test_a_label_stored_along_other_axes_of_the_same_space_is_as_good(
    tmp_path: Path, suffix: str, orientation: str
) -> None:
    folder = case_folder(tmp_path, suffix)
    label = sitk.GetImageFromArray(tumor())
    label.SetSpacing(SPACING)
    sitk.WriteImage(sitk.DICOMOrient(label, orientation), str(folder / f"p_seg{suffix}"))
    assert prepared(tmp_path) == ()


def test_a_label_on_another_grid_of_the_same_space_is_told_and_used(tmp_path: Path) -> None:
    folder = case_folder(tmp_path)
    save_label(folder, tumor((13, 12, 11)), ".nii.gz", spacing=(4.0, 4.0, 4.0), origin=(1.0, 1.0, 1.0))
    (warning,) = prepared(tmp_path)
    assert "another grid (13x12x11 voxels of 4, 4, 4 mm)" in warning


def test_a_label_on_the_grid_of_any_volume_of_the_case_is_where_it_belongs(tmp_path: Path) -> None:
    folder = case_folder(tmp_path)
    moved = brain_volume(1, size=SIZE, spacing=SPACING, origin=(3.0, -2.0, 11.0))
    sitk.WriteImage(moved, str(folder / "p_t1.nii.gz"))
    save_label(folder, tumor(), ".nii.gz", origin=(3.0, -2.0, 11.0))
    assert not any("p_seg" in warning for warning in prepared(tmp_path))


def test_an_empty_label_is_background_wherever_it_lies(tmp_path: Path) -> None:
    save_label(case_folder(tmp_path), np.zeros(SIZE[::-1], np.uint8), ".nii.gz", origin=(900.0, 0.0, 0.0))
    assert prepared(tmp_path) == ()
