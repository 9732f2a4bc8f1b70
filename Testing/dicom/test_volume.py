"""Volumes of DICOM series: voxels and geometry as they went in, and slices that do not make up a volume."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from dicom_studies import (
    HEADERS,
    OBLIQUE,
    displace,
    enhanced,
    localizer,
    save,
    series,
    tilted,
    truncate,
)
from MissingModalityLib.core.errors import ImageError
from MissingModalityLib.core.modalities import Modality
from MissingModalityLib.dicom import volume
from MissingModalityLib.dicom.series import Series, SeriesKind, Slice
from MissingModalityLib.dicom.volume import read_series
from MissingModalityLib.imaging.grid import Grid, corners
from MissingModalityLib.imaging.volumes import read_image
from MissingModalityLib.runtime import processes
from MissingModalityLib.runtime.limited_child import ChildEnded, LimitedChild
from small_patient import brain_volume

FLAIR = HEADERS[Modality.FLAIR]


@pytest.fixture(scope="module")
def brain() -> sitk.Image:
    """Oblique, with thick slices of another spacing along each axis."""
    image = brain_volume(spacing=(1.1, 1.3, 5.0), origin=(3.25, -7.5, 11.125), direction=OBLIQUE)
    return sitk.Cast(image, sitk.sitkInt16)


@pytest.fixture
def flair(brain: sitk.Image) -> list[Dataset]:
    return series(brain, FLAIR)


def of_files(paths: Sequence[Path], frames: Sequence[int | None] = (None,)) -> Series:
    """A series as a search would give it, of which reading looks at places and title alone."""
    slices = tuple(Slice(path, frame, None, "") for path in paths for frame in frames)
    return Series(
        "1.2", 4, "dark-fluid", "P", "1", "", "", slices, None, (0, 0, len(slices)), None, None, "",
        SeriesKind.VOLUME, Modality.FLAIR, 1.0, "",
    )  # fmt: skip


def read(paths: Sequence[Path], frames: Sequence[int | None] = (None,)) -> tuple[sitk.Image, list[str]]:
    told: list[str] = []
    return read_series(of_files(paths, frames), told.append), told


def voxels(image: sitk.Image) -> np.ndarray:
    return sitk.GetArrayFromImage(image)


def assert_same(image: sitk.Image, expected: sitk.Image) -> None:
    assert image.GetSize() == expected.GetSize()
    for name in ("Spacing", "Origin", "Direction"):
        mine, theirs = (getattr(each, f"Get{name}")() for each in (image, expected))
        assert mine == pytest.approx(theirs, abs=1e-9), name
    assert Grid.from_image(image).matches(Grid.from_image(expected))
    assert np.array_equal(voxels(image), voxels(expected))


@pytest.mark.parametrize(
    "syntax",
    [
        ExplicitVRLittleEndian,
        ExplicitVRBigEndian,
        JPEGLosslessSV1,
        *(
            pytest.param(syntax, marks=pytest.mark.slow, id=syntax.keyword)
            for syntax in (
                ImplicitVRLittleEndian,
                DeflatedExplicitVRLittleEndian,
                RLELossless,
                JPEGLSLossless,
                JPEG2000Lossless,
            )
        ),
    ],
    ids=lambda syntax: syntax.keyword,
)
def test_what_was_written_is_read_again_to_the_voxel_in_the_patients_space(brain, flair, tmp_path, syntax):
    image, told = read(save(flair, tmp_path, syntax))
    assert_same(image, brain)
    assert image.GetPixelID() == sitk.sitkInt16 and not told


def test_files_may_come_in_any_order(brain, flair, tmp_path):
    shuffled = [flair[index] for index in np.random.default_rng(3).permutation(len(flair))]
    assert_same(read(save(shuffled, tmp_path))[0], brain)


def test_scaled_unsigned_numbers_become_gray_values(brain, tmp_path):
    image, _ = read(save(series(brain - 500, FLAIR, slope=0.5, intercept=-1024), tmp_path))
    assert np.array_equal(voxels(image), voxels(brain).astype(np.float32) - 500)


@pytest.mark.parametrize(("padding", "stated"), [(-32768, -32768), (-2000, 63536), (30000, 30000)])
def test_pixels_without_a_measurement_become_air(brain, tmp_path, padding, stated):
    array, whole = sitk.GetArrayFromImage(brain), sitk.GetArrayFromImage(brain)
    whole[:, :, :2], whole[3] = 0, 0  # a border, and a slice of nothing else
    array[:, :, :2], array[3] = padding, padding
    padded = sitk.GetImageFromArray(array)
    padded.CopyInformation(brain)
    slices = series(padded, FLAIR)
    for data in slices:
        data.add_new("PixelPaddingValue", "SS" if stated < 1 << 15 else "US", stated)
    assert np.array_equal(voxels(read(save(slices, tmp_path))[0]), whole)


def test_a_padding_value_that_tissue_has_too_changes_nothing(brain, flair, tmp_path):
    for data in flair:
        data.add_new("PixelPaddingValue", "SS", 500)
    assert_same(read(save(flair, tmp_path))[0], brain)


def test_each_slice_has_its_own_scale(brain, flair, tmp_path):
    for data in flair[::2]:
        data.RescaleSlope, data.RescaleIntercept = 2.5, 10
    expected = voxels(brain).astype(np.float32)
    expected[::2] = 2.5 * expected[::2] + 10
    assert np.array_equal(voxels(read(save(flair, tmp_path))[0]), expected)


class TestEnhanced:
    """Multi-frame files, whose geometry lies in functional groups."""

    def test_is_read_in_the_patients_space(self, brain, tmp_path):
        paths = save([enhanced(brain, FLAIR)], tmp_path)
        assert_same(read(paths, range(brain.GetDepth()))[0], brain)

    def test_frames_may_lie_in_any_order(self, brain, tmp_path):
        order = np.random.default_rng(5).permutation(brain.GetDepth())
        data = enhanced(sitk.GetImageFromArray(voxels(brain)[order]), FLAIR)
        true = enhanced(brain, FLAIR)
        data.SharedFunctionalGroupsSequence = true.SharedFunctionalGroupsSequence
        frames = true.PerFrameFunctionalGroupsSequence
        data.PerFrameFunctionalGroupsSequence = [frames[index] for index in order]
        assert_same(read(save([data], tmp_path), range(len(order)))[0], brain)

    def test_each_frame_has_its_own_scale(self, brain, tmp_path):
        data = enhanced(brain, FLAIR)
        transform = data.SharedFunctionalGroupsSequence[0].PixelValueTransformationSequence
        del data.SharedFunctionalGroupsSequence[0].PixelValueTransformationSequence
        expected = voxels(brain).astype(np.float32)
        for index, frame in enumerate(data.PerFrameFunctionalGroupsSequence):
            frame.PixelValueTransformationSequence = copy.deepcopy(transform)
            frame.PixelValueTransformationSequence[0].RescaleSlope = 2.0 + index
            frame.PixelValueTransformationSequence[0].RescaleIntercept = index - 5.0
            expected[index] = (2 + index) * expected[index] + index - 5
        image, _ = read(save([data], tmp_path), range(len(expected)))
        assert np.array_equal(voxels(image), expected)

    def test_some_frames_of_a_file_are_a_series_too(self, brain, tmp_path):
        paths = save([enhanced(brain, FLAIR)], tmp_path)
        assert_same(read(paths, range(3, 17))[0], brain[:, :, 3:17])


class TestMended:
    """What is told and made good."""

    def test_copies_of_a_slice_are_left_out(self, brain, flair, tmp_path):
        image, told = read(save([*flair, flair[4], flair[9]], tmp_path))
        assert_same(image, brain)
        assert told == ["'dark-fluid' (series 4): 2 slices are there twice; the copies were left out."]

    def test_a_missing_slice_is_made_up_from_its_neighbors(self, brain, flair, tmp_path):
        del flair[7]
        image, told = read(save(flair, tmp_path))
        expected = voxels(brain)
        expected[7] = np.rint((expected[6].astype(float) + expected[8]) / 2)
        wanted = Grid.from_image(brain).to_image(expected)
        assert_same(image, wanted)
        assert len(told) == 1 and "1 slice is missing" in told[0]

    def test_distances_that_vary_a_little_are_evened_out(self, brain, flair, tmp_path):
        displace(flair, [0, *np.random.default_rng(0).uniform(-0.6, 0.6, len(flair) - 2), 0])
        image, told = read(save(flair, tmp_path))
        assert Grid.from_image(image).matches(Grid.from_image(brain))
        assert len(told) == 1 and "mm apart; they were resampled to every 5 mm" in told[0]


def doubled_with_others(slices: list[Dataset]) -> list[Dataset]:
    others = copy.deepcopy(slices)
    for data in others:
        data.PixelData = data.PixelData[::-1]
    return [*slices, *others]


def without(first: int, last: int) -> Callable[[list[Dataset]], list[Dataset]]:
    return lambda slices: slices[:first] + slices[last:]


def jittered(slices: list[Dataset]) -> Sequence[Dataset]:
    for index, data in enumerate(slices):
        row = np.array(data.ImageOrientationPatient[:3], float)
        place = np.array(data.ImagePositionPatient, float) + 4 * (index % 2) * row
        data.ImagePositionPatient = [f"{value:.9f}" for value in place]
    return slices


def turned(slices: list[Dataset]) -> list[Dataset]:
    slices[3].ImageOrientationPatient = [1, 0, 0, 0, 0, -1]
    return slices


def resized(slices: list[Dataset]) -> list[Dataset]:
    data = slices[3]
    data.Rows, data.PixelData = 12, data.PixelData[: len(data.PixelData) // 2]
    return slices


def stretched(slices: list[Dataset]) -> list[Dataset]:
    for data in slices:
        data.Rows = 500
    return slices


def changed(**values: object) -> Callable[[list[Dataset]], list[Dataset]]:
    def change(slices: list[Dataset]) -> list[Dataset]:
        for keyword, value in values.items():
            setattr(slices[5], keyword, value)
        return slices

    return change


def bare(slices: list[Dataset]) -> list[Dataset]:
    del slices[5].ImagePositionPatient
    return slices


@pytest.mark.parametrize(
    "damage, sentence",
    [
        (without(5, 12), "unevenly spaced.*missing or doubled"),
        (without(7, 22), "only 7 slices"),
        (doubled_with_others, "several different images of the same place"),
        (lambda slices: slices[::2] + slices[1:9:2], "unevenly spaced"),
        (jittered, "displaced sideways"),
        (lambda slices: tilted(slices, 15), r"displaced sideways.*\(tilted scanner\)"),
        (turned, "different directions"),
        (resized, "differ in size"),
        (changed(PixelSpacing=[1.0, 2.0]), "pixels of its slices differ in size, from 1 to 2 mm"),
        (changed(PhotometricInterpretation="MONOCHROME1"), "dark and bright exchanged"),
        (changed(PhotometricInterpretation="PALETTE COLOR"), "color picture"),
        (bare, "does not say .*ImagePositionPatient is missing"),
        (stretched, "holds fewer pixels than its header states"),
        (changed(BitsAllocated=8, BitsStored=8, HighBit=7), "bytes of pixels where its header states"),
        (changed(Columns=1), "bytes of pixels where its header states"),
        (changed(BitsStored=40), "BitsStored"),
    ],
)
def test_what_makes_up_no_volume_is_refused_in_a_sentence(flair, tmp_path, damage, sentence):
    with pytest.raises(ImageError, match=f"(?s)('dark-fluid'|IM0006).*{sentence}|{sentence}"):
        read(save(damage(flair), tmp_path))


def test_a_localizer_is_refused(tmp_path):
    cube = sitk.Cast(brain_volume(size=(24, 24, 24)), sitk.sitkInt16)
    with pytest.raises(ImageError, match="lie in different directions"):
        read(save(localizer(cube), tmp_path))


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, RLELossless], ids=lambda syntax: syntax.keyword)
def test_a_truncated_file_is_named(flair, tmp_path, syntax):
    paths = save(flair, tmp_path, syntax)
    truncate(paths[6], 0.8)
    with pytest.raises(ImageError, match=r"IM0007\.dcm holds (fewer pixels|no DICOM image, or is cut off)"):
        read(paths)


def test_a_header_that_states_more_than_any_head_has_is_refused_unread(flair, tmp_path):
    paths = save(flair, tmp_path, RLELossless)
    for path in paths:
        data = dcmread(path)
        data.Rows = data.Columns = 30000
        data.save_as(path)
    with pytest.raises(ImageError, match=r"dark-fluid.* voxels by its headers, more than any head"):
        read(paths)


def test_a_file_that_is_no_dicom_is_named(flair, tmp_path):
    paths = save(flair, tmp_path)
    paths[6].write_bytes(b"junk" * 1000)
    with pytest.raises(ImageError, match=r"IM0007\.dcm"):
        read(paths)


@pytest.mark.parametrize(
    "modality", [Modality.FLAIR, *(pytest.param(m, marks=pytest.mark.slow) for m in list(HEADERS)[1:])]
)
def test_the_raw_case_comes_back_to_the_voxel(real_case, tmp_path, modality):
    path = real_case("TCGA-FG-6692_native_unstripped") / f"{modality.name.lower()}.nii.gz"
    raw = read_image(path)
    image, told = read(save(series(raw, HEADERS[modality]), tmp_path))
    assert not told
    assert np.array_equal(voxels(sitk.DICOMOrient(image, "LPS")), voxels(sitk.DICOMOrient(raw, "LPS")))
    places = [sorted(corners(Grid.from_image(each)).round(3).tolist()) for each in (image, raw)]
    assert np.abs(np.subtract(*places)).max() < 0.01


def test_a_child_that_ends_costs_this_series_alone(brain, flair, tmp_path, monkeypatch):
    def ended(*_: object) -> None:
        raise ChildEnded("was ended by the system (SIGSEGV)")

    paths = save(flair, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(LimitedChild, "ask", ended)
        with pytest.raises(ImageError, match=r"dark-fluid.* that read it was ended by the system"):
            read(paths)
    assert_same(read(paths)[0], brain)


def test_where_no_child_can_be_started_it_is_read_here_with_a_warning(brain, flair, tmp_path, monkeypatch):
    paths = save(flair, tmp_path)
    monkeypatch.setattr(volume, "_child", LimitedChild("MissingModalityLib.dicom.pixels_child", 30))
    monkeypatch.setattr(processes, "python_executable", lambda: "/nowhere/python")
    with pytest.warns(RuntimeWarning, match="without limits"):
        image, _ = read(paths)
    assert_same(image, brain)
