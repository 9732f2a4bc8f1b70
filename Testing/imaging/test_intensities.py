"""Background and z-scores of arrays, without any file or grid."""

from __future__ import annotations

import numpy as np
import pytest

from MissingModalityLib.imaging.intensities import find_background, z_scores


def test_z_scores_of_intensities_of_any_size_are_alike() -> None:
    noise = np.random.default_rng(0).normal(0, 1, (8, 9, 10))
    mask = noise > -1
    expected = (noise[mask] - noise[mask].mean()) / noise[mask].std()
    for mean, deviation in ((500, 60), (90_000, 20), (1e-3, 1e-4)):
        found = z_scores(mean + deviation * noise, mask, "volume")
        np.testing.assert_allclose(found[mask], expected, atol=1e-3)
        assert not found[~mask].any()


@pytest.mark.parametrize("axis", [0, 1])
def test_air_is_found_beside_a_brain_that_reaches_two_ends_of_its_volume(axis: int) -> None:
    volume = np.full((12, 14, 16), -3.0)
    inner = [slice(5, 8)] * 3
    inner[axis] = slice(None)
    volume[tuple(inner)] = 2.0
    outer = [slice(1, -1)] * 3
    outer[axis] = slice(None)
    volume[tuple(outer)] = np.random.default_rng(0).normal(5, 1, volume[tuple(outer)].shape)
    found = find_background(volume)
    assert found.value == -3.0 and found.uniform
    assert (found.brain(volume) == (volume != -3.0)).all()
