"""Voxels in half precision become the same numbers in single precision, where they belong."""

from __future__ import annotations

import numpy as np

from MissingModalityLib.imaging.half_precision import write_single


def test_every_value_of_half_precision_stays_what_it_is_and_the_rest_is_left_alone() -> None:
    half = np.arange(2**16, dtype=np.uint16).view(np.float16).reshape(2, 32, 32, 32)
    image = np.zeros((4, 34, 32, 32), np.float32)
    write_single(image, (3, 1), (slice(1, 33), slice(0, 32), slice(0, 32)), half)
    np.testing.assert_array_equal(image[[3, 1], 1:33], half.astype(np.float32))
    assert not image[[0, 2]].any() and not image[:, [0, 33]].any()
