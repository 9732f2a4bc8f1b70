"""Convolutions and Transformer layers of mmFormer (Zhang et al., MICCAI 2022)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import prod

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..core.modalities import MODALITIES
from .rfnet_blocks import LEAKY_SLOPE, upsample

DROPOUT = 0.1
"""Of attention and linear layers, as in the public code."""


def activate_first(x: Tensor) -> Tensor:
    """Instance normalization without parameters, then LeakyReLU in place of the normalized copy."""
    return F.leaky_relu(F.instance_norm(x), LEAKY_SLOPE, inplace=True)


class PreBlock(nn.Module):
    """Instance normalization without parameters, LeakyReLU 0.2, convolution.

    Args:
        inputs, outputs: channels.
        kernel: 3 or 1.
        stride: 1, or 2 to halve each (even) side.
        padding: "reflect" or "zeros".
    """

    def __init__(
        self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1, padding: str = "reflect"
    ) -> None:
        super().__init__()
        mode = padding if kernel > 1 else "zeros"
        self.conv = nn.Conv3d(inputs, outputs, kernel, stride, padding=kernel // 2, padding_mode=mode)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, D, H, W) -> (B, outputs, D', H', W')."""
        return self.conv(activate_first(x))


class EncoderLevel(nn.Module):
    """A convolution that sets width and resolution, plus two blocks beside a short cut."""

    def __init__(self, inputs: int, outputs: int, finest: bool) -> None:
        super().__init__()
        self.entry = (
            nn.Conv3d(inputs, outputs, 3, padding=1, padding_mode="reflect")
            if finest
            else PreBlock(inputs, outputs, stride=2)
        )
        self.residual = nn.Sequential(PreBlock(outputs, outputs), PreBlock(outputs, outputs))

    def forward(self, x: Tensor) -> Tensor:
        """(n, inputs, D, H, W) -> (n, outputs, D', H', W')."""
        x = self.entry(x)
        return x + self.residual(x)


class Layer(nn.Module):
    """Attention and two linear layers with GELU, each on normalized tokens and added to them."""

    def __init__(self, size: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.heads = heads
        self.norms = nn.ModuleList(nn.LayerNorm(size) for _ in range(2))
        self.attend = nn.Linear(size, 3 * size, bias=False)
        self.out = nn.Linear(size, size)
        self.inner, self.outer = nn.Linear(size, hidden), nn.Linear(hidden, size)
        self.dropout = nn.Dropout(DROPOUT)

    def forward(self, x: Tensor, known: Tensor | None = None) -> Tensor:
        """Tokens (B, N, size) -> the same shape; those ``known`` (B, N) are attended to, all by default."""
        mask = None if known is None else known[:, None, None]
        return self.updated(x, self.mixed(*self.projected(x), mask))

    def projected(self, x: Tensor) -> Tensor:
        """Queries, keys and values (3, B, heads, N, size / heads)."""
        return self.attend(self.norms[0](x)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)

    def mixed(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
        """Values by attention (B, heads, N, size / heads)."""
        dropped = DROPOUT if self.dropout.training else 0.0
        return F.scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=dropped)

    def updated(self, x: Tensor, mixed: Tensor) -> Tensor:
        """Tokens (B, N, size) with what attention found, then the linear layers."""
        x = x + self.dropout(self.out(mixed.transpose(1, 2).flatten(2)))
        hidden = self.dropout(F.gelu(self.inner(self.norms[1](x))))
        return x + self.dropout(self.outer(hidden))


class ModalityEncoder(nn.Module):
    """One modality: five levels of convolutions, then attention among the places of the coarsest.

    Args:
        widths: channels of the levels, from fine to coarse.
        size, heads, hidden: of the Transformer's layer.
        grid: side of the cube of tokens that positions are learned for; other grids get them interpolated.
    """

    def __init__(self, widths: Sequence[int], size: int, heads: int, hidden: int, grid: int) -> None:
        super().__init__()
        self.grid = (grid,) * 3
        self.levels = nn.ModuleList(
            EncoderLevel(fewer, more, finest=level == 0)
            for level, (fewer, more) in enumerate(pairwise((1, *widths)))
        )
        self.embed = nn.Conv3d(widths[-1], size, 1)
        self.places = nn.Parameter(torch.zeros(1, prod(self.grid), size))
        self.layer = Layer(size, heads, hidden)

    def forward(self, x: Tensor) -> list[Tensor]:
        """(n, 1, D, H, W) -> maps of all levels but the coarsest, its tokens as a map, and its own map."""
        pyramid = []
        for level in self.levels:
            x = level(x)
            pyramid.append(x)
        embedded = self.embed(x)
        grid = embedded.shape[2:]
        tokens = self.layer(embedded.flatten(2).transpose(1, 2) + self.positions(tuple(grid)))
        return [*pyramid[:-1], tokens.transpose(1, 2).unflatten(2, grid), x]

    def positions(self, grid: tuple[int, ...]) -> Tensor:
        """(1, N, size) of the N places of a grid."""
        return on_grid(self.places, self.grid, grid)


def on_grid(places: Tensor, learned: tuple[int, ...], grid: tuple[int, ...]) -> Tensor:
    """What was learned for the places of a grid, (B, N, size), for those of another one (B, N', size)."""
    if grid == learned:
        return places
    maps = places.transpose(1, 2).unflatten(2, learned)
    fitting = F.interpolate(maps, size=grid, mode="trilinear", align_corners=False)
    return fitting.flatten(2).transpose(1, 2)


class Fusion(nn.Module):
    """Maps of all modalities side by side -> one; absent ones are left out.

    Args:
        inputs: channels of one modality.
        outputs: channels.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.mix = nn.Conv3d(len(MODALITIES) * inputs, outputs, 1)
        self.refine = nn.Sequential(
            PreBlock(outputs, outputs, padding="zeros"), PreBlock(outputs, outputs, kernel=1)
        )

    def forward(self, stack: Tensor, used: Sequence[int]) -> Tensor:
        """(B, A, inputs, d, h, w) of the A modalities ``used``, 0 where a sample lacks one."""
        return self.refine(mixed(self.mix, activate_first(stack.flatten(1, 2)), used))


def mixed(conv: nn.Conv3d, x: Tensor, used: Sequence[int]) -> Tensor:
    """A 1x1x1 convolution over all modalities' channels, of those that are there (B, A C, d, h, w)."""
    weight = conv.weight.unflatten(1, (len(MODALITIES), -1))[:, list(used)].flatten(1, 2)
    return F.conv3d(x, weight, conv.bias)


class DecoderStep(nn.Module):
    """To the next finer level."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.lifting = PreBlock(inputs, outputs)
        self.merging = PreBlock(2 * outputs, outputs)
        self.refining = PreBlock(outputs, outputs, kernel=1)

    def forward(self, coarse: Tensor, skip: Tensor, skip_first: bool) -> Tensor:
        """(B, inputs, d, h, w) and (B, outputs, 2d, 2h, 2w) -> the latter's shape."""
        lifted = self.lifting(upsample(coarse))
        pair = (skip, lifted) if skip_first else (lifted, skip)
        return self.refining(self.merging(torch.cat(pair, 1)))
