"""Distances to a mask and depths in it, with SimpleITK and without."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt

from MissingModalityLib.synthesis import distances
from MissingModalityLib.synthesis.distances import depth_in, distance_to


@pytest.mark.parametrize("package", [True, False], ids=["SimpleITK", "SciPy"])
def test_distances_and_depths_are_those_between_centers_of_voxels(
    package: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not package:
        monkeypatch.setattr(distances, "sitk", None)
    mask = np.zeros((7, 9, 11), bool)
    mask[0:4, 2:7, 5:11] = True  # beyond two faces of the volume there is no mask
    padded = np.pad(mask, 1)
    np.testing.assert_allclose(depth_in(mask), distance_transform_edt(padded)[1:-1, 1:-1, 1:-1], atol=1e-5)
    np.testing.assert_allclose(distance_to(mask), distance_transform_edt(~mask), atol=1e-5)
    assert np.isinf(distance_to(np.zeros((3, 3, 3), bool))).all()
