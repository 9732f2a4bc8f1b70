"""Training samples: which crop of which case, which modalities of it the network may see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch.utils.data import Dataset

from ..cache import CachedCase
from ..modalities import SUBSETS, Subset, availability
from .augmentation import Augmentation
from .settings import Settings


@dataclass(frozen=True)
class CropChoice:
    """Everything random about a sample but its augmentation, so that it can be replayed.

    Attributes:
        start: first voxel (z, y, x) of the crop in the case's brain box; may be negative.
        subset: the modalities the network sees, drawn uniformly from the subsets of those the case has.
    """

    start: tuple[int, int, int]
    subset: Subset


def choose_crop(
    case: CachedCase, tumor: np.ndarray, settings: Settings, random: np.random.Generator
) -> CropChoice:
    """Draw a crop and a subset.

    Args:
        case: the case to cut from.
        tumor: (m, 4) rows (class, z, y, x), see :meth:`CachedCase.tumor_voxels`.
        settings: ``crop`` and ``foreground`` are read.
        random: source of all choices.
    """
    crop, shape = np.array(settings.crop), np.array(case.shape)
    if len(tumor) and random.random() < settings.foreground:
        cls = random.choice(np.unique(tumor[:, 0]))
        center = random.choice(tumor[tumor[:, 0] == cls])[1:]
        start = center - random.integers(crop // 4, crop - crop // 4)
    else:
        start = random.integers(np.minimum(0, shape - crop), np.maximum(0, shape - crop) + 1)
    # a crop hanging over the brain box wastes its voxels; one larger than the box must hold all of it
    start = np.clip(start, np.minimum(0, shape - crop), np.maximum(0, shape - crop))
    possible = [subset for subset in SUBSETS if set(subset) <= set(case.subset)]
    subset = possible[random.integers(len(possible))]
    return CropChoice(tuple(int(value) for value in start), subset)


class Samples(Dataset):
    """Crops of an epoch. Sample ``index`` of epoch e depends on (seed, e, index) and on nothing else.

    Args:
        cases: prepared training cases.
        settings: of the stage.
        seed: of the run.
        epoch: counts from 0.
    """

    def __init__(self, cases: Sequence[CachedCase], settings: Settings, seed: int, epoch: int) -> None:
        self.cases = cases
        self.settings = settings
        self.entropy = (seed, epoch)
        self.augmentation = Augmentation(settings.augmentation)
        order = np.random.default_rng(self.entropy)
        rounds = -(-len(self) // len(cases))
        self.order = np.concatenate([order.permutation(len(cases)) for _ in range(rounds)])

    def __len__(self) -> int:
        return self.settings.iterations * self.settings.batch

    def __getitem__(self, index: int) -> dict[str, Any]:
        """``image`` (4, d, h, w) float32, ``label`` (d, h, w) uint8, ``available`` and ``present`` (4,) bool.

        ``present``: what the case has; ``available``: what the network may fuse.
        """
        case = self.cases[self.order[index]]
        random = np.random.default_rng((*self.entropy, index))
        choice = choose_crop(case, case.tumor_voxels(), self.settings, random)
        image, label = case.crop(choice.start, self.settings.crop)
        image, label = self.augmentation(image, label, int(random.integers(2**31)))
        return {
            "image": np.ascontiguousarray(image),
            "label": np.ascontiguousarray(label),
            "available": np.array(availability(choice.subset)),
            "present": np.array(availability(case.subset)),
        }
