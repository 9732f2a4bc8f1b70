"""M2FTrans: learned tokens gather what the modalities at hand say, and weigh them place by place.

Shi, Yu, Cheng, Yang, Cheng, Yan: "M2FTrans: modality-masked fusion transformer for incomplete multi-modality
brain tumor segmentation", IEEE Journal of Biomedical and Health Informatics 28(1), 2024.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..core.modalities import MODALITIES
from .encoder_options import M2FTransOptions
from .heads import HEADS
from .m2ftrans_blocks import CrossTokens, FusionLayer
from .mmformer_blocks import on_grid
from .output import Feature, Kind, asked
from .output import chosen as chosen_kinds
from .rfnet import Encoder, SeparateDecoder, decoder_steps
from .rfnet_blocks import ConvBlock, FusionBlock, upsample
from .separate_encoders import Chosen, Pyramid, SeparatelyDecoded

LEVELS = 5
"""Resolutions of each encoder, each half the one before."""

CROSSED = 2
"""The coarsest of them, which cross-token blocks fuse; convolutions fuse the others."""


class Bottleneck(nn.Module):
    """Tokens of the modalities and as many learned fusion tokens, through masked Transformer layers.

    Args:
        size, heads, hidden, count: of the layers.
        side: of the cube of tokens that positions and fusion tokens are learned for; other grids get them
            interpolated.
    """

    def __init__(self, size: int, heads: int, hidden: int, count: int, side: int) -> None:
        super().__init__()
        self.grid = (side,) * 3
        self.positions = nn.Parameter(torch.zeros(1, (len(MODALITIES) + 1) * side**3, size))
        self.fusion = nn.Parameter(torch.randn(1, side**3, size))
        self.layers = nn.ModuleList(FusionLayer(size, heads, hidden) for _ in range(count))

    def forward(self, stack: Tensor, used: Sequence[int], known: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Coarsest maps (B, A, C, d, h, w), of which each sample has those ``known`` (B, A).

        Returns:
            The same as the layers leave them, the fused map (B, C, d, h, w), and weights (B, A, 1, d, h, w):
            how much the fusion tokens attend to each place in the first layer, 0 for what a sample lacks.
        """
        grid = tuple(stack.shape[3:])
        places = self.positions.unflatten(1, (len(MODALITIES) + 1, -1))[0]
        places = on_grid(places[[*used, len(MODALITIES)]], self.grid, grid)
        fusion = on_grid(self.fusion, self.grid, grid).expand(len(stack), -1, -1)
        tokens = torch.cat([stack.flatten(3).transpose(2, 3), fusion.unsqueeze(1)], 1) + places
        weights = None
        for layer in self.layers:
            tokens, attention = layer(tokens, known, weigh=weights is None)
            weights = attention if weights is None else weights
        maps = tokens.transpose(2, 3).unflatten(3, grid)
        # what weighs the modalities learns from the Transformer's own part in the decoder alone
        return maps[:, :-1], maps[:, -1], weights.detach().unflatten(2, grid).unsqueeze(2)


class Convolved(nn.Module):
    """Maps of all modalities side by side -> one, by three convolutions; absent modalities are left out."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.squeeze = FusionBlock(channels, channels)
        self.refine = nn.Sequential(ConvBlock(channels, channels), ConvBlock(channels, channels, kernel=1))

    def forward(self, stack: Tensor, decoded: Tensor, chosen: Chosen) -> Tensor:
        """(B, A, channels, d, h, w) -> (B, channels, d, h, w); the decoder's map is not read."""
        return self.refine(self.squeeze(stack, chosen.used))


