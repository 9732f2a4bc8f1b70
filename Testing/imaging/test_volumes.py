"""Volumes on disk: what can be read, and one clear message for everything that cannot."""

from __future__ import annotations

import gzip
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from MissingModalityLib.core.errors import ImageError
from MissingModalityLib.imaging.volumes import check_volume, read_channel, read_image, write_image
from volume_files import SHAPE, nifti, noise, refusal, volume


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    path = tmp_path / "flair.nii.gz"
    write_image(volume(), path)
    return path


@pytest.mark.parametrize("suffix", [".nii.gz", ".nii", ".mha", ".nrrd", ".NII.GZ"])
def test_written_volume_comes_back_equal_with_its_geometry(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"x{suffix}"
    write_image(volume(), path)
    image = read_image(path)
    assert np.array_equal(sitk.GetArrayFromImage(image), noise())
    np.testing.assert_allclose(image.GetSpacing(), (0.9, 1.1, 5.5), rtol=1e-6)
    np.testing.assert_allclose(image.GetOrigin(), (10, -20, 30), rtol=1e-6)
    np.testing.assert_allclose(image.GetDirection(), volume().GetDirection(), atol=1e-6)
    assert os.listdir(tmp_path) == [path.name]


def test_uncompressed_bytes_under_a_compressed_name_are_read(tmp_path: Path, whole: Path) -> None:
    path = tmp_path / "plain.nii.gz"
    path.write_bytes(gzip.decompress(whole.read_bytes()))
    assert np.array_equal(sitk.GetArrayFromImage(read_image(path)), noise())


def test_volume_with_one_time_point_counts_as_three_dimensional(tmp_path: Path) -> None:
    path = nifti(tmp_path / "x.nii.gz", np.eye(4), (*SHAPE[::-1], 1))
    assert read_image(path).GetSize() == SHAPE[::-1]


def test_absent_file_is_named_with_what_the_folder_holds(whole: Path) -> None:
    message = refusal(whole.with_name("flair.nii"))
    assert "does not exist" in message and "flair.nii.gz" in message


def test_absent_folder_is_named(tmp_path: Path) -> None:
    assert f"{tmp_path / 'no'} does not exist either" in refusal(tmp_path / "no" / "x.nii.gz")


@pytest.mark.parametrize("keep", [0.5, 0.99])
@pytest.mark.parametrize("suffix", [".nii.gz", ".nii", ".mha", ".nrrd"])
def test_truncated_file_is_refused(
    tmp_path: Path, suffix: str, keep: float, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / f"x{suffix}"
    write_image(volume(), path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])
    refusal(path)
    assert capfd.readouterr() == ("", ""), "nothing but the error reaches the terminal"


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("suffix", [".mha", ".mhd"])
@pytest.mark.parametrize("keep", [0.0, 0.5, 0.99])
def test_truncated_metaimage_is_told_in_one_message(
    tmp_path: Path, suffix: str, compressed: bool, keep: float, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / f"x{suffix}"
    sitk.WriteImage(volume(), str(path), useCompression=compressed)
    (data,) = {path, *tmp_path.glob("*.*raw")} - ({path} if suffix == ".mhd" else set())
    content = data.read_bytes()
    header = content.index(b"LOCAL\n") + 6 if data == path else 0
    assert np.array_equal(sitk.GetArrayFromImage(read_image(path)), noise())
    data.write_bytes(content[: header + int((len(content) - header) * keep)])
    with pytest.raises(ImageError, match=rf"^{path}.* is truncated") as caught:
        read_image(path)
    assert compressed or f"{noise().nbytes}" in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_metaimage_header_without_its_data_file_names_both(tmp_path: Path) -> None:
    path = tmp_path / "x.mhd"
    sitk.WriteImage(volume(), str(path))
    (tmp_path / "x.raw").rename(tmp_path / "y.raw")
    assert str(tmp_path / "x.raw") in refusal(path)


def test_data_file_may_begin_with_a_header_of_its_own(tmp_path: Path) -> None:
    path, data = tmp_path / "x.mhd", tmp_path / "x.raw"
    sitk.WriteImage(volume(), str(path))
    data.write_bytes(b"7 bytes" + data.read_bytes())
    path.write_text(path.read_text().replace("ElementDataFile", "HeaderSize = 7\nElementDataFile"))
    assert np.array_equal(sitk.GetArrayFromImage(read_image(path)), noise())
    data.write_bytes(data.read_bytes()[:-1])
    assert "truncated" in refusal(path)
    path.write_text(path.read_text().replace("HeaderSize = 7", "HeaderSize = -1"))
    assert np.array_equal(sitk.GetArrayFromImage(read_image(path)).shape, SHAPE)


def test_damaged_compressed_metaimage_is_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "x.mha"
    write_image(volume(), path)
    content = bytearray(path.read_bytes())
    content[-len(content) // 4] ^= 0xFF
    path.write_bytes(content)
    assert "damaged" in refusal(path)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("field", ["DimSize = 16 x 12", "ElementNumberOfChannels = one", "HeaderSize = ?"])
def test_metaimage_header_with_words_for_numbers_is_refused(tmp_path: Path, field: str) -> None:
    path = tmp_path / "x.mhd"
    sitk.WriteImage(volume(), str(path))
    key = field.split(" =")[0]
    lines = [line for line in path.read_text().splitlines() if not line.startswith(key)]
    path.write_text("\n".join([*lines[:-1], field, lines[-1], ""]))
    assert "cannot be read" in refusal(path)


def test_header_without_voxels_is_refused(whole: Path) -> None:
    whole.write_bytes(gzip.compress(gzip.decompress(whole.read_bytes())[:352]))
    assert "truncated" in refusal(whole)


def test_damaged_compressed_bytes_are_refused(whole: Path) -> None:
    content = bytearray(whole.read_bytes())
    content[len(content) // 2] ^= 0xFF
    whole.write_bytes(content)
    assert "damaged" in refusal(whole)


@pytest.mark.parametrize(
    "content",
    [b"not an image\n" * 100, b"x", gzip.compress(b"text\n" * 200)],
    ids=["text", "one letter", "compressed text"],
)
def test_text_named_as_nifti_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.nii.gz"
    path.write_bytes(content)
    assert "no NIfTI image" in refusal(path)


@pytest.mark.parametrize("suffix", [".mha", ".nrrd"])
def test_text_named_as_another_format_is_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"x{suffix}"
    path.write_text("not an image\n" * 100)
    assert "cannot be read" in refusal(path)


def test_zero_bytes_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.nii.gz"
    path.touch()
    assert "0 bytes" in refusal(path)


def test_folder_is_refused(tmp_path: Path) -> None:
    assert "is a folder" in refusal(tmp_path)


def test_other_file_type_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(b"\x89PNG")
    assert ".nii.gz" in refusal(path)


def test_compressed_file_named_as_uncompressed_tells_the_new_name(tmp_path: Path, whole: Path) -> None:
    path = tmp_path / "x.nii"
    path.write_bytes(whole.read_bytes())
    assert "x.nii.gz" in refusal(path)


def test_four_dimensions_are_refused(tmp_path: Path) -> None:
    path = nifti(tmp_path / "x.nii.gz", np.eye(4), (*SHAPE[::-1], 3))
    assert "4 dimensions (16x14x12x3)" in refusal(path)


@pytest.mark.parametrize("suffix", [".nii.gz", ".mha"])
def test_color_volume_is_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"x{suffix}"
    sitk.WriteImage(sitk.GetImageFromArray(noise((*SHAPE, 3)).astype(np.uint8), isVector=True), str(path))
    assert "3 values per voxel" in refusal(path)


def test_two_slices_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.nii.gz"
    write_image(volume(noise((2, 32, 32))), path)
    message = refusal(path)
    assert "only 2 slices" in message and "at least 8" in message


@pytest.mark.parametrize("channel", [0, 2])
def test_one_channel_of_a_four_dimensional_file_is_read(tmp_path: Path, channel: int) -> None:
    shape = (*SHAPE[::-1], 3)
    path = nifti(tmp_path / "x.nii.gz", np.diag([2.0, 3.0, 4.0, 1.0]), shape)
    image = read_channel(path, channel)
    assert np.array_equal(sitk.GetArrayFromImage(image).T, noise(shape)[..., channel])
    assert image.GetSpacing() == (2, 3, 4)
    assert image.GetDirection() == (-1, 0, 0, 0, -1, 0, 0, 0, 1)


def test_absent_channel_and_three_dimensional_file_are_refused(tmp_path: Path, whole: Path) -> None:
    with pytest.raises(ImageError, match="no channel 3"):
        read_channel(nifti(tmp_path / "x.nii.gz", np.eye(4), (*SHAPE[::-1], 3)), 3)
    with pytest.raises(ImageError, match="has 3 dimensions"):
        read_channel(whole, 0)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros(SHAPE, np.int16), "empty"),
        (np.full(SHAPE, -3.5, np.float32), "constant: every voxel is -3.5"),
        (np.where(noise() > 500, np.nan, 1.0), "NaN"),
        (np.where(noise() > 995, np.inf, noise()), "infinity"),
        ((noise() > 500).astype(np.uint8), "label map"),
        (noise() % 5, "values 0, 1, 2, 3, 4"),
        ((noise() % 4).astype(np.float32), "label map"),
        ((noise() > 500).astype(np.float32) / 255, "label map"),
        ((noise() % 3).astype(np.float64) * 1.7 - 2, "label map"),
        (noise((3, 40, 40)), "only 3 slices"),
    ],
)
def test_volume_that_is_no_mri_is_refused_by_name(array: np.ndarray, message: str) -> None:
    with pytest.raises(ImageError, match=message) as caught:
        check_volume(sitk.GetImageFromArray(array), "node 'MRHead'")
    assert str(caught.value).startswith("node 'MRHead'")


def test_number_of_nan_voxels_is_told() -> None:
    array = noise().astype(np.float32)
    array[0, 0, :3] = np.nan
    with pytest.raises(ImageError, match="holds 3 voxels"):
        check_volume(sitk.GetImageFromArray(array), "x")


def test_vector_and_four_dimensional_volumes_are_refused() -> None:
    with pytest.raises(ImageError, match="values per voxel"):
        check_volume(sitk.GetImageFromArray(noise((*SHAPE, 2)), isVector=True), "x")
    with pytest.raises(ImageError, match="4 dimensions"):
        check_volume(sitk.GetImageFromArray(noise((8, *SHAPE)), isVector=False), "x")


@pytest.mark.parametrize(
    "array",
    [
        noise(),
        noise() % 12,
        (noise() % 30).astype(np.float32) / 30,
        np.pad(np.arange(100).reshape(4, 5, 5), 40).astype(np.int16),
    ],
)
def test_volume_that_can_be_mri_passes(array: np.ndarray) -> None:
    check_volume(sitk.GetImageFromArray(array), "x")


def test_writing_into_an_absent_folder_names_it_and_makes_nothing(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"the folder .*no does not exist"):
        write_image(volume(), tmp_path / "no" / "x.nii.gz")
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize("name", ["x.txt", "x", "x.mhd"])
def test_writing_under_an_unknown_suffix_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ImageError, match="end the name"):
        write_image(volume(), tmp_path / name)
    assert not os.listdir(tmp_path)


