"""Answers for windows that overlap, blended into one for the whole image.

The sums of ``monai.inferers.sliding_window_inference``, to the bit, and nothing else of MONAI, whose import
takes two seconds and 0.1 GB: a tenth of what a case from files takes.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from .windows import window_starts

_WIDTH = 0.125
"""Standard deviation of the Gaussian, as a share of the window: MONAI's and nnU-Net's."""

_LEAST_WEIGHT = 1e-3
"""What corners count at least, where sums of smaller weights would be rounded."""


def blend_windows(
    image: Tensor,
    window: Sequence[int],
    overlap: float,
    blending: str,
    predict: Callable[[Tensor, tuple[int, ...]], Iterable[Tensor]],
    answers: int,
    mirror: Sequence[int] = (),
) -> Tensor:
    """The weighted mean of what windows tell of each voxel, for one question or several.

    Args:
        image: (1, C, D, H, W); zeros are put around one that is smaller than a window, the smaller half
            before it.
        window: (d, h, w) voxels.
        overlap: fraction shared by neighboring windows, 0 to below 1.
        blending: one of :data:`.card.BLENDINGS`: weights fall from a window's middle as a Gaussian, or all
            count alike.
        predict: called with a window (1, C, d, h, w) and its first voxel (z, y, x) in the image, below 0
            where zeros were put, of a mirrored window in the image mirrored likewise; gives its answers one
            after the other, each (1, K, d, h, w), which is changed. To join them first would take a copy of
            all.
        answers: how many ``predict`` gives.
        mirror: axes, 0 to 2, along which every other window is mirrored before it is predicted, and its
            answers back. Where windows overlap the mean is then one over mirrored ones too, at no further
            window.

    Returns:
        (answers, K, D, H, W).
    """
    shape = image.shape[2:]
    lacking = [max(width - side, 0) for width, side in zip(window, shape, strict=True)]
    before = [missing // 2 for missing in lacking]
    margins = [(first, missing - first) for first, missing in zip(before, lacking, strict=True)]
    sides = [side for pair in reversed(margins) for side in pair]
    padded = F.pad(image, sides) if any(sides) else image  # which would be copied whole
    weights = _weights(window, blending)
    total = torch.zeros(1, 1, *padded.shape[2:])
    blended: Tensor | None = None
    axes = (window_starts(*along, overlap) for along in zip(padded.shape[2:], window, strict=True))
    for numbered in itertools.product(*map(enumerate, axes)):
        order, start = zip(*numbered, strict=True)
        flipped = [axis - 3 for axis in mirror if order[axis] % 2]
        place = (..., *(slice(first, first + width) for first, width in zip(start, window, strict=True)))
        first = [a - b for a, b in zip(start, before, strict=True)]
        for axis in flipped:  # what it shows lies on the other side then
            first[axis] = shape[axis] - first[axis] - window[axis]
        for number, answer in enumerate(predict(_flip(padded[place], flipped), tuple(first))):
            if blended is None:
                blended = torch.zeros(answers, *answer.shape[1:2], *padded.shape[2:])
            # the weights are symmetric
            blended[number][place] += _flip(answer[0].mul_(weights), flipped)
        total[place] += weights
    blended /= total
    return blended[(..., *(slice(first, first + side) for first, side in zip(before, shape, strict=True)))]


def _flip(values: Tensor, axes: Sequence[int]) -> Tensor:
    return values.flip(axes) if axes else values  # which would copy too


def _weights(window: Sequence[int], blending: str) -> Tensor:
    """(d, h, w) float32 of the voxels of a window."""
    if blending == "mean":
        return torch.ones(*window)
    along_z, along_y, along_x = (
        torch.exp(torch.arange(-(side - 1) / 2, (side - 1) / 2 + 1) ** 2 / (-2 * (_WIDTH * side) ** 2))
        for side in window
    )
    weights = along_z[:, None, None] * along_y[:, None] * along_x
    return weights.clamp(min=max(weights.min().item(), _LEAST_WEIGHT))
