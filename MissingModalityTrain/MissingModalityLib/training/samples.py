"""Training samples: which patch of which case, which modalities of it the network may see."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from torch.utils.data import Dataset

from ..core.modalities import SUBSETS, Subset, availability
from ..imaging.cache import CachedCase
from . import augmentation
from .settings import Settings, named_subsets
from .subset_weights import subset_weights


@dataclass(frozen=True)
class PatchChoice:
    """Which part of a case is a sample.

    Attributes:
        start: first voxel (z, y, x) of the patch in the case's brain box; may be negative.
        subset: the modalities the network sees.
        teacher: the modalities a teacher sees: ``subset`` and one more, if the case has more.
    """

    start: tuple[int, int, int]
    subset: Subset
    teacher: Subset


def choose_patch(case: CachedCase, settings: Settings, random: np.random.Generator) -> PatchChoice:
    """Draw a patch and its subsets, among the subsets that the settings and the case allow.

    Args:
        case: the case to cut from; its tumor is looked up only where a patch shall lie around it.
        settings: ``patch_size``, ``oversample_foreground``, ``training_subsets`` and ``subset_weights`` are
            read.
        random: source of all choices.
    """
    size, shape = np.array(settings.patch_size), np.array(case.shape)
    tumor = case.tumor_voxels() if random.random() < settings.oversample_foreground else np.empty((0, 4))
    if len(tumor):
        # a class first, so that a small one (enhancing tumor, say) is met as often as a large one
        cls = random.choice(np.unique(tumor[:, 0]))
        center = random.choice(tumor[tumor[:, 0] == cls])[1:]
        # the voxel falls into the middle half, so the network sees a quarter of the patch around it at least
        start = center - random.integers(size // 4, size - size // 4)
    else:
        start = random.integers(np.minimum(0, shape - size), np.maximum(0, shape - size) + 1)
    # a patch hanging over the brain box wastes its voxels; one larger than the box must hold all of it
    start = np.clip(start, np.minimum(0, shape - size), np.maximum(0, shape - size))
    subset = _draw_subset(possible_subsets(case, settings), settings, random)
    others = sorted(set(case.subset) - set(subset))
    more = (others[random.integers(len(others))],) if others else ()
    return PatchChoice(tuple(int(value) for value in start), subset, tuple(sorted((*subset, *more))))


def possible_subsets(case: CachedCase, settings: Settings) -> list[Subset]:
    """The subsets to train for that a case has all modalities of."""
    wanted = named_subsets(settings.training_subsets) or SUBSETS
    return [subset for subset in wanted if set(subset) <= set(case.subset)]


def _draw_subset(possible: Sequence[Subset], settings: Settings, random: np.random.Generator) -> Subset:
    by_subset = subset_weights(settings.subset_weights)
    weights = np.array([by_subset[subset] for subset in possible])
    if np.all(weights == weights[0]):  # drawn as before there were weights, so that runs resume to the bit
        return possible[random.integers(len(possible))]
    return possible[random.choice(len(possible), p=weights / weights.sum())]


def _draw_other(case: CachedCase, first: Subset, settings: Settings, random: np.random.Generator) -> Subset:
    """Another subset than the first one, if the settings and the case allow another."""
    possible = possible_subsets(case, settings)
    return _draw_subset([subset for subset in possible if subset != first] or possible, settings, random)


class PatchDataset(Dataset):
    """Patches of an epoch. Sample ``index`` of epoch e depends on (seed, e, index) and on nothing else.

    Args:
        cases: prepared or synthetic training cases.
        settings: of the stage.
        seed: whole numbers that tell this run and stage from others.
        epoch: counts from 0.
        cut: whether samples hold their crops, or only say where these are to be cut.
        placed: whether samples say where in the case they lie, for networks that read it.
    """

    def __init__(
        self,
        cases: Sequence[CachedCase],
        settings: Settings,
        seed: Sequence[int],
        epoch: int,
        cut: bool = True,
        placed: bool = True,
    ) -> None:
        self.cases = cases
        self.cut = cut
        self.placed = placed
        self.settings = settings
        self.shows_all = epoch < settings.all_modalities_epochs
        self.entropy = (*seed, epoch)
        orders = {"endless": self._endless_order, "per-epoch": self._order_of_epoch}
        self.order = orders[settings.case_order](seed, epoch)

    def __len__(self) -> int:
        return self.settings.iterations_per_epoch * self.settings.batch_size

    def _endless_order(self, seed: Sequence[int], epoch: int) -> np.ndarray:
        """The epoch's part of one sequence of permutations, so that no case is seen twice more than another.

        Each permutation depends on the seed and its number, as though the epochs before had not been.
        """
        cases, first = len(self.cases), epoch * len(self)
        begun, over = first // cases, -(-(first + len(self)) // cases)
        rounds = [np.random.default_rng((*seed, number)).permutation(cases) for number in range(begun, over)]
        return np.concatenate(rounds)[first - begun * cases :][: len(self)]

    def _order_of_epoch(self, seed: Sequence[int], epoch: int) -> np.ndarray:
        order = np.random.default_rng((*seed, epoch))
        rounds = -(-len(self) // len(self.cases))
        return np.concatenate([order.permutation(len(self.cases)) for _ in range(rounds)])

    def __getitem__(self, index: int) -> dict[str, Any]:
        """One sample.

        Returns:
            ``image`` (4, d, h, w) float32 and ``label`` (d, h, w) uint8, or ``start`` (3,) int64, the first
            voxel of a crop that is not cut; ``present``, what the case has, ``available``, what the network
            may fuse, ``teacher``, one modality more, and ``other``, a second subset, all (4,) bool;
            if ``placed``, ``place`` (3,) int64, the crop's first voxel counted from the middle of the box;
            ``augmentation``, what :func:`augmentation.apply` will do; ``case``, its number in ``cases``.
        """
        number = int(self.order[index])
        case = self.cases[number]
        # from 1, because a 0 at the end of a seed changes nothing: the order would be drawn alike
        random = np.random.default_rng((*self.entropy, index + 1))
        choice = choose_patch(case, self.settings, random)
        if self.shows_all:  # after the draws, so that crop and augmentation are those of any other epoch
            choice = replace(choice, subset=case.subset, teacher=case.subset)
        drawn = augmentation.draw(self.settings.augmentation, random)
        # drawn last, so that all else is as before there was a second subset: runs resume to the bit
        other = _draw_other(case, choice.subset, self.settings, random)
        if self.cut:
            crop = dict(
                zip(("image", "label"), case.crop(choice.start, self.settings.patch_size), strict=True)
            )
        else:
            crop = {"start": np.array(choice.start)}
        if self.placed:
            crop["place"] = np.array(choice.start) - np.array(case.shape) // 2
        return {
            **crop,
            "available": np.array(availability(choice.subset)),
            "teacher": np.array(availability(choice.teacher)),
            "other": np.array(availability(other)),
            "present": np.array(availability(case.subset)),
            "augmentation": drawn,
            "case": number,
        }


def steps_of_rank(settings: Settings, rank: int, world: int) -> Iterator[range]:
    """The sample indices of each step that fall to one of several processes; together they are the batch."""
    share = settings.batch_size // world
    for step in range(settings.iterations_per_epoch):
        first = step * settings.batch_size + rank * share
        yield range(first, first + share)
