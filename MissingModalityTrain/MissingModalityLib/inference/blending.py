"""Answers of overlapping windows, blended into one of the whole image.

As MONAI's inferer gives them, to the bit (``Testing/inference/test_blending.py``). That one cannot be
imported without all else of MONAI: 1.9 CPU seconds on an AMD EPYC, as many as a case takes, and 0.11 GB.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import reduce
from itertools import product

import torch
from torch import Tensor
from torch.nn import functional as F

from .windows import window_starts

_SIGMA = 0.125
"""Of the bell over a window, as a share of its side; as nnU-Net (Isensee et al., Nature Methods 18, 2021)."""

_LEAST_WEIGHT = 1e-3


def blend(
    image: Tensor, size: Sequence[int], overlap: float, blending: str, predict: Callable[[Tensor], Tensor]
) -> Tensor:
    """What a network answers for windows, each voxel the weighted mean of the windows that hold it.

    Args:
        image: (1, C, D, H, W); where it is smaller than a window, zeros surround it.
        size: (d, h, w) of a window.
        overlap: share of neighboring windows, 0 to below 1.
        blending: one of :data:`.card.BLENDINGS`: weights that fall off to the sides, or one for all.
        predict: (1, C, d, h, w) -> (1, K, d, h, w), which may be written to.

    Returns:
        (1, K, D, H, W).
    """
    short = [max(0, width - side) for width, side in zip(size, image.shape[2:], strict=True)]
    before = [lack // 2 for lack in short]
    padding = zip(reversed(before), reversed(short), strict=True)
    padded = F.pad(image, [part for first, lack in padding for part in (first, lack - first)])
    weight = _bell(size) if blending == "gaussian" else torch.ones(tuple(size))
    weights, total = torch.zeros(padded.shape[2:]), None
    for box in _boxes(padded.shape[2:], size, overlap):
        answer = predict(padded[box]).mul_(weight)
        if total is None:
            total = torch.zeros(1, answer.shape[1], *padded.shape[2:])
        total[box] += answer
        weights[box[2:]] += weight
    total /= weights
    inside = (slice(first, first + side) for first, side in zip(before, image.shape[2:], strict=True))
    return total[(..., *inside)]


def _boxes(shape: Sequence[int], size: Sequence[int], overlap: float) -> Iterator[tuple[slice, ...]]:
    """Of all windows, with slices for batch and channels."""
    starts = (window_starts(side, width, overlap) for side, width in zip(shape, size, strict=True))
    for corner in product(*starts):
        inside = (slice(start, start + width) for start, width in zip(corner, size, strict=True))
        yield (slice(None), slice(None), *inside)


def _bell(size: Sequence[int]) -> Tensor:
    """(d, h, w) weights, 1 in the middle."""
    sides = []
    for side in size:
        places = torch.arange(side, dtype=torch.float32) - (side - 1) / 2
        sides.append(torch.exp(places**2 / (-2 * (_SIGMA * side) ** 2)))
    bell = reduce(lambda weight, line: weight[..., None] * line, sides)
    return bell.clamp_(min=max(bell.min().item(), _LEAST_WEIGHT))
