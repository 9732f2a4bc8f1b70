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

_NEAR, _NEAR_SHARE = 2e-3, 0.4
"""Share of the intensities within which neighbors are alike, and of how many of them.

Of volumes of 18 patients of BraTS and of raw ones less than a fifth are; of masks and label maps that were
interpolated or smoothed by two voxels, and of probabilities of a network, half and more.
"""

_LEVELS, _LEVEL_WIDTH, _LEVEL_SHARE = 5, 4e-3, 0.5
"""How many narrow ranges of intensities are plateaus, how wide they are, and what they hold of a map."""

_FEW = 0.01
"""Share of a map below its largest plateau; soft edges have more."""

_LOOK_AT = 100_000
"""Voxels of a volume that are looked at first."""

_MOST_LISTED = 5
"""Values that a message lists."""


def is_patchwork(array: np.ndarray) -> bool:
    """Whether an array holds patches of one whole number each, as maps of many structures do."""
    slices = array[::_SLICE_STEP]
    one, next_one = slices[..., 1:], slices[..., :-1]
    inside = (one != array[0, 0, 0]) & (next_one != array[0, 0, 0])
    if np.count_nonzero((one == next_one) & inside) <= _PATCHWORK * np.count_nonzero(inside):
        return False
    values = np.unique(slices)
    return len(values) <= _MOST_STRUCTURES and bool((values == np.round(values)).all())


def is_smoothed_map(array: np.ndarray) -> bool:
    """Whether an array (D, H, W) is a mask, label map or probability map with soft edges.

    Most of what is not background lies on a few plateaus. Images of few gray levels, whole numbers, do too
    and are not meant.
    """
    slices = array[::_SLICE_STEP, ::2].astype(np.float64)
    low, span = _span(slices)
    # air, padding, and values below the air that interpolation leaves
    found, counts = np.unique(slices[0], return_counts=True)
    around = (slices[0, 0, 0], found[counts.argmax()], low)
    surroundings = [np.abs(slices - value) <= _NEAR * span for value in around]
    inside = ~np.logical_or.reduce(surroundings)
    values = slices[inside]
    low, span = _span(values)
    if not span > 0:
        return False
    both = inside[..., 1:] & inside[..., :-1]
    near = np.abs(np.diff(slices, axis=-1)) <= _NEAR * span
    if np.count_nonzero(near & both) <= _NEAR_SHARE * np.count_nonzero(both):
        return False
    counts = np.unique(np.floor((values - low) / (_LEVEL_WIDTH * span)), return_counts=True)[1]
    most = counts.argmax()
    if counts[:most].sum() < _FEW * values.size:  # air beside padding: nothing is darker
        counts = np.delete(counts, most)
    if np.sort(counts)[-_LEVELS:].sum() <= _LEVEL_SHARE * counts.sum():
        return False
    return len(np.unique(values)) > _MOST_STRUCTURES or bool((values != np.round(values)).any())


def _span(values: np.ndarray) -> tuple[float, float]:
    """The lowest value, but for a few, and the distance from it to the highest."""
    low, high = np.percentile(values, (0.05, 99.5)) if values.size else (0.0, 0.0)
    return float(low), float(high - low)


def not_a_mask(array: np.ndarray) -> str | None:
    """Why an array is no mask of the brain, as "it holds the values 0, 1, 4, and ...", or None.

    What has more than two values is a label map of something else, such as a tumor's parts.
    """
    values = np.unique(array)
    if len(values) == 2 and values[0] == 0:
        return None
    listed = ", ".join(f"{value:g}" for value in values[:_MOST_LISTED])
    more = f" and {len(values) - _MOST_LISTED} more" if len(values) > _MOST_LISTED else ""
    return (
        f"it holds the values {listed}{more}, and a mask has two, 0 outside the brain and another one, "
        "usually 1, inside"
    )


def few_values(array: np.ndarray) -> np.ndarray | None:
    """The values of an array that holds at most MAX_LABEL_VALUES different ones, scaled or not, else None."""
    # np.unique sorts, which takes long for a whole volume; a part already tells an image from a mask
    for part in (array.reshape(-1)[:: max(1, array.size // _LOOK_AT)], array):
        values = np.unique(part)
        if len(values) > MAX_LABEL_VALUES:
            return None
    return values
