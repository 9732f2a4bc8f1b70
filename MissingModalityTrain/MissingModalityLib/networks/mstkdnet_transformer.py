"""The multi-scale Transformer of MST-KDNet: a UNETR on the deepest features of a convolutional encoder.

Hatamizadeh et al., "UNETR: Transformers for 3D medical image segmentation", WACV 2022, as Zhu et al.,
"Bridging the gap in missing modalities", MICCAI 2025, Sec. 2.1 and 2.2, use it.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..core.errors import ImageError
from .options import TRANSFORMER_OUTPUTS
from .unet import ActivationCheckpointed, normalization

PATCH = 4
"""Side of the blocks that become tokens; the decoder below is made for it."""


class Attention(nn.Module):
    """Multi-head self-attention.

    Args:
        size: channels of a token.
        heads: a divisor of ``size``.
        dropout: of attention weights and output.
    """

    def __init__(self, size: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.dropout = nn.Dropout(dropout)
        self.query = nn.Linear(size, size)
        self.key = nn.Linear(size, size)
        self.value = nn.Linear(size, size)
        self.out = nn.Linear(size, size)

    def forward(self, x: Tensor, weights: bool = False) -> tuple[Tensor, Tensor | None]:
        """(B, N, size) -> the same shape, and the weights (B, heads, N, N) if asked for."""
        query, key, value = (
            linear(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for linear in (self.query, self.key, self.value)
        )
        shares = None
        if weights:
            shares = (query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5).softmax(-1)
            mixed = self.dropout(shares) @ value
        else:
            # fused kernels do without the matrix of weights, N x N per head
            dropped = self.dropout.p if self.dropout.training else 0.0
            mixed = F.scaled_dot_product_attention(query, key, value, dropout_p=dropped)
        return self.dropout(self.out(mixed.transpose(1, 2).flatten(2))), shares


class Layer(ActivationCheckpointed):
    """Attention and two linear layers with ReLU, each on normalized tokens and added to them."""

    def __init__(self, size: int, heads: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(size, eps=1e-6) for _ in range(2))
        self.attention = Attention(size, heads, dropout)
        self.inner = nn.Linear(size, hidden)
        self.outer = nn.Linear(hidden, size)
        self.dropout = nn.Dropout(dropout)

    def compute(self, x: Tensor, weights: bool) -> tuple[Tensor, Tensor | None]:
        """Tokens (B, N, size) and, if asked for, attention weights (B, heads, N, N)."""
        mixed, shares = self.attention(self.norms[0](x), weights)
        x = x + mixed
        hidden = self.dropout(F.relu(self.inner(self.norms[1](x))))
        return x + self.dropout(self.outer(hidden)), shares


class Transformer(nn.Module):
    """Tokens of 4x4x4 voxels, learned positions, layers; tokens after each quarter of the layers come out.

    Args:
        inputs: channels of the feature map.
        size, layers, heads, hidden, dropout: of the layers; ``layers`` is a multiple of 4.
        grid: tokens per axis that positions are learned for; other grids get them interpolated. One number
            where only the count is known: then other counts are refused.
    """

    def __init__(
        self,
        inputs: int,
        size: int,
        layers: int,
        heads: int,
        hidden: int,
        dropout: float,
        grid: Sequence[int],
    ) -> None:
        super().__init__()
        self.grid = tuple(grid)
        self.embed = nn.Conv3d(inputs, size, PATCH, stride=PATCH)
        self.positions = nn.Parameter(torch.zeros(1, prod(grid), size))
        self.dropout = nn.Dropout(dropout)
        self.layers = nn.ModuleList(Layer(size, heads, hidden, dropout) for _ in range(layers))

    def forward(self, x: Tensor, weights: bool = False) -> tuple[list[Tensor], list[Tensor]]:
        """Transform.

        Args:
            x: (B, inputs, d, h, w), sides multiples of 4.
            weights: give attention weights too. Only those of the four layers that come out are ever held,
                (B, heads, N, N) each; the other layers never form the matrix.

        Returns:
            Four maps (B, size, d/4, h/4, w/4), the shallowest first; their layers' attention weights or [].
        """
        embedded = self.embed(x)
        grid = tuple(embedded.shape[2:])
        tokens = self.dropout(embedded.flatten(2).transpose(1, 2) + self._positions(grid))
        every, maps, shares = len(self.layers) // TRANSFORMER_OUTPUTS, [], []
        for number, layer in enumerate(self.layers, 1):
            comes_out = number % every == 0
            tokens, share = layer(tokens, weights and comes_out)
            if comes_out:
                maps.append(tokens.transpose(1, 2).unflatten(2, grid))
                shares.append(share)
        return maps, shares if weights else []

    def _positions(self, grid: tuple[int, ...]) -> Tensor:
        if grid == self.grid or (len(self.grid) == 1 and prod(grid) == self.grid[0]):
            return self.positions
        if len(self.grid) == 1:
            raise ImageError(
                f"The network has positions for {self.grid[0]} tokens, and this image has {prod(grid)}. "
                "Give windows of the size that it was trained with."
            )
        learned = self.positions.transpose(1, 2).unflatten(2, self.grid)
        fitting = F.interpolate(learned, size=grid, mode="trilinear", align_corners=False)
        return fitting.flatten(2).transpose(1, 2)


class MultiScaleDecoder(nn.Module):
    """Token maps of four depths -> one map on the grid they were cut from, through four decoded maps.

    Args:
        outputs: channels of the grid before (and after) the tokens.
        size: channels of a token.
        width: channels of the deepest decoded map, a multiple of 16; each shallower one has half.
        norm: "group", or "batch" as published, whose statistics over the batch make single cases depend on
            what they are trained with.
    """

    def __init__(self, outputs: int, size: int, width: int, norm: str) -> None:
        super().__init__()
        self.map_0 = nn.Sequential(_conv(outputs, width // 16, norm), _conv(width // 16, width // 8, norm))
        self.lift_3 = nn.Sequential(
            _upsample(size, width, norm),
            _upsample(width, width // 2, norm),
            _upsample(width // 2, width // 4, norm),
        )
        self.lift_6 = nn.Sequential(_upsample(size, width, norm), _upsample(width, width // 2, norm))
        self.lift_9 = _upsample(size, width, norm)
        self.map_12 = _double(size, width)
        self.map_9 = nn.Sequential(
            _conv(2 * width, width, norm),
            _conv(width, width, norm),
            _conv(width, width, norm),
            _double(width, width // 2),
        )
        self.map_6 = nn.Sequential(
            _conv(width, width // 2, norm),
            _conv(width // 2, width // 2, norm),
            _double(width // 2, width // 4),
        )
        self.map_3 = nn.Sequential(
            _conv(width // 2, width // 4, norm, stride=2),
            _conv(width // 4, width // 4, norm, stride=2),
            _double(width // 4, width // 8),
        )
        self.head = nn.Sequential(
            _conv(width // 4, width // 8, norm),
            _conv(width // 8, width // 8, norm),
            nn.Conv3d(width // 8, outputs, 1),
        )

    def forward(self, x: Tensor, maps: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Decode.

        Args:
            x: (B, outputs, d, h, w), what the tokens were cut from.
            maps: four token maps (B, size, d/4, h/4, w/4), the shallowest first.

        Returns:
            (B, outputs, d, h, w); the four decoded maps, the shallowest first, of 4, 8, 4 and 2 times the
            sides of the token grid.
        """
        z3, z6, z9, z12 = maps
        z12 = self.map_12(z12)
        z9 = self.map_9(torch.cat([self.lift_9(z9), z12], 1))
        z6 = self.map_6(torch.cat([self.lift_6(z6), z9], 1))
        z3 = self.map_3(torch.cat([self.lift_3(z3), z6], 1))
        return self.head(torch.cat([self.map_0(x), z3], 1)), [z3, z6, z9, z12]


def _conv(inputs: int, outputs: int, norm: str, stride: int = 1) -> nn.Sequential:
    """3x3x3 convolution, normalization, ReLU."""
    convolution = nn.Conv3d(inputs, outputs, 3, stride, padding=1)
    return nn.Sequential(convolution, normalization(outputs, norm), nn.ReLU(True))


def _double(inputs: int, outputs: int) -> nn.ConvTranspose3d:
    """Twice the sides."""
    return nn.ConvTranspose3d(inputs, outputs, 2, stride=2)


def _upsample(inputs: int, outputs: int, norm: str) -> nn.Sequential:
    """Twice the sides, then :func:`_conv`."""
    return nn.Sequential(_double(inputs, outputs), *_conv(outputs, outputs, norm))
