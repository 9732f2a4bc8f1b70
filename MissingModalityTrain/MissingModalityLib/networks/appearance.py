"""How a modality looks, apart from what it shows: codes of appearance, and images made with them.

Chen et al., MICCAI 2019, after Huang et al., "Multimodal unsupervised image-to-image translation", ECCV 2018:
instance normalization whose scales and shifts come from the code puts an appearance onto a content.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..core.errors import OptionError
from .rfnet_blocks import upsample

CODE = 8
"""Numbers that an appearance is told by, as in the paper."""

_BLOCKS = 4
_EPSILON = 1e-5


class AppearanceEncoder(nn.Module):
    """An image (n, 1, D, H, W) -> its code (n, 8), from means over the whole image.

    Args:
        width: of the network; 16 in the paper.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        widths = (2 * width, 4 * width, 8 * width, 8 * width, 8 * width)
        self.entry = _convolution(1, widths[0], 7)
        self.down = nn.ModuleList(
            nn.Conv3d(fewer, more, 4, 2, padding=1, padding_mode="reflect")
            for fewer, more in pairwise(widths)
        )
        self.code = nn.Linear(widths[-1], CODE)

    def forward(self, x: Tensor) -> Tensor:
        x = self.entry(x).relu()
        for down in self.down:
            x = down(x).relu()
        return self.code(x.mean((2, 3, 4)))


class ImageDecoder(nn.Module):
    """Content of the coarsest level and the appearance of a modality -> its image.

    Args:
        width: of the network; 16 in the paper.
        voxel_norm_side: see :class:`LayerNorm`.
    """

    def __init__(self, width: int, voxel_norm_side: int) -> None:
        super().__init__()
        inner = 8 * width
        self.code = nn.ModuleList((nn.Linear(CODE, inner), nn.Linear(inner, inner)))
        self.scale, self.shift = nn.Linear(inner, inner), nn.Linear(inner, inner)
        self.blocks = nn.ModuleList(AppearanceBlock(inner) for _ in range(_BLOCKS))
        widths = (inner, 4 * width, 2 * width, width)
        self.lift = nn.ModuleList(map(_convolution, widths[:-1], widths[1:], (5, 5, 5)))
        self.norms = nn.ModuleList(
            LayerNorm(channels, voxel_norm_side // 2 ** (len(widths) - 2 - i))
            for i, channels in enumerate(widths[1:])
        )
        self.last = _convolution(width, 1, 7)

    def looks(self, code: Tensor) -> Tensor:
        """Codes (n, 8) -> scales and shifts of the normalizations side by side (n, 16 width)."""
        for layer in self.code:
            code = layer(code).relu()
        return torch.cat((self.scale(code), self.shift(code)), 1)

    def forward(self, content: Tensor, looks: Tensor) -> Tensor:
        """Content (n, 8 width, d, h, w) and :meth:`looks` -> (n, 1, 8d, 8h, 8w)."""
        x = content
        for block in self.blocks:
            x = block(x, looks)
        for lift, norm in zip(self.lift, self.norms, strict=True):
            x = norm(lift(upsample(x))).relu()
        return self.last(x)


class AppearanceBlock(nn.Module):
    """Two convolutions beside a short cut, each normalized to the appearance."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = _convolution(width, width, 3), _convolution(width, width, 3)

    def forward(self, x: Tensor, looks: Tensor) -> Tensor:
        """(n, C, d, h, w) and (n, 2C) -> (n, C, d, h, w)."""
        return x + _put_on(self.second(_put_on(self.first(x), looks).relu()), looks)


class LayerNorm(nn.Module):
    """Zero mean and unit variance of a sample, then a scale and a shift.

    Args:
        channels: of the maps.
        side: 0 to normalize over channels and voxels, with a scale per channel, for images of any size; or
            the only side of cubes, to normalize each channel, with a scale per voxel as in the public PyTorch
            code.
    """

    def __init__(self, channels: int, side: int = 0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones((side,) * 3 if side else channels))
        self.bias = nn.Parameter(torch.zeros_like(self.weight))

    def forward(self, x: Tensor) -> Tensor:
        """(n, C, D, H, W) -> the same shape.

        Raises:
            OptionError: maps of another side than the weights are for.
        """
        if self.weight.ndim > 1:
            if x.shape[2:] != self.weight.shape:
                raise OptionError(
                    "Setting network.voxel_norm_side: crops have other sides. Set it to the side of "
                    "cubic crops, or to 0."
                )
            return F.layer_norm(x, self.weight.shape, self.weight, self.bias)
        return F.group_norm(x, 1, self.weight, self.bias)


def _put_on(x: Tensor, looks: Tensor) -> Tensor:
    """Adaptive instance normalization: channels (n, C, d, h, w) to scales and shifts (n, 2C)."""
    scale, shift = looks[..., None, None, None].chunk(2, 1)
    variance, mean = torch.var_mean(x, (2, 3, 4), keepdim=True)
    return scale * (x - mean) * (variance + _EPSILON).rsqrt() + shift


def _convolution(inputs: int, outputs: int, kernel: int) -> nn.Conv3d:
    return nn.Conv3d(inputs, outputs, kernel, padding=kernel // 2, padding_mode="reflect")
