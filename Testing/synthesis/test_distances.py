"""Distances inside masks and around them."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from MissingModalityLib.synthesis.distances import depth_in, distance_to


def test_distances_are_the_same_without_itk(monkeypatch: pytest.MonkeyPatch) -> None:
    mask = np.random.default_rng(0).random((12, 14, 10)) < 0.03
    inside = np.ones((9, 11, 8), bool)
    inside[4, 5] = False
    found = distance_to(mask), depth_in(inside)
    monkeypatch.setitem(sys.modules, "SimpleITK", None)
    for first, second in zip(found, (distance_to(mask), depth_in(inside)), strict=True):
        assert first.dtype == second.dtype and first.max() > 1
        np.testing.assert_allclose(first, second, rtol=1e-6)