class FusedDecoder(nn.Module):
    """Fuses at every level, from coarse to fine, and tells the classes at each before."""

    def __init__(self, widths: Sequence[int], classes: int) -> None:
        super().__init__()
        kinds = [*[Convolved] * (LEVELS - CROSSED), *[CrossTokens] * CROSSED]
        self.fusions = nn.ModuleList(kind(width) for kind, width in zip(kinds, widths, strict=True))
        coarsest = widths[-1]
        self.merging = ConvBlock(2 * coarsest, coarsest)
        self.refining = ConvBlock(coarsest, coarsest, kernel=1)
        self.steps = decoder_steps(widths)
        self.maps = nn.ModuleList(
            nn.Sequential(ConvBlock(width, widths[0], kernel=1), nn.Conv3d(widths[0], classes, 1))
            for width in widths
        )
        self.head = nn.Conv3d(widths[0], classes, 1)

    def forward(
        self, stacks: Pyramid, fusion: Tensor, chosen: Chosen, features: bool | Collection[str]
    ) -> tuple[Tensor, dict[Feature, Tensor]]:
        """Weighed maps of all levels, and the fused one of the coarsest -> logits, features asked for."""
        x, found = fusion, {}
        for i in reversed(range(LEVELS)):
            decoded = x if i == LEVELS - 1 else self.steps[i].upsample(x)
            if asked(features, Kind.REGIONS):
                maps = self.maps[i](decoded).softmax(1)
                found[Feature(Kind.REGIONS, i + 1)] = upsample(maps, 2**i) if i else maps
            fused = self.fusions[i](stacks[i], decoded, chosen)
            x = self._coarsest(fused, decoded) if i == LEVELS - 1 else self.steps[i].merge(fused, decoded)
            given = {Feature(Kind.FUSED, i + 1): fused, Feature(Kind.DECODER, i + 1): x}
            found |= chosen_kinds(given, features)
        return self.head(x), found

    def _coarsest(self, fused: Tensor, decoded: Tensor) -> Tensor:
        return self.refining(self.merging(torch.cat((fused, decoded), 1)))


class M2FTrans(SeparatelyDecoded):
    """Modality-masked fusion Transformer.

    If asked for, ``Output.features`` holds, with n_m the samples that have modality m, in batch order:

    - ``separate`` of a modality (n_m, K, D, H, W): logits of the separate decoder, in training mode only;
    - ``regions`` of levels 1 to 5 (B, K, D, H, W): probabilities that the decoder gives before it takes a
      level's modalities in;
    - ``encoder`` of a level and a modality (n_m, C, d, h, w): encoder levels, before they are weighed;
    - ``fused`` and ``decoder`` of levels 1 to 5 (B, C, d, h, w).

    Level 1 is full resolution and ``width`` channels wide; each further one halves the sides and doubles the
    width.
    """

    name = "m2ftrans"
    Options = M2FTransOptions
    divisor = 2 ** (LEVELS - 1)
    least_side = 2 * divisor  # reflect padding of the coarsest level needs two voxels
    single_kinds = (Kind.SEPARATE, Kind.ENCODER)
    loss = "region_aware"
    loss_features = (Kind.SEPARATE, Kind.REGIONS)

    def __init__(self, options: M2FTransOptions) -> None:
        super().__init__(options)
        self.head = HEADS["classes"]
        widths = [options.width * 2**level for level in range(LEVELS)]
        self.encoders = nn.ModuleList(Encoder(widths) for _ in MODALITIES)
        self.bottleneck = Bottleneck(
            widths[-1], options.num_heads, options.mlp_size, options.num_layers, options.position_side
        )
        self.separate = SeparateDecoder(widths, self.head.channels)
        self.fused = FusedDecoder(widths, self.head.channels)
        for module in self.modules():
            if isinstance(module, nn.Conv3d):
                nn.init.kaiming_normal_(module.weight)

    def decode(
        self, chosen: Chosen, features: bool | Collection[str]
    ) -> tuple[Tensor, dict[Feature, Tensor]]:
        """See :meth:`.separate_encoders.SeparateEncoders.decode`."""
        coarsest, fusion, weights = self.bottleneck(chosen.stacks[-1], chosen.used, chosen.flags)
        finer = [
            stack * _enlarged(weights, 2 ** (LEVELS - 1 - i)) for i, stack in enumerate(chosen.stacks[:-1])
        ]
        return self.fused([*finer, coarsest * weights], fusion, chosen, features)


def _enlarged(weights: Tensor, factor: int) -> Tensor:
    """(B, A, 1, d, h, w) on a grid whose sides are ``factor`` times as long, nearest neighbor."""
    return F.interpolate(weights.squeeze(2), scale_factor=factor, mode="nearest").unsqueeze(2)
