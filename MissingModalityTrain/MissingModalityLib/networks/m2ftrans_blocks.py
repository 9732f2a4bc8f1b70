"""Transformer layers with masked modalities and cross-token blocks of M2FTrans (Shi et al., JBHI 2024)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..core.modalities import MODALITIES
from .mmformer_blocks import DROPOUT, Layer
from .separate_encoders import Chosen

CROSS_LAYERS = 2
"""Layers of a cross-token block."""

EXPANSION = 4
"""Channels within the convolutions that follow attention, per channel outside."""

NORM_EPSILON = 1e-6
"""Of the normalization over channels."""


class FusionLayer(Layer):
    """Tokens of a modality attend to those of the same modality, fusion tokens to all that a sample has.

    Neither needs a mask over all pairs: the former are one batch of short sequences, the latter few.
    """

    def forward(self, x: Tensor, known: Tensor, weigh: bool) -> tuple[Tensor, Tensor | None]:
        """Tokens (B, A + 1, N, size), the last group fusion tokens; ``known`` (B, A) modalities are seen.

        Returns:
            The same shape; with ``weigh`` how much attention each token of the modalities gets from fusion
            tokens (B, A, N), summed over heads and fusion tokens.
        """
        batch, groups, count, _ = x.shape
        parts = self.projected(x.flatten(0, 1)).unflatten(1, (batch, groups))  # (3, B, A + 1, heads, N, c)
        own = self.mixed(*(part[:, :-1].flatten(0, 1) for part in parts)).unflatten(0, (batch, -1))
        query = parts[0][:, -1]
        key, value = (part.transpose(1, 2).flatten(2, 3) for part in parts[1:])
        seen = F.pad(known, (0, 1), value=True).repeat_interleave(count, 1)[:, None, None]
        if not weigh:
            fused, weights = self.mixed(query, key, value, seen), None
        else:
            attention = self._attention(query, key, seen)
            fused = attention @ value
            weights = attention.sum((1, 2)).unflatten(1, (groups, count))[:, :-1]
        mixed = torch.cat([own, fused.unsqueeze(1)], 1)
        return self.updated(x.flatten(0, 1), mixed.flatten(0, 1)).unflatten(0, (batch, groups)), weights

    def _attention(self, query: Tensor, key: Tensor, seen: Tensor) -> Tensor:
        """(B, heads, N, (A + 1) N)."""
        scores = (query @ key.transpose(2, 3)) * query.shape[-1] ** -0.5
        attention = scores.masked_fill(~seen, -torch.inf).softmax(-1)
        return self.dropout(attention)


class ChannelNorm(nn.LayerNorm):
    """Layer normalization of each voxel over its channels (B, C, d, h, w)."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=NORM_EPSILON)

    def forward(self, x: Tensor) -> Tensor:
        """The same shape."""
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)


class Projection(nn.Sequential):
    """1x1x1, 3x3x3 and 1x1x1 convolutions, the middle one a group for each channel outside; each normalized.

    Args:
        channels: outside.
        expansion: channels within, per channel outside.
    """

    def __init__(self, channels: int, expansion: int = 1) -> None:
        wide = expansion * channels
        super().__init__(
            nn.Conv3d(channels, wide, 1),
            ChannelNorm(wide),
            nn.GELU(),
            nn.Conv3d(wide, wide, 3, padding=1, groups=channels),
            ChannelNorm(wide),
            nn.GELU(),
            nn.Conv3d(wide, channels, 1),
            ChannelNorm(channels),
        )


class Mixing(nn.Module):
    """A wider projection beside a short cut, and GELU; in place of a Transformer's linear layers."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = Projection(channels, EXPANSION)

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, d, h, w) -> the same shape."""
        return F.gelu(x + self.layers(x))


class CrossLayer(nn.Module):
    """Channels of a decoder's map attend to the channels of all modalities that a sample has.

    Args:
        channels: of the map and of each modality.
        last: of its block, whose modalities nobody reads after it.
    """

    def __init__(self, channels: int, last: bool) -> None:
        super().__init__()
        self.query, self.out = Projection(channels), Projection(channels)
        self.keys = nn.ModuleList(Projection(channels) for _ in MODALITIES)
        self.values = nn.ModuleList(Projection(channels) for _ in MODALITIES)
        self.mix_map = Mixing(channels)
        self.mix_modalities = None if last else Mixing(channels)
        self.dropout = nn.Dropout(DROPOUT)

    def forward(self, x: Tensor, stack: Tensor, chosen: Chosen) -> tuple[Tensor, Tensor]:
        """(B, C, d, h, w) and (B, A, C, d, h, w) -> the same shapes."""
        query = self.query(x).flatten(2)
        keys, values = (
            torch.cat([maps[m](stack[:, i]) for i, m in enumerate(chosen.used)], 1).flatten(2)
            for maps in (self.keys, self.values)
        )
        scores = (query @ keys.transpose(1, 2)) * query.shape[-1] ** -0.5
        seen = chosen.flags.repeat_interleave(x.shape[1], 1)[:, None]
        found = scores.masked_fill(~seen, -torch.inf).softmax(-1) @ values
        x = self.mix_map(x + self.dropout(self.out(found.view_as(x))))
        if self.mix_modalities is not None:
            stack = self.mix_modalities(stack.flatten(0, 1)).view_as(stack)
        return x, stack


class CrossTokens(nn.Module):
    """Cross-token block: layers of attention among channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            CrossLayer(channels, last=number == CROSS_LAYERS - 1) for number in range(CROSS_LAYERS)
        )

    def forward(self, stack: Tensor, decoded: Tensor, chosen: Chosen) -> Tensor:
        """Modalities (B, A, C, d, h, w) and the decoder's map (B, C, d, h, w) -> the latter's shape."""
        for layer in self.layers:
            decoded, stack = layer(decoded, stack, chosen)
        return decoded
