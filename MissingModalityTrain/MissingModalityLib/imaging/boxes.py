"""Boxes of voxels in arrays (z, y, x): the tightest around a mask, and what two of them share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Box = tuple[slice, ...]
"""One slice with a start and a stop for each axis."""


def tightest_box(mask: np.ndarray) -> Box | None:
    """The smallest box that holds every True voxel of a mask of any dimension; None where there is none."""
    box = []
    for axis in range(mask.ndim):
        inside = np.flatnonzero(mask.any(axis=tuple(other for other in range(mask.ndim) if other != axis)))
        if not len(inside):
            return None
        box.append(slice(int(inside[0]), int(inside[-1]) + 1))
    return tuple(box)


def shared_part(start: Sequence[int], size: Sequence[int], shape: Sequence[int]) -> tuple[Box, Box] | None:
    """What a box shares with an array.

    Args:
        start: first voxel of the box in the array's indices; may be negative.
        size: voxels of the box along each axis.
        shape: of the array.

    Returns:
        The shared part as slices of the array, and as slices of the box; None where they are apart.
    """
    ranges = [(max(0, s), min(s + n, limit), s) for s, n, limit in zip(start, size, shape, strict=True)]
    if any(low >= high for low, high, _ in ranges):
        return None
    return (
        tuple(slice(low, high) for low, high, _ in ranges),
        tuple(slice(low - s, high - s) for low, high, s in ranges),
    )