def test_failed_writing_leaves_the_existing_file_as_it_was(
    tmp_path: Path, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = whole.read_bytes()

    def full_disk(*_: object, **__: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr("MissingModalityLib.imaging.volumes.os.replace", full_disk)
    with pytest.raises(ImageError, match="No space left"):
        write_image(volume(noise(seed=1)), whole)
    assert whole.read_bytes() == before
    assert os.listdir(tmp_path) == [whole.name]


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_a_file_of_which_the_disk_took_a_part_is_not_put_in_place(
    tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    complete = sitk.WriteImage

    def full_disk(image: sitk.Image, name: str, **options: bool) -> None:
        complete(image, name, **options)  # as ITK's NIfTI writer ends where the disk is full: well
        os.truncate(name, os.path.getsize(name) // 2)

    monkeypatch.setattr(sitk, "WriteImage", full_disk)
    with pytest.raises(ImageError, match="what was written cannot be read again, as on a full disk"):
        write_image(volume(noise(seed=1)), tmp_path / f"x{suffix}")
    assert not os.listdir(tmp_path)


def test_warning_display_of_itk_is_as_before(whole: Path) -> None:
    assert sitk.ProcessObject.GetGlobalWarningDisplay()
    read_image(whole)
    assert sitk.ProcessObject.GetGlobalWarningDisplay()


def test_threads_that_write_leave_warnings_and_permissions_as_they_were(whole: Path, tmp_path: Path) -> None:
    image = read_image(whole)
    (tmp_path / "plain").touch()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: write_image(image, tmp_path / f"{number}.nii"), range(80)))
    assert sitk.ProcessObject.GetGlobalWarningDisplay()
    (tmp_path / "later").touch()
    assert len({path.stat().st_mode for path in tmp_path.iterdir() if path.is_file()}) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_path_that_is_no_text_is_refused_in_reading_and_writing(tmp_path: Path, whole: Path) -> None:
    folder = tmp_path / "\udcff\udcfe"
    folder.mkdir()
    (folder / "flair.nii.gz").write_bytes(whole.read_bytes())
    assert "no text" in refusal(folder / "flair.nii.gz")
    with pytest.raises(ImageError, match="no text"):
        write_image(volume(), folder / "x.nii.gz")
    assert [path.name for path in folder.iterdir()] == ["flair.nii.gz"]
