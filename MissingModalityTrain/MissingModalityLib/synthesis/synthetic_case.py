"""The interface of a synthetic case: what training reads of it, the same as of a prepared case on disk."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core.modalities import Subset
from ..imaging.cache import CachedCase


@dataclass(frozen=True)
class SyntheticCase(ABC):
    """A recipient with parts of other cases in it, put together crop by crop while it is read.

    It can stand wherever training takes a :class:`CachedCase`: it has ``name``, ``subset``, ``shape``,
    ``crop``, ``tumor_voxels`` and ``whole``. It can be pickled, and reads from the files of its cases alone.

    Attributes:
        name: unique in its set.
        recipient: the case whose grid it is on.
        subset: the modalities that all of its cases have.
    """

    name: str
    recipient: CachedCase
    subset: Subset

    @property
    def shape(self) -> tuple[int, int, int]:
        """(D, H, W) of the recipient's brain box."""
        return self.recipient.shape

    @abstractmethod
    def crop(self, start: Iterable[int], size: Iterable[int]) -> tuple[np.ndarray, np.ndarray]:
        """As :meth:`CachedCase.crop`: image (C, d, h, w) float32, label (d, h, w) uint8."""

    @abstractmethod
    def tumor_voxels(self) -> np.ndarray:
        """As :meth:`CachedCase.tumor_voxels`: rows (class, z, y, x)."""

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """Everything that was drawn for it, for a report in JSON."""

    # the same code as for prepared cases: it needs crop, shape and subset alone, which are all here
    load = CachedCase.load
