"""Cases with tumors grown from label maps: the recipient healed, then a tumor in place of its tissue."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from ..core import strict_json
from ..core.errors import CaseError
from ..core.modalities import MODALITIES
from ..imaging.boxes import Box, shared_part
from ..imaging.cache import CachedCase, stored, write_arrays
from ..imaging.tumor_sample import sample_tumor
from .synthetic_case import SyntheticCase


@dataclass(frozen=True)
class Patch:
    """A box of a case whose voxels are replaced, on disk.

    The file holds ``image`` (C, d, h, w) float16, as prepared cases do, ``label`` (d, h, w) uint8 and
    ``tumor``, see :func:`sample_tumor`.

    Attributes:
        path: the safetensors file.
        start: first voxel (z, y, x) in the case.
        shape: (d, h, w).
        facts: what the file says of how it was made.
    """

    path: Path
    start: tuple[int, ...]
    shape: tuple[int, ...]
    facts: dict[str, Any]

    @classmethod
    def write(
        cls,
        path: Path,
        image: np.ndarray,
        label: np.ndarray,
        box: Box,
        facts: dict[str, Any],
        more: Mapping[str, np.ndarray] | None = None,
    ) -> Patch:
        """Write arrays of a box, whole or not at all.

        Args:
            path, image, label, facts: as the attributes and the file.
            box: of the case.
            more: further arrays, which :meth:`array` reads.

        Raises:
            CaseError: it cannot be written.
        """
        start = [part.start for part in box]
        rows = sample_tumor(label)
        rows[:, 1:] += np.array(start, np.int16)
        arrays = {"image": image.astype(np.float16), "label": label, "tumor": rows, **(more or {})}
        write_arrays(path, arrays, {"start": strict_json.dumps(start), "facts": strict_json.dumps(facts)})
        return cls(path, tuple(start), label.shape, strict_json.loads(strict_json.dumps(facts)))

    @classmethod
    def open(cls, path: Path) -> Patch | None:
        """The patch in a file, or None when it is absent or damaged."""
        found = stored(path)
        if found is None:
            return None
        header, shape = found
        return cls(path, tuple(strict_json.loads(header["start"])), shape, strict_json.loads(header["facts"]))

    @property
    def box(self) -> Box:
        """The voxels of the case."""
        return tuple(slice(first, first + size) for first, size in zip(self.start, self.shape, strict=True))

    def lay_over(self, image: np.ndarray, label: np.ndarray, start: tuple[int, ...]) -> None:
        """Replace what a crop shares with the box.

        Args:
            image: (C, d, h, w), changed.
            label: (d, h, w), changed.
            start: of the crop in the case.
        """
        offset = [own - first for own, first in zip(self.start, start, strict=True)]
        shared = shared_part(offset, self.shape, label.shape)
        if shared is None:
            return
        place, part = shared
        image[(slice(None), *place)] = self._read("image", (slice(None), *part))
        label[place] = self._read("label", part)

    def tumor_voxels(self) -> np.ndarray:
        """(m, 4) int16 rows (class, z, y, x) in the case."""
        return self._read("tumor", ())

    def array(self, name: str) -> np.ndarray:
        """One of the further arrays, as it was written."""
        return self._read(name, ())

    def _read(self, name: str, part: tuple[slice, ...]) -> np.ndarray:
        try:
            with safe_open(self.path, "np") as file:
                return file.get_slice(name)[part] if part else file.get_tensor(name)
        except (SafetensorError, OSError) as error:
            raise CaseError(
                f"{self.path}: a grown tumor can no longer be read ({error}). Start the same job again, "
                "which grows it anew."
            ) from error


@dataclass(frozen=True)
class GrownTumorCase(SyntheticCase):
    """The recipient, its own tumor healed, with a tumor grown in it; z-scored anew, as its scan would be.

    Attributes:
        healed: the healed part of the recipient, empty where it had no tumor.
        grown: the tumor and the tissue that it pushes aside.
        scale, shift: (C,) of each sequence, that bring the brain to mean 0 and standard deviation 1.
        look: the training case whose tumor it looks like most.
    """

    healed: Patch
    grown: Patch
    scale: tuple[float, ...]
    shift: tuple[float, ...]
    look: CachedCase

    @classmethod
    def opened(
        cls, name: str, recipient: CachedCase, healed: Patch, grown: Patch, look: CachedCase
    ) -> GrownTumorCase:
        """A case whose tumor has been grown."""
        facts = grown.facts
        subset = tuple(modality for modality in MODALITIES if modality.name in facts["subset"])
        return cls(name, recipient, subset, healed, grown, tuple(facts["scale"]), tuple(facts["shift"]), look)

    def crop(self, start: Iterable[int], size: Iterable[int]) -> tuple[np.ndarray, np.ndarray]:
        """As :meth:`CachedCase.crop`."""
        start, size = tuple(start), tuple(size)
        image, label = self.healed_crop(start, size)
        self.grown.lay_over(image, label, start)
        for modality, volume in zip(MODALITIES, image, strict=True):
            if modality not in self.subset:
                volume[:] = 0
                continue
            brain = volume != 0
            volume *= np.float32(self.scale[modality])
            volume += np.float32(self.shift[modality]) * brain
        return image, label

    def healed_crop(self, start: tuple[int, ...], size: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        """As :meth:`CachedCase.crop`; of the recipient before the tumor was grown."""
        image, label = self.recipient.crop(start, size)
        self.healed.lay_over(image, label, start)
        return image, label

    def tumor_voxels(self) -> np.ndarray:
        """As :meth:`CachedCase.tumor_voxels`; of the grown tumor alone."""
        return self.grown.tumor_voxels()

    def describe(self) -> dict[str, Any]:
        """Names of recipient, label map and training tumors, and all that was drawn."""
        facts = {key: value for key, value in self.grown.facts.items() if key not in ("scale", "shift")}
        return {"recipient": self.recipient.name, **facts}
