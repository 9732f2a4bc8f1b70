"""Which voxel of a surface is the nearest one to others, and how far it is.

Both ways give the same distances. A tree finds the nearest voxel of each place that is asked for; how long it
takes grows with their number and with how far they are, which a prediction scattered over the whole brain
makes the greater part of all scoring. A map holds the nearest voxel of every place of a box, so it costs the
same whatever is asked later: the surface of a reference is asked by every subset of a case.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
from scipy import ndimage
from scipy.spatial import KDTree

_VOXELS_OF_A_MAP = 32
"""That a map holds in the time in which a tree answers for one place."""


class Found(NamedTuple):
    """For each place that was asked for.

    Attributes:
        mm: (n,) to the nearest voxel of the surface.
        voxel: (n,) which one of them that is.
    """

    mm: np.ndarray
    voxel: np.ndarray


class Nearest:
    """To be asked for the nearest voxel.

    Args:
        places: (n, 3) voxels of a surface in the image, at least one.
        spacing: mm along each axis.
    """

    def __init__(self, places: np.ndarray, spacing: Sequence[float]) -> None:
        self.places = places
        self._spacing = np.asarray(spacing)
        self._points = places * self._spacing
        self._map: np.ndarray | None = None
        self._corner = places.min(0)
        self._asked_of_tree = 0

    @cached_property
    def _tree(self) -> KDTree:
        return KDTree(self._points)

    def of(self, places: np.ndarray) -> Found:
        """Answer for (m, 3) places in the image."""
        found = Found(np.empty(len(places)), np.empty(len(places), np.intp))
        mapped = self._mapped(places)
        if not mapped.all() and self._make_map(places, int(np.count_nonzero(~mapped))):
            mapped[:] = True
        for part, answer in ((mapped, self._of_map), (~mapped, self._of_tree)):
            if part.any():
                found.mm[part], found.voxel[part] = answer(places[part])
        return found

    def _of_map(self, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        voxel = self._map[tuple((places - self._corner).T)]
        apart = places * self._spacing - self._points[voxel]
        return np.sqrt(np.square(apart).sum(1)), voxel

    def _of_tree(self, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self._tree.query(places * self._spacing)

    def _mapped(self, places: np.ndarray) -> np.ndarray:
        """(m,) bool: whether the map, if there is one, holds a place."""
        if self._map is None:
            return np.zeros(len(places), bool)
        inside = places - self._corner
        return ((inside >= 0) & (inside < self._map.shape)).all(1)

    def _make_map(self, places: np.ndarray, unmapped: int) -> bool:
        """Make one that holds these places too, if for those that none held a tree takes as long."""
        known = [self.places] if self._map is None else [self._corner, self._corner + self._map.shape - 1]
        every = np.concatenate([np.atleast_2d(some) for some in (*known, places)])
        corner, size = every.min(0), np.ptp(every, axis=0) + 1
        self._asked_of_tree += unmapped
        if self._asked_of_tree * _VOXELS_OF_A_MAP < np.prod(size):
            return False
        self._asked_of_tree = 0
        numbers, apart = np.zeros(size, np.int32), np.ones(size, bool)
        here = tuple((self.places - corner).T)
        numbers[here], apart[here] = np.arange(len(self.places)), False
        nearest = ndimage.distance_transform_edt(
            apart, self._spacing, return_distances=False, return_indices=True
        )
        self._map, self._corner = numbers[tuple(nearest)], corner
        return True
