"""What training sees of a synthetic case: the same few members as of a prepared one on disk."""

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
    """A recipient with something of other cases in it, put together crop by crop while it is read.

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
        """As :meth:`CachedCase.crop`: image (4, d, h, w) float32, label (d, h, w) uint8."""

    @abstractmethod
    def tumor_voxels(self) -> np.ndarray:
        """As :meth:`CachedCase.tumor_voxels`: rows (class, z, y, x)."""

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """Everything random about it, for a report in JSON."""

    # it asks for crop, shape and subset, which are all here
    load = CachedCase.load
