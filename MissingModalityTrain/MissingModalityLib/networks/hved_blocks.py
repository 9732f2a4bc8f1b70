"""Encoders and decoder of U-HVED and U-HeMIS (Dorent et al., MICCAI 2019), without residual connections."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .rfnet_blocks import LEAKY_SLOPE, upsample

HVED_LEVELS = 4
"""Resolutions of each encoder, each half the one before."""


class Block(nn.Module):
    """Twice instance normalization without parameters, LeakyReLU and a convolution of 3^3 voxels."""

    def __init__(self, inputs: int, inner: int, outputs: int, slope: float = LEAKY_SLOPE) -> None:
        super().__init__()
        self.slope = slope
        self.convs = nn.ModuleList(
            nn.Conv3d(fewer, more, 3, padding=1) for fewer, more in ((inputs, inner), (inner, outputs))
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, D, H, W) -> (B, outputs, D, H, W)."""
        for conv in self.convs:
            x = conv(F.leaky_relu(F.instance_norm(x), self.slope, inplace=True))
        return x


class Encoder(nn.Module):
    """One modality (n, 1, D, H, W) -> four levels, each half the size of the last.

    Args:
        widths: inner channels of the blocks, from fine to coarse.
        outputs: of each level.
        norm: batch normalization after the first convolution, as in the public PyTorch code; the block that
            follows normalizes anyway.
    """

    def __init__(self, widths: Sequence[int], outputs: Sequence[int], norm: bool = False) -> None:
        super().__init__()
        self.entry = nn.Conv3d(1, widths[0], 1)
        self.norm = nn.BatchNorm3d(widths[0]) if norm else nn.Identity()
        self.levels = nn.ModuleList(map(Block, (widths[0], *outputs[:-1]), widths, outputs))

    def forward(self, x: Tensor) -> list[Tensor]:
        """(n, 1, D, H, W) -> (n, outputs[0], D, H, W), (n, outputs[1], D/2, H/2, W/2) and so on."""
        x = F.leaky_relu(self.norm(self.entry(x)), LEAKY_SLOPE)
        pyramid = [self.levels[0](x)]
        for level in self.levels[1:]:
            pyramid.append(level(F.max_pool3d(pyramid[-1], 2)))
        return pyramid


class Decoder(nn.Module):
    """Fused maps of all levels -> one volume per output channel.

    Args:
        inputs: channels of the fused maps, from fine to coarse.
        widths: inner channels of the blocks of all levels but the coarsest; half as many come out.
        outputs: channels of the last convolution.
        norm: batch normalization at the end in place of a bias, as in the public PyTorch code.
    """

    def __init__(
        self, inputs: Sequence[int], widths: Sequence[int], outputs: int, norm: bool = False
    ) -> None:
        super().__init__()
        coarser = (*(width // 2 for width in widths[1:]), inputs[-1])
        self.levels = nn.ModuleList(
            Block(below + beside, width, width // 2)
            for below, beside, width in zip(coarser, inputs[:-1], widths, strict=True)
        )
        self.last = nn.Conv3d(widths[0] // 2, outputs, 1, bias=not norm)
        self.norm = nn.BatchNorm3d(outputs) if norm else nn.Identity()

    def forward(self, fused: Sequence[Tensor]) -> tuple[Tensor, dict[int, Tensor]]:
        """(B, inputs, d, h, w) of each level -> (B, outputs, D, H, W), and the decoded maps by level."""
        x, decoded = fused[-1], {len(fused): fused[-1]}
        for i in reversed(range(len(self.levels))):
            x = decoded[1 + i] = self.levels[i](torch.cat((upsample(x), fused[i]), 1))
        return self.norm(self.last(x)), decoded
