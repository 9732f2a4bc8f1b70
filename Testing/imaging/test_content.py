"""A volume is known by its voxels, however it is stored, and a file by its bytes, whenever it was written."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from MissingModalityLib.core.modalities import Modality
from MissingModalityLib.datasets.case import ImageFile
from MissingModalityLib.datasets.discovery import find_cases
from MissingModalityLib.datasets.patients import of_voxels, same_volumes
from MissingModalityLib.imaging import content
from MissingModalityLib.imaging.cache import cache_case
from MissingModalityLib.imaging.content import identity, voxels_sha256
from MissingModalityLib.imaging.file_facts import file_facts, files_facts
from MissingModalityLib.imaging.volumes import read_image
from small_cases import write_block_case
from small_patient import brain_volume

WHOLE = sitk.Cast(brain_volume(3), sitk.sitkInt16)


@pytest.mark.parametrize("volume", [WHOLE, brain_volume(3)], ids=["whole numbers", "fractions"])
@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.mha", "a.mhd", "a.nrrd", "a.nhdr"])
def test_the_kind_of_file_does_not_count(volume: sitk.Image, name: str, tmp_path: Path) -> None:
    sitk.WriteImage(volume, str(tmp_path / name), useCompression=name == "a.nrrd")
    assert voxels_sha256(read_image(tmp_path / name)) == voxels_sha256(volume)


@pytest.mark.parametrize("kind", [sitk.sitkUInt16, sitk.sitkInt32, sitk.sitkFloat32, sitk.sitkFloat64])
def test_the_kind_of_number_does_not_count(kind: int) -> None:
    assert voxels_sha256(sitk.Cast(WHOLE, kind)) == voxels_sha256(WHOLE)
    large = sitk.Cast(WHOLE, sitk.sitkInt32) + 40_000  # beyond 16 bits with a sign
    assert voxels_sha256(sitk.Cast(large, kind)) == voxels_sha256(sitk.Cast(large, sitk.sitkFloat64))


@pytest.mark.parametrize("orientation", ["RAS", "PIR", "ASL"])
def test_the_order_of_the_axes_does_not_count(orientation: str) -> None:
    assert voxels_sha256(sitk.DICOMOrient(WHOLE, orientation)) == voxels_sha256(WHOLE)


def test_zeros_around_a_volume_count_for_labels_alone() -> None:
    padded = sitk.ConstantPad(WHOLE, (2, 3, 4), (1, 0, 5), 0)
    assert voxels_sha256(padded) == voxels_sha256(WHOLE)
    assert voxels_sha256(padded, placed=True) != voxels_sha256(WHOLE, placed=True)


@pytest.mark.parametrize(
    "change",
    [
        lambda array: np.roll(array, 1, 0)[::-1],
        lambda array: array[:, :, ::-1],
        lambda array: np.where(np.arange(array.size).reshape(array.shape) == array.size // 2, 1, array),
        lambda array: array * 2,
        lambda array: array + np.float32(0.25) * (array > 0),
    ],
    ids=["turned", "mirrored", "one voxel", "scaled", "fractions"],
)
def test_other_voxels_are_another_volume(change) -> None:
    array = sitk.GetArrayFromImage(WHOLE)
    array[3] += 1  # so that no half is the mirror image of the other
    assert voxels_sha256(sitk.GetImageFromArray(change(array))) != voxels_sha256(
        sitk.GetImageFromArray(array)
    )


def test_an_empty_volume_has_a_hash_too() -> None:
    assert len(voxels_sha256(WHOLE * 0)) == 64


@pytest.mark.parametrize(
    "change",
    [
        lambda image: image * 3,
        lambda image: sitk.Cast(image, sitk.sitkFloat32) / 1024 - 7,
        lambda image: sitk.Round(sitk.Cast(image, sitk.sitkFloat64) * 17.3),
        lambda image: sitk.Flip(image * 2, (True, False, False)),
        lambda image: sitk.DICOMOrient(image, "PIR") * 5,
    ],
    ids=["times 3", "other scale and air", "rounded", "mirrored", "other axes"],
)
def test_one_patient_in_two_scales_is_one_patient(change) -> None:
    contents = {
        "a": identity({Modality.T1: WHOLE}),
        "b": identity({Modality.T2: change(WHOLE)}),
        "c": identity({Modality.T1: sitk.Cast(brain_volume(4), sitk.sitkInt16)}),
    }
    assert same_volumes(contents) == [("a", "b")]
    assert of_voxels(contents["a"]) == {"T1": voxels_sha256(WHOLE)}


def test_moments_on_two_sides_of_a_border_are_those_of_one_patient(monkeypatch: pytest.MonkeyPatch) -> None:
    contents = {}
    for name, share in (("a", 1 - 1e-6), ("b", 1 + 1e-6)):
        found = tuple(np.sinh(content._STEP * np.array([1000, 2000, 3000]) * share))
        monkeypatch.setattr(content, "moments_of", lambda values, found=found: found)
        contents[name] = identity({Modality.T1: brain_volume(ord(name))})
    hashes = [{key: of for key, of in contents[name].items() if "intensities" in key} for name in contents]
    assert hashes[0]["T1 intensities 1"] != hashes[1]["T1 intensities 1"]
    assert same_volumes(contents) == [("a", "b")]


def test_a_volume_of_one_value_or_of_few_voxels_tells_no_patient() -> None:
    assert set(identity({Modality.T1: sitk.Cast(WHOLE > 0, sitk.sitkInt16)})) == {"T1"}
    assert set(identity({Modality.T1: WHOLE[10:16, 10:16, 10:16]}, WHOLE)) == {"T1", "label"}


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.mha", "a.nrrd", "a.mhd", "a.nhdr"])
def test_a_file_is_another_one_when_its_voxels_are_whatever_its_time_and_size(
    name: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    sitk.WriteImage(WHOLE, str(path))
    before, stamp = file_facts(path), path.stat()
    sitk.WriteImage(WHOLE, str(path))
    os.utime(path, (1, 1))
    assert file_facts(path) == before
    sitk.WriteImage(WHOLE + 1, str(path))
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert file_facts(path)["sha256"] != before["sha256"]


def test_a_file_of_several_sequences_is_one_file(tmp_path: Path) -> None:
    path = tmp_path / "a.nii"
    sitk.WriteImage(WHOLE, str(path))
    facts = files_facts({Modality.T1: ImageFile(path, 0), Modality.T2: ImageFile(path, 1)})
    assert facts == {"T1": file_facts(path), "T2": file_facts(path)}


def test_a_prepared_case_knows_its_voxels_and_is_kept_where_the_files_only_moved(tmp_path: Path) -> None:
    write_block_case(tmp_path / "data" / "patient")
    cached = cache_case(find_cases(tmp_path / "data").cases[0], tmp_path / "prepared")
    assert list(of_voxels(cached.content)) == ["FLAIR", "T1CE", "label"]
    stamp = cached.path.stat().st_mtime_ns
    shutil.move(tmp_path / "data", tmp_path / "moved")
    case = find_cases(tmp_path / "moved").cases[0]
    os.utime(case.label, (5, 5))
    again = cache_case(case, tmp_path / "prepared")
    assert again.path.stat().st_mtime_ns == stamp and again.content == cached.content


@pytest.mark.parametrize("file", ["flair", "t1ce", "seg"])
def test_a_file_replaced_by_one_of_the_same_size_and_time_is_prepared_anew(file: str, tmp_path: Path) -> None:
    write_block_case(tmp_path / "data" / "patient")
    case = find_cases(tmp_path / "data").cases[0]
    path = tmp_path / "data" / "patient" / f"{file}.nii.gz"
    before, stamp = cache_case(case, tmp_path / "prepared").content, path.stat()
    image = sitk.ReadImage(str(path))
    array = sitk.GetArrayFromImage(image)
    moved = sitk.GetImageFromArray(np.roll(array, 1, 2) if file == "seg" else array[:, ::-1])
    moved.CopyInformation(image)
    sitk.WriteImage(moved, str(path))
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    after = cache_case(case, tmp_path / "prepared").content
    key = "label" if file == "seg" else file.upper()
    assert [name for name in before if before[name] != after[name]] == [key]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes")
@pytest.mark.parametrize("kind", ["pipe", "link to a device", "folder", "absent"])
def test_what_is_no_file_is_not_waited_for(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "x_flair.nii"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "link to a device":
        path.symlink_to("/dev/zero")
    elif kind == "folder":
        path.mkdir()
    with pytest.raises(OSError, match=r"x_flair\.nii"):
        file_facts(path)
