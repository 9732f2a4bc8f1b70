"""Cases of a stage kept whole where the network is: crops are cut there, the host sends only numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ..core.errors import OptionError
from ..core.modalities import MODALITIES, Subset
from ..imaging.boxes import shared_part
from ..imaging.cache import CachedCase

SHARE = 0.25
"""Of the free memory of a GPU, that cases may take unasked: activations and gradients need the rest."""


class _Kept(NamedTuple):
    """A case: image (n, D, H, W) of its n modalities, label (D, H, W) uint8, and these modalities."""

    image: Tensor
    label: Tensor
    subset: Subset


class DeviceCases:
    """Whole cases in the memory of a device.

    Args:
        cases: prepared or synthetic ones.
        device: that they are kept on.

    Raises:
        CaseError: a prepared case has gone or is damaged.
    """

    def __init__(self, cases: Iterable[CachedCase], device: torch.device) -> None:
        self.device = device
        self._cases = [_kept(case, device) for case in cases]

    def cut(
        self, numbers: Sequence[int], starts: Sequence[Sequence[int]], size: Sequence[int]
    ) -> tuple[Tensor, Tensor]:
        """Crops, bit for bit those of :meth:`CachedCase.crop`, as a batch.

        Args:
            numbers: of the cases, as they were given.
            starts: first voxel (z, y, x) of each crop, may be negative.
            size: (d, h, w) of all.

        Returns:
            image (B, C, d, h, w) float32 with zeros in missing channels, label (B, d, h, w) uint8.
        """
        image = torch.zeros((len(numbers), len(MODALITIES), *size), device=self.device)
        label = torch.zeros((len(numbers), *size), dtype=torch.uint8, device=self.device)
        for row, (number, start) in enumerate(zip(numbers, starts, strict=True)):
            case = self._cases[number]
            shared = shared_part(start, size, case.label.shape)
            if shared is None:
                continue
            inside, target = shared
            label[(row, *target)] = case.label[inside]
            if len(case.subset) == len(MODALITIES):
                image[(row, slice(None), *target)] = case.image[(slice(None), *inside)]
                continue
            for channel, modality in enumerate(case.subset):  # a list of them would be sent to a GPU first
                image[(row, modality, *target)] = case.image[(channel, *inside)]
        return image, label


def keep_cases(cases: Sequence[CachedCase], where: str, device: torch.device) -> DeviceCases | None:
    """The cases on ``device``, or None where crops are to be read from the files.

    Args:
        cases: prepared or synthetic ones.
        where: the setting ``case_cache``.
        device: of the network.

    Raises:
        CaseError: a prepared case has gone or is damaged.
        OptionError: the device is asked for, and has too little memory.
    """
    if where == "disk":
        return None
    if device.type == "cuda":
        needed, free = sum(map(_size, cases)), torch.cuda.mem_get_info(device)[0]
        if where == "device" and needed > free:
            raise OptionError(
                f"Setting case_cache=device: the cases take {needed / 2**30:.1f} GiB, and {device} has "
                f"{free / 2**30:.1f} GiB free. Set case_cache=auto."
            )
        fits = where == "device" or needed <= SHARE * free
    else:
        # the system keeps the pages of mapped files in memory, so from memory a crop comes no faster
        fits = where == "device"
    return DeviceCases(cases, device) if fits else None


def _size(case: CachedCase) -> int:
    """Bytes that a case takes at most."""
    number = torch.float16 if isinstance(case, CachedCase) else torch.float32
    return math.prod(case.shape) * (len(case.subset) * number.itemsize + torch.uint8.itemsize)


def _kept(case: CachedCase, device: torch.device) -> _Kept:
    image, label = map(torch.from_numpy, case.crop((0, 0, 0), case.shape))
    image = image[list(case.subset)]
    half = image.half()
    if torch.equal(half.float(), image):  # a prepared case, whose file holds it so; sums of two may need more
        image = half
    return _Kept(image.to(device), label.to(device), case.subset)
