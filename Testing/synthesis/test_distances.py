"""Distances inside masks and around them."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt

from MissingModalityLib.synthesis.distances import depth_in, distance_near, distance_to


def test_distances_are_the_same_without_itk(monkeypatch: pytest.MonkeyPatch) -> None:
    mask = np.random.default_rng(0).random((12, 14, 10)) < 0.03
    inside = np.ones((9, 11, 8), bool)
    inside[4, 5] = False
    found = distance_to(mask), depth_in(inside)
    monkeypatch.setitem(sys.modules, "SimpleITK", None)
    for first, second in zip(found, (distance_to(mask), depth_in(inside)), strict=True):
        assert first.dtype == second.dtype and first.max() > 1
        np.testing.assert_allclose(first, second, rtol=1e-6)


@pytest.mark.parametrize("itk", [True, False], ids=["with ITK", "without"])
def test_distances_and_depths_are_those_between_centers_of_voxels(
    itk: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not itk:
        monkeypatch.setitem(sys.modules, "SimpleITK", None)
    mask = np.zeros((7, 9, 11), bool)
    mask[0:4, 2:7, 5:11] = True  # beyond two faces of the volume there is no mask
    padded = np.pad(mask, 1)
    np.testing.assert_allclose(depth_in(mask), distance_transform_edt(padded)[1:-1, 1:-1, 1:-1], atol=1e-5)
    np.testing.assert_allclose(distance_to(mask), distance_transform_edt(~mask), atol=1e-5)


def test_distances_near_a_mask_end_at_its_box_with_a_margin() -> None:
    mask = np.zeros((20, 18, 16), bool)
    mask[8:11, 9, 2:5] = True
    near, whole = distance_near(mask, 4), distance_to(mask)
    box = (slice(4, 15), slice(5, 14), slice(0, 9))
    np.testing.assert_array_equal(near[box], whole[box])
    near[box] = np.inf
    assert np.isinf(near).all()
    assert np.isinf(distance_near(np.zeros((3, 4, 5), bool), 2)).all()


def test_the_depth_of_a_mask_does_not_depend_on_the_array_around_it() -> None:
    mask = np.random.default_rng(1).random((9, 8, 7)) < 0.9
    np.testing.assert_array_equal(depth_in(np.pad(mask, 5))[5:-5, 5:-5, 5:-5], depth_in(mask))
    assert not depth_in(np.zeros((3, 4, 5), bool)).any()
