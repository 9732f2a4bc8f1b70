"""Packed cases become the prepared cases that `prepare` makes of the same volumes."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

import packed_cases
from MissingModalityLib.core.errors import CaseError
from MissingModalityLib.core.modalities import Modality
from MissingModalityLib.datasets.discovery import find_cases
from MissingModalityLib.imaging.cache import cache_case
from packed_archive import write_packed_case


def laid_out(archive: Path, folder: Path, shared: Path) -> Path:
    """The volumes of a packed case as NIfTI files, by the program that packed it."""
    spec = importlib.util.spec_from_file_location("packing", shared / "data" / "packing.py")
    packing = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(packing)
    packing.unpack_case(archive, folder / archive.stem, ".nii")
    return folder


def assert_equals_prepare(archive: Path, folder: Path, shared: Path) -> None:
    """The prepared case of an archive has the arrays of what `prepare` makes of its volumes, to the bit."""
    own = packed_cases.prepare_packed(archive, folder / "own")
    case = find_cases(laid_out(archive, folder / "data", shared)).cases[0]
    cached = cache_case(case, folder / "prepared")
    assert (own.name, own.subset, own.shape) == (cached.name, cached.subset, cached.shape)
    first, second = load_file(own.path), load_file(cached.path)
    assert first.keys() == second.keys()
    for name, array in first.items():
        assert array.dtype == second[name].dtype
        np.testing.assert_array_equal(array, second[name])


@pytest.mark.parametrize("spacing", [(1, 1, 1), (1.882, 1.882, 1.213), (0.8, 1.25, 2.0)])
def test_a_packed_case_is_prepared_as_its_volumes_are(
    spacing: tuple[float, ...], shared: Path, tmp_path: Path
) -> None:
    assert_equals_prepare(write_packed_case(tmp_path / "patient.zip", spacing), tmp_path, shared)


@pytest.mark.parametrize(
    "name", [pytest.param("BraTS2021_01476", marks=pytest.mark.slow), "Brats18_TCIA08_113_1"]
)
def test_a_real_packed_case_is_prepared_as_its_volumes_are(name: str, shared: Path, tmp_path: Path) -> None:
    archive = shared / "data" / "packed" / "train" / f"{name}.zip"
    if not archive.exists():
        pytest.skip(f"{archive} is not there")
    assert_equals_prepare(archive, tmp_path, shared)


def test_axes_of_any_order_come_out_as_lps(tmp_path: Path) -> None:
    axes = np.array([[0.0, 2.0, 0.0], [0.0, 0.0, -3.0], [-1.0, 0.0, 0.0]])  # RAS: S-I, L-R, A-P
    turned, spacing = packed_cases._to_lps(axes, tmp_path)
    array = np.arange(24).reshape(2, 3, 4)
    assert spacing == (1.0, 3.0, 2.0)
    np.testing.assert_array_equal(turned(array), array[::-1, ::-1].transpose(0, 2, 1))
    with pytest.raises(CaseError, match="two of its axes"):
        packed_cases._to_lps(np.ones((3, 3)), tmp_path)


def test_an_archive_that_cannot_be_read_leaves_the_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = write_packed_case(tmp_path / "packed" / "whole.zip")
    (tmp_path / "packed" / "half.zip").write_bytes(whole.read_bytes()[:900])
    places = ["--packed", str(tmp_path / "packed"), "--output", str(tmp_path / "prepared"), "--jobs", "1"]
    assert packed_cases.main(places) == 2
    assert "half.zip: cannot be read as a packed case" in capsys.readouterr().out
    (case,) = find_cases(tmp_path / "prepared").cases
    assert (case.name, case.subset) == ("whole", (Modality.FLAIR, Modality.T1CE))
