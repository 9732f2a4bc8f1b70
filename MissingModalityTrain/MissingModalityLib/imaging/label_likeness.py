"""Whether the voxels of a volume are those of a label map or a mask."""

from __future__ import annotations

import numpy as np

from ..core.labels import MAX_LABEL_VALUES

_PATCHWORK, _MOST_STRUCTURES = 0.8, 256
"""Share of voxels that have the value of their neighbor, and different values, of a map of structures.

In MRI noise makes neighbors differ: of volumes of BraTS, in 256 gray levels, less than a quarter are alike.
"""

_SLICE_STEP = 8
"""Of the slices of a volume, every 8th tells a patchwork from an image."""

_LOOK_AT = 100_000
"""Voxels of a volume that are looked at first."""


def is_patchwork(array: np.ndarray) -> bool:
    """Whether an array holds patches of one whole number each, as maps of many structures do."""
    slices = array[::_SLICE_STEP]
    one, next_one = slices[..., 1:], slices[..., :-1]
    inside = (one != array[0, 0, 0]) & (next_one != array[0, 0, 0])
    if np.count_nonzero((one == next_one) & inside) <= _PATCHWORK * np.count_nonzero(inside):
        return False
    values = np.unique(slices)
    return len(values) <= _MOST_STRUCTURES and bool((values == np.round(values)).all())


def few_values(array: np.ndarray) -> np.ndarray | None:
    """The values of an array that holds at most MAX_LABEL_VALUES different ones, scaled or not, else None."""
    # np.unique sorts, which takes long for a whole volume; a part already tells an image from a mask
    for part in (array.reshape(-1)[:: max(1, array.size // _LOOK_AT)], array):
        values = np.unique(part)
        if len(values) > MAX_LABEL_VALUES:
            return None
    return values
