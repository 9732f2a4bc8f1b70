"""The prepared-case cache: exact crops, rebuilt when the input changes, never left half-written."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from MissingModalityLib.core.errors import CaseError
from MissingModalityLib.core.modalities import Modality
from MissingModalityLib.datasets.discovery import find_cases
from MissingModalityLib.imaging.cache import CachedCase, cache_case, fingerprint
from MissingModalityLib.imaging.preparation import prepare
from MissingModalityLib.imaging.reading import read_label, read_study
from small_cases import write_block_case
from small_patient import brain_volume


@pytest.fixture
def case(tmp_path: Path):
    write_block_case(tmp_path / "data" / "patient")
    return find_cases(tmp_path / "data").cases[0]


def test_a_crop_equals_the_prepared_case(case, tmp_path: Path) -> None:
    cached = cache_case(case, tmp_path / "prepared")
    prepared = prepare(read_study(case), read_label(case))
    image, label = cached.crop((2, 3, 4), (8, 9, 10))
    box = (slice(2, 10), slice(3, 12), slice(4, 14))
    np.testing.assert_allclose(image, prepared.image[(slice(None), *box)], atol=4e-3)
    np.testing.assert_array_equal(label, prepared.label[box])
    assert cached.subset == (Modality.FLAIR, Modality.T1CE)
    assert cached.shape == prepared.label.shape


def test_a_crop_over_the_edge_is_zero_outside(case, tmp_path: Path) -> None:
    cached = cache_case(case, tmp_path / "prepared")
    inner, _ = cached.crop((0, 0, 0), (6, 6, 6))
    outer, label = cached.crop((-4, -4, -4), (10, 10, 10))
    np.testing.assert_array_equal(outer[:, 4:, 4:, 4:], inner)
    assert not outer[:, :4].any() and not outer[:, :, :4].any() and not label[:4].any()
    beyond, _ = cached.crop((100, 0, 0), (4, 4, 4))
    assert not beyond.any()


def test_tumor_voxels_name_every_class_where_it_is(case, tmp_path: Path) -> None:
    cached = cache_case(case, tmp_path / "prepared")
    _, label = cached.crop((0, 0, 0), cached.shape)
    rows = cached.tumor_voxels()
    assert set(rows[:, 0]) == {1, 2, 3}
    for cls, *voxel in rows.tolist():
        assert label[tuple(voxel)] == cls


def test_the_cache_is_used_again_until_the_input_changes(case, tmp_path: Path) -> None:
    path = cache_case(case, tmp_path / "prepared").path
    before = path.stat().st_mtime_ns
    cache_case(case, tmp_path / "prepared")
    assert path.stat().st_mtime_ns == before
    flair = case.images[Modality.FLAIR].path
    sitk.WriteImage(brain_volume(9, spacing=(1.0, 1.0, 1.0)), str(flair))
    first, _ = CachedCase("", path, (Modality.FLAIR, Modality.T1CE), (1, 1, 1)).crop((5, 5, 5), (5, 5, 5))
    second, _ = cache_case(case, tmp_path / "prepared").crop((5, 5, 5), (5, 5, 5))
    assert not np.array_equal(first, second)


def test_a_truncated_file_is_made_anew(case, tmp_path: Path) -> None:
    cached = cache_case(case, tmp_path / "prepared")
    whole, crop = cached.path.read_bytes(), cached.crop((0, 0, 0), (20, 20, 20))
    cached.path.write_bytes(whole[: len(whole) // 2])
    repaired = cache_case(case, tmp_path / "prepared")
    assert repaired.path.stat().st_size == len(whole)
    for mine, theirs in zip(repaired.crop((0, 0, 0), (20, 20, 20)), crop, strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_a_file_with_a_flipped_bit_is_made_anew(case, tmp_path: Path) -> None:
    path = cache_case(case, tmp_path / "prepared").path
    whole = path.read_bytes()
    changed = bytearray(whole)
    changed[-len(whole) // 2] ^= 4
    path.write_bytes(changed)
    assert cache_case(case, tmp_path / "prepared").path.read_bytes() == whole
    path.write_bytes(changed)
    (prepared,) = find_cases(tmp_path / "prepared").cases
    with pytest.raises(CaseError, match="damaged"):
        cache_case(prepared, tmp_path)


def test_a_case_without_label_is_refused(tmp_path: Path) -> None:
    write_block_case(tmp_path / "data" / "patient", label=False)
    with pytest.raises(CaseError, match=r"patient: case 'patient' has no label"):
        cache_case(find_cases(tmp_path / "data").cases[0], tmp_path / "prepared")
    assert not list(tmp_path.glob("prepared/*"))


def test_a_folder_that_cannot_be_written_is_named(case, tmp_path: Path) -> None:
    (tmp_path / "prepared").write_text("a file where the folder should be")
    with pytest.raises(CaseError, match="prepared"):
        cache_case(case, tmp_path / "prepared")


def test_sequences_stand_in_their_own_channels_whichever_a_case_has(tmp_path: Path) -> None:
    write_block_case(tmp_path / "data" / "patient", ("t1ce", "t2"))
    (case,) = find_cases(tmp_path / "data").cases
    image, _ = cache_case(case, tmp_path / "prepared").crop((5, 5, 5), (6, 6, 6))
    expected = prepare(read_study(case)).image[:, 5:11, 5:11, 5:11]
    np.testing.assert_allclose(image, expected, atol=4e-3)
    assert image.any(axis=(1, 2, 3)).tolist() == [False, True, False, True]


def test_a_case_is_prepared_anew_when_its_labels_mean_something_else_or_a_file_holds_it(case) -> None:
    before = fingerprint(case)
    assert fingerprint(case) == before != fingerprint(replace(case, convention="brats2023"))
    os.utime(case.label, (1, 1))
    assert fingerprint(case) == before
    sitk.WriteImage(sitk.ReadImage(str(case.label)) * 0, str(case.label))
    assert fingerprint(case) != before


def test_a_case_in_memory_has_the_brain_of_all_its_volumes(case, tmp_path: Path) -> None:
    whole, expected = cache_case(case, tmp_path / "prepared").load(), prepare(read_study(case))
    assert whole.brain.any() and whole.available.tolist() == expected.available.tolist()
    np.testing.assert_array_equal(whole.brain, expected.image.any(axis=0))
