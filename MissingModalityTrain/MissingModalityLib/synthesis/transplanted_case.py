"""Cases with tumors transplanted from donors, put together crop by crop (AEM+KD, Eq. 3)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..core.errors import CaseError
from ..core.modalities import MODALITIES
from ..imaging.boxes import Box, shared_part
from ..imaging.cache import CachedCase
from ..imaging.tumor_sample import sample_tumor
from .options import SynthesisOptions
from .synthetic_case import SyntheticCase
from .transplant import centered, fuse_labels, transplant
from .tumor_cache import CachedTumor
from .tumor_transform import TumorTransform

# A brain fills about half of its box, so this many misses in a row mean that there is none.
_MAX_DRAWS = 1000


@dataclass(frozen=True)
class Graft:
    """A tumor and its place in a recipient.

    Attributes:
        tumor: as it was cut from the donor.
        start: voxel (z, y, x) of the recipient's box where the transformed tumor's box begins; may be
            negative.
        shape: (d, h, w) of the transformed tumor's box.
        transform: scaling, rotation and mirroring; None for the tumor as it is.
    """

    tumor: CachedTumor
    start: tuple[int, int, int]
    shape: tuple[int, int, int]
    transform: TumorTransform | None

    @classmethod
    def draw(
        cls,
        recipient: CachedCase,
        tumor: CachedTumor,
        options: SynthesisOptions,
        random: np.random.Generator,
    ) -> Graft:
        """Draw the place and the transform that ``options`` allow."""
        # drawn before the place: the order of draws is part of what a seed means
        transform = TumorTransform.sample(options, random)
        shape = transform.shape(tumor.shape) if transform else tumor.shape
        if options.placement == "random":
            middle = _brain_voxel(recipient, random)
        else:
            offset = centered(recipient.shape, tumor.donor.shape)
            middle = np.add(offset, tumor.start) + np.array(tumor.shape) // 2
        start = middle - np.array(shape) // 2
        return cls(tumor, tuple(start.tolist()), shape, transform)

    def shared(self, box: Box) -> tuple[Box, Box] | None:
        """The intersection with a box of the recipient: slices of that box and of its own, or None."""
        start = [own - edge.start for own, edge in zip(self.start, box, strict=True)]
        return shared_part(start, self.shape, [edge.stop - edge.start for edge in box])

    def label(self, part: Box) -> Tensor:
        """Classes of a part of its box, (d, h, w) uint8."""
        if self.transform is None:
            return self.tumor.label(part)
        return self.transform.apply(None, self.tumor.label(self.tumor.box), part)[1]

    def read(self, part: Box) -> tuple[Tensor, Tensor]:
        """Values (C, d, h, w) float32 and label (d, h, w) uint8 of a part of its box."""
        if self.transform is None:
            return self.tumor.values(part), self.tumor.label(part)
        whole = self.tumor.box
        return self.transform.apply(self.tumor.values(whole), self.tumor.label(whole), part)


@dataclass(frozen=True)
class TransplantedCase(SyntheticCase):
    """X_AB = X_A + T_B, labels fused by priority; the recipient keeps his own tumor.

    Attributes:
        grafts: one for each tumor added.
        clip_to_brain: whether tumors end where the recipient's brain does.
    """

    grafts: tuple[Graft, ...]
    clip_to_brain: bool

    @classmethod
    def draw(
        cls,
        name: str,
        recipient: CachedCase,
        tumors: Sequence[CachedTumor],
        options: SynthesisOptions,
        random: np.random.Generator,
    ) -> TransplantedCase:
        """Draw place and transform of every tumor as ``options`` allow."""
        grafts = tuple(Graft.draw(recipient, tumor, options, random) for tumor in tumors)
        shared = set(recipient.subset).intersection(*(tumor.donor.subset for tumor in tumors))
        return cls(name, recipient, tuple(sorted(shared)), grafts, options.clip_to_brain)

    def crop(self, start: Iterable[int], size: Iterable[int]) -> tuple[np.ndarray, np.ndarray]:
        """As :meth:`CachedCase.crop`."""
        start, size = tuple(start), tuple(size)
        image, label = self.recipient.crop(start, size)
        # a crop may hang over the recipient's grid, and no tumor goes there
        inside = shared_part(start, size, self.shape)
        if inside:
            box, part = inside
            volumes, classes = torch.from_numpy(image)[(slice(None), *part)], torch.from_numpy(label)[part]
            for graft in self.grafts:
                shared = graft.shared(box)
                if shared:
                    place = [edge.start for edge in shared[0]]
                    transplant(volumes, classes, *graft.read(shared[1]), place, self.clip_to_brain)
        # last, so that what a donor's file holds in a modality that others lack does not show
        image[[modality for modality in MODALITIES if modality not in self.subset]] = 0
        return image, label

    def tumor_voxels(self) -> np.ndarray:
        """As :meth:`CachedCase.tumor_voxels`; of the recipient and of every graft, with the fused classes."""
        rows = self.recipient.tumor_voxels()
        for graft in self.grafts:
            shared = shared_part(graft.start, graft.shape, self.shape)
            if shared is None:
                continue
            box, _ = shared
            low, high = np.array([(edge.start, edge.stop) for edge in box]).T
            outside = ((rows[:, 1:] < low) | (rows[:, 1:] >= high)).any(axis=1)
            fused = sample_tumor(self._label(box))
            fused[:, 1:] += low.astype(np.int16)
            rows = np.concatenate([rows[outside], fused])
        return rows

    def _label(self, box: Box) -> np.ndarray:
        """Fused classes of a box inside the grid, (d, h, w) uint8."""
        if self.clip_to_brain:
            return self.crop([edge.start for edge in box], [edge.stop - edge.start for edge in box])[1]
        # without clipping images decide nothing, and labels are a ninth of the bytes of a full case
        label = torch.from_numpy(self.recipient.label(box))
        for graft in self.grafts:
            shared = graft.shared(box)
            if shared:
                place, part = shared
                label[place] = fuse_labels(label[place], graft.label(part))
        return label.numpy()

    def describe(self) -> dict[str, Any]:
        """Names of the cases, and place and transform (``changes``) of every tumor."""
        return {
            "recipient": self.recipient.name,
            "donors": [graft.tumor.donor.name for graft in self.grafts],
            "starts": [graft.start for graft in self.grafts],
            "changes": [graft.transform and graft.transform.rows for graft in self.grafts],
        }


def _brain_voxel(case: CachedCase, random: np.random.Generator) -> np.ndarray:
    """A random voxel (z, y, x) that is brain in any modality."""
    for _ in range(_MAX_DRAWS):
        voxel = random.integers(case.shape)
        image, _ = case.crop(voxel.tolist(), (1, 1, 1))
        if image.any():
            return voxel
    raise CaseError(f"Case '{case.name}' has hardly any brain in its volumes. Check them, or leave it out.")
