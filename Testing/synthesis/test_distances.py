"""Distances inside masks and around them."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt

from MissingModalityLib.synthesis.distances import border_depth, depth_in, distance_to


def test_distances_are_the_same_without_itk(monkeypatch: pytest.MonkeyPatch) -> None:
    mask = np.random.default_rng(0).random((12, 14, 10)) < 0.03
    inside = np.ones((9, 11, 8), bool)
    inside[4, 5] = False
    found = distance_to(mask), depth_in(inside), border_depth(inside)
    monkeypatch.setitem(sys.modules, "SimpleITK", None)
    for first, second in zip(found, (distance_to(mask), depth_in(inside), border_depth(inside)), strict=True):
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


def test_the_border_of_a_mask_runs_between_voxels() -> None:
    mask = np.zeros((20, 18, 16), bool)
    mask[5:12, 4:14, 3:13] = True
    depth = border_depth(mask)
    np.testing.assert_array_equal(depth[3:8, 9, 8], [-1.5, -0.5, 0.5, 1.5, 2.5])
    np.testing.assert_array_equal(depth > 0, mask)


def test_the_depth_of_a_mask_does_not_depend_on_the_array_around_it() -> None:
    mask = np.random.default_rng(1).random((9, 8, 7)) < 0.9
    np.testing.assert_array_equal(depth_in(np.pad(mask, 5))[5:-5, 5:-5, 5:-5], depth_in(mask))
    assert not depth_in(np.zeros((3, 4, 5), bool)).any()
