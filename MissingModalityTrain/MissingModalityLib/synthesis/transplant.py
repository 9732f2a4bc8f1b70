"""A donor's tumor in a recipient's brain: intensities added (AEM+KD, Eq. 3), labels fused by priority."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import torch
from torch import Tensor

from ..core.labels import NON_ENHANCING, TumorClass
from ..imaging.boxes import shared_part

PRIORITY = (TumorClass.BACKGROUND, TumorClass.ED, NON_ENHANCING, TumorClass.NCR, TumorClass.ET)
"""Where two tumors overlap, the class further right stays (AEM+KD, Sec. 3.2); of the parts of a core, which
the paper does not name, necrosis."""

_NUMBERS = 1 + max(PRIORITY)

# one lookup per voxel in a table, rather than comparing ranks: this runs on every crop
_FUSED = torch.zeros(_NUMBERS, _NUMBERS, dtype=torch.uint8)
for _one, _other in product(PRIORITY, repeat=2):
    _FUSED[_one, _other] = max(_one, _other, key=PRIORITY.index)


def fuse_labels(one: Tensor, other: Tensor) -> Tensor:
    """Two label maps of one shape -> the class of higher priority at every voxel, uint8."""
    return torch.take(_FUSED.to(one.device), one.long() * _NUMBERS + other)


def centered(recipient: Sequence[int], donor: Sequence[int]) -> tuple[int, int, int]:
    """Where the donor's first voxel comes to lie when two grids are laid on each other by their centers.

    Args:
        recipient, donor: (D, H, W) of the two grids.

    Returns:
        Voxels (z, y, x) of the recipient's grid, negative where the donor's is larger.
    """
    larger = [max(pair) for pair in zip(recipient, donor, strict=True)]
    return tuple(
        (most - theirs) // 2 - (most - mine) // 2
        for most, mine, theirs in zip(larger, recipient, donor, strict=True)
    )


def transplant(
    image: Tensor,
    label: Tensor,
    values: Tensor,
    tumor: Tensor,
    start: Sequence[int],
    clip_to_brain: bool = False,
) -> None:
    """X_AB = X_A + T_B and the fused labels, written into the recipient's own arrays.

    The recipient keeps his own tumor. What lies outside of his grid is cut off.

    Args:
        image: (C, D, H, W) floating point of the recipient, 0 outside his brain; changed.
        label: (D, H, W) uint8 of the recipient; changed.
        values: (C, d, h, w) intensities of the tumor, 0 outside of it, on the image's device.
        tumor: (d, h, w) uint8 classes of the tumor.
        start: voxel (z, y, x) of the recipient where the tumor's box begins.
        clip_to_brain: leave out what would lie outside of the recipient's brain.
    """
    shared = shared_part(start, tumor.shape, label.shape)
    if shared is None:
        return
    place, part = shared
    values, tumor = values[(slice(None), *part)], tumor[part]
    target = image[(slice(None), *place)]
    if clip_to_brain:
        brain = (target != 0).any(dim=0)
        values, tumor = values * brain, tumor * brain
    target += values
    label[place] = fuse_labels(label[place], tumor)
