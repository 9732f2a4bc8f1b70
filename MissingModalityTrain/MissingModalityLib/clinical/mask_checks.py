"""Whether masks of a brain can be right: their volume, and how far those of one patient agree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
import SimpleITK as sitk

from ..core.modalities import Modality
from ..imaging import plausibility
from ..imaging.grid import Grid

TRUSTED = (Modality.T1CE, Modality.T1, Modality.FLAIR, Modality.T2)
"""Whose mask is kept where two disagree and both or neither end at a face of their volume.

That of T1, which deepbet learned from (Fisch et al. 2024). In a volume that ends inside the head it may take
the neck for brain.
"""

SMALLEST_AGREEMENT = 0.85
"""Dice of two masks of one brain below which one is wrong, or the volumes are not in one space.

Of glioma patients masks of different sequences reach 0.95; of one who moved between them, right ones 0.79 to
0.94.
"""

MM3_PER_CM3 = 1000

_EVERY_VOXEL = 17
"""One of so many, a prime so that rows are not met at one place, tells a share to a hundredth."""

_HALF = 0.5


def volume_mm3(mask: sitk.Image) -> float:
    """Of the voxels that are not 0."""
    return float(np.count_nonzero(sitk.GetArrayViewFromImage(mask)) * np.prod(mask.GetSpacing()))


def implausible_volume(mask: sitk.Image) -> str | None:
    """Why a mask is no brain's by its volume, as "it has 12 cm³", or None where it may be one.

    Part of a brain, in a volume that ends inside the head, may be small.
    """
    found = volume_mm3(mask)
    whole = not _reaches_face(sitk.GetArrayViewFromImage(mask))
    smallest = plausibility.SMALLEST_BRAIN_MM3 if whole else plausibility.SMALLEST_PART_MM3
    if smallest <= found <= plausibility.LARGEST_BRAIN_MM3 and found > 0:
        return None
    return f"it has {found / MM3_PER_CM3:.0f} cm³, and brains have {_brains()}"


def implausible_masks(
    masks: Mapping[Modality, sitk.Image], sure: Sequence[Modality] = ()
) -> dict[Modality, str]:
    """Masks that are no brain's by their volume, or do not fit the others of the same head.

    Those of :func:`partial_masks` are not compared: the networks know whole heads and may take a slab's neck
    for brain.

    Args:
        masks: by sequence, each on its own grid in one space.
        sure: sequences whose masks are right.

    Returns:
        Sequence -> why, in words that follow "because".
    """
    reasons = {}
    for modality, mask in masks.items():
        reason = None if modality in sure else implausible_volume(mask)
        if reason:
            reasons[modality] = reason
    left = {modality: mask for modality, mask in masks.items() if modality not in reasons}
    parts = partial_masks(left) - set(sure)
    whole = {modality: mask for modality, mask in left.items() if modality not in parts}
    for modality, best in _disagreeing(whole, sure).items():
        reasons[modality] = (
            f"it hardly agrees with the brain in the other volumes (Dice {best:.2f}), as where it is wrong "
            "or the head has moved"
        )
    return reasons


def partial_masks(masks: Mapping[Modality, sitk.Image]) -> set[Modality]:
    """Sequences whose volume ends inside the brain, which another one shows more of.

    Args:
        masks: by sequence, each on its own grid in one space.
    """
    return {
        one
        for one, mask in masks.items()
        if _reaches_face(sitk.GetArrayViewFromImage(mask))
        and any(_shows_less(mask, other) for name, other in masks.items() if name is not one)
    }


def _shows_less(one: sitk.Image, other: sitk.Image) -> bool:
    """Whether the field of view of ``one`` lacks much of the other's brain, and more than the reverse."""
    share = _shown(other, one)
    return share < plausibility.DOUBTFUL_OVERLAP and share < _shown(one, other)


def _shown(mask: sitk.Image, volume: sitk.Image) -> float:
    """Share of a mask that lies in the field of view of a volume; 1 of an empty one."""
    array = sitk.GetArrayViewFromImage(mask)
    inside = np.flatnonzero(array)[::_EVERY_VOXEL]
    if not inside.size:
        return 1.0
    voxels = np.stack(np.unravel_index(inside, array.shape)[::-1], axis=1)
    return float(Grid.from_image(volume).covers(Grid.from_image(mask).points(voxels)).mean())


def _disagreeing(masks: Mapping[Modality, sitk.Image], sure: Sequence[Modality]) -> dict[Modality, float]:
    """Masks unlike the others, and their highest Dice with one of them.

    One after the other, the mask that is least like the rest is taken out, until each one left is like
    another one; of two that differ, the one that is cut off goes, or else the less trusted one.
    """
    alike = {frozenset(pair): dice(*map(masks.get, pair)) for pair in combinations(masks, 2)}
    whole = {one: not _reaches_face(sitk.GetArrayViewFromImage(mask)) for one, mask in masks.items()}
    left, found = set(masks), {}
    while len(left) > 1:
        best = {one: max(alike[frozenset((one, other))] for other in left - {one}) for one in left}
        doubtful = [one for one in left - set(sure) if best[one] < SMALLEST_AGREEMENT]
        if not doubtful:
            break
        worst = min(doubtful, key=lambda one: (best[one], whole[one], -TRUSTED.index(one)))
        found[worst] = best[worst]
        left.remove(worst)
    return found


def on_grid(mask: sitk.Image, grid: Grid) -> np.ndarray:
    """A mask on another grid, (D, H, W) bool: voxels of which half or more is inside, interpolated."""
    return (
        sitk.GetArrayFromImage(grid.resample(sitk.Cast(mask, sitk.sitkFloat32), sitk.sitkLinear, 0)) >= _HALF
    )


def dice(one: sitk.Image, other: sitk.Image) -> float:
    """Overlap on the grid of the first, where the second has voxels; 1 where neither has any brain there."""
    grid = Grid.from_image(one)
    covered = on_grid(other * 0 + 1, grid)
    first, second = sitk.GetArrayFromImage(one).astype(bool) & covered, on_grid(other, grid)
    total = np.count_nonzero(first) + np.count_nonzero(second)
    return 2 * np.count_nonzero(first & second) / total if total else 1.0


def _brains() -> str:
    limits = (plausibility.SMALLEST_BRAIN_MM3, plausibility.LARGEST_BRAIN_MM3)
    return " to ".join(f"{limit / MM3_PER_CM3:.0f}" for limit in limits) + " cm³"


def _reaches_face(mask: np.ndarray) -> bool:
    return any(np.take(mask, end, axis).any() for axis in range(mask.ndim) for end in (0, -1))
