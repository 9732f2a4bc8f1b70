"""Longest axial diameters, on shapes whose diameter is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import SimpleITK as sitk

from MissingModalityLib.imaging.diameters import axial_diameters


def labels(array: np.ndarray, spacing: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> sitk.Image:
    image = sitk.GetImageFromArray(array.astype(np.uint8))
    image.SetSpacing(spacing)
    return image


def test_a_ball_is_as_wide_as_it_is() -> None:
    z, y, x = np.indices((41, 41, 41)) - 20
    ball = 3 * (x * x + y * y + z * z <= 15**2)
    assert axial_diameters(labels(ball)) == {"NCR": 0, "ED": 0, "ET": 30, "WT": 30, "TC": 30}


def test_spacing_counts_in_the_plane_alone() -> None:
    box = np.zeros((20, 10, 10))
    box[2:18, 3:6, 2:7] = 1  # 5 voxels along x, 3 along y
    found = axial_diameters(labels(box, (2.0, 0.5, 9.0)))
    assert found["NCR"] == pytest.approx(math.hypot(4 * 2.0, 2 * 0.5))


def test_two_spots_in_one_slice_are_not_one_wide_tumor() -> None:
    spots = np.zeros((1, 30, 30))
    spots[0, 2, 2:6] = 2
    spots[0, 25, 25:28] = 2
    assert axial_diameters(labels(spots))["ED"] == 3


def test_regions_join_what_classes_part() -> None:
    row = np.zeros((1, 1, 12))
    row[0, 0, 2:10] = [2, 2, 1, 1, 3, 3, 2, 2]
    assert axial_diameters(labels(row)) == {"NCR": 1, "ED": 1, "ET": 1, "WT": 7, "TC": 3}


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0), (2, 1, 0)])
def test_slices_are_axial_however_the_volume_is_stored(order: tuple[int, int, int]) -> None:
    flat = np.zeros((12, 12, 12))
    flat[5, 3, 1:11] = 1  # long from right to left
    flat[2:11, 6, 6] = 3  # long from feet to head, across the slices
    stored = sitk.PermuteAxes(labels(flat, (1.0, 2.0, 3.0)), order)
    assert axial_diameters(stored) == axial_diameters(labels(flat, (1.0, 2.0, 3.0)))
    assert axial_diameters(stored)["ET"] == 0


def test_nothing_is_as_wide_as_nothing() -> None:
    assert set(axial_diameters(labels(np.zeros((3, 4, 5)))).values()) == {0.0}
