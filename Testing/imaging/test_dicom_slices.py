"""Slices of a DICOM series that do not lie as the volume made of them claims."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from MissingModalityLib.core.errors import ImageError
from MissingModalityLib.imaging.dicom_slices import check_slices

AXES = Rotation.from_euler("xyz", [10, -5, 20], degrees=True).as_matrix()


def texts(rows: np.ndarray) -> list[str]:
    return ["\\".join(f"{value:.6f}" for value in row) for row in rows]


def series(depths: np.ndarray, sideways: float = 0.0) -> tuple[list[str], list[str]]:
    """Positions and orientations of slices at these depths (mm), an oblique series."""
    shift = sideways * np.arange(len(depths))
    places = np.outer(depths, AXES[:, 2]) + np.outer(shift, AXES[:, 0]) + (5, -60, 12)
    return texts(places), texts(np.repeat([AXES[:, :2].T.ravel()], len(depths), axis=0))


EVEN = np.arange(20) * 3.0


@pytest.mark.parametrize(
    "depths", [EVEN, EVEN[::-1], np.random.default_rng(0).permutation(EVEN), EVEN + 0.01]
)
def test_even_slices_in_any_order_pass(depths: np.ndarray) -> None:
    check_slices("T1", *series(depths), 3.0)


@pytest.mark.parametrize(
    ("depths", "spacing", "words"),
    [
        (np.delete(EVEN, 7), 3.0, "mostly 3 mm, but 6 mm between slices 7 and 8"),
        (np.insert(EVEN, 5, 15.0), 3.0, "but 0 mm between"),
        (np.where(EVEN > 30, EVEN + 1, EVEN), 3.0, "unevenly spaced"),
        (np.cumsum(np.linspace(2.5, 3.5, 20)), 3.0, "unevenly spaced"),
        (np.insert(EVEN / 10, 5, 1.5), 0.3, "but 0 mm between"),
        (EVEN, 1.0, "3 mm apart, but the volume has 1 mm"),
        (EVEN, 3.3, "3 mm apart, but the volume has 3.3 mm"),
    ],
)
def test_slices_that_are_missing_doubled_or_otherwise_spaced_are_refused(
    depths: np.ndarray, spacing: float, words: str
) -> None:
    with pytest.raises(ImageError, match=f"^T1: .*{words}"):
        check_slices("T1", *series(depths), spacing)


def test_slices_of_a_tilted_scanner_are_refused() -> None:
    with pytest.raises(ImageError, match="sideways"):
        check_slices("T1", *series(EVEN, 0.3), 3.0)


def test_slices_in_different_directions_or_along_no_axes_are_refused() -> None:
    positions, orientations = series(EVEN)
    with pytest.raises(ImageError, match="different directions"):
        check_slices("T1", positions, [*orientations[:-1], "1\\0\\0\\0\\0\\-1"], 3.0)
    with pytest.raises(ImageError, match="right angles"):
        check_slices("T1", positions, ["1\\0\\0\\0.2\\1\\0"] * 20, 3.0)
    with pytest.raises(ImageError, match="right angles"):
        check_slices("T1", positions, ["2\\0\\0\\0\\1\\0"] * 20, 3.0)


def test_attributes_that_are_not_there_are_not_judged() -> None:
    check_slices("T1", [""] * 20, [""] * 20, 3.0)
    check_slices("T1", ["1\\2"] * 20, series(EVEN)[1], 3.0)
