"""RA-HVED: a smaller latent than U-HVED's, and skips that attend to the tumor.

Jeong, Cho, Kwon, Park: "Region-of-interest attentive heteromodal variational encoder-decoder for segmentation
with missing modalities", ACCV 2022. Each modality tells Gaussians of few channels at half the resolution of
every level; those at hand, and a standard normal prior, are multiplied. One decoder segments, gated by what
it and the latent show, and while training four more restore the images. Its loss is "attentive", see
:mod:`..methods.restoring`, to which the method "adversarial" adds a discriminator.

Its code has no license, so none of it is here, and no weights load. What its description leaves open is
chosen so that weights, 5.92 million, and operations, 336.7 billion for 80x80x80 voxels with restored images,
are the published ones: before a skip the 7x7x7 convolution sees the pools of the skip, of the decoder and of
both, each by itself. One gate serves both maps.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..core.modalities import MODALITIES
from .encoder_options import RAHVEDOptions
from .heads import HEADS
from .hved_blocks import HVED_LEVELS, Block
from .output import Feature, Kind, asked
from .output import chosen as chosen_kinds
from .rfnet_blocks import gather_rows
from .separate_encoders import Chosen, Pyramid, SeparateEncoders
from .uhved import gaussians, product, sample

SLOPE = 0.01
"""Of LeakyReLU below 0."""
REDUCTION = 4
"""Channels of a level per channel of its latent."""
ENTRY_DROPOUT = 0.2
"""Probability of a channel after the first convolution, while training."""
GATE_KERNEL, GATE_POOLS, GATE_EXPANSION = 7, 6, 4


class Normalized(nn.Sequential):
    """Convolution without bias, instance normalization without parameters, LeakyReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int, groups: int = 1) -> None:
        super().__init__(
            nn.Conv3d(inputs, outputs, kernel, padding=kernel // 2, groups=groups, bias=False),
            nn.InstanceNorm3d(outputs),
            nn.LeakyReLU(SLOPE),
        )


class Encoder(nn.Module):
    """One modality (n, 1, D, H, W) -> its latent at every level, means and log-variances side by side."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        self.entry = nn.Conv3d(1, widths[0], 1)
        self.dropout = nn.Dropout3d(ENTRY_DROPOUT)
        inputs = (widths[0], *widths[:-1])
        inner = (max(fewer, more // 2) for fewer, more in zip(inputs, widths, strict=True))
        self.levels = nn.ModuleList(
            Block(*channels, SLOPE) for channels in zip(inputs, inner, widths, strict=True)
        )
        self.reduce = nn.ModuleList(
            nn.Conv3d(width, 2 * (width // REDUCTION), 3, stride=2, padding=1) for width in widths
        )

    def forward(self, x: Tensor) -> Pyramid:
        """(n, 1, D, H, W) -> (n, 2C, D/2, H/2, W/2), (n, 4C, D/4, H/4, W/4) and so on."""
        x, latents = self.dropout(self.entry(x)), []
        for number, (level, reduce) in enumerate(zip(self.levels, self.reduce, strict=True)):
            x = level(F.max_pool3d(x, 2) if number else x)
            latents.append(reduce(F.leaky_relu(F.instance_norm(x), SLOPE)))
        return latents


class Expansion(nn.Module):
    """From the latent of a level to a map of the level's resolution and width."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.widen = Normalized(width // REDUCTION, width, 1)
        self.refine = Normalized(width, width, 3, groups=width)

    def forward(self, latent: Tensor) -> Tensor:
        """(B, C / 4, d, h, w) -> (B, C, 2d, 2h, 2w)."""
        return self.refine(doubled(self.widen(latent)))


class Gate(nn.Module):
    """How much each place of a skip and of the decoder counts, from the largest and mean value of channels.

    Those are of the skip, of the decoder and of both together, each spread over space by kernels of its own.
    """

    def __init__(self) -> None:
        super().__init__()
        wide = GATE_EXPANSION * GATE_POOLS
        self.spread = nn.Conv3d(
            GATE_POOLS, wide, GATE_KERNEL, padding=GATE_KERNEL // 2, groups=GATE_POOLS, bias=False
        )
        self.weigh = nn.Conv3d(wide, 1, 1)

    def forward(self, skip: Tensor, decoded: Tensor) -> Tensor:
        """(B, ., d, h, w) twice -> (B, 1, d, h, w), 1 to 2."""
        shown = (skip, decoded, torch.cat((skip, decoded), 1))
        pools = [torch.cat((x.amax(1, keepdim=True), x.mean(1, keepdim=True)), 1) for x in shown]
        return 1 + self.weigh(self.spread(torch.cat(pools, 1))).sigmoid()


class Decoder(nn.Module):
    """Maps of all levels -> one volume per output channel."""

    def __init__(self, widths: Sequence[int], outputs: int, gated: bool) -> None:
        super().__init__()
        steps = list(pairwise(widths))
        self.levels = nn.ModuleList(Block(below + beside, beside, beside, SLOPE) for beside, below in steps)
        self.gates = nn.ModuleList(Gate() for _ in steps) if gated else None
        self.last = nn.Conv3d(widths[0], outputs, 1)

    def forward(self, maps: Pyramid) -> tuple[Tensor, dict[int, Tensor]]:
        """(B, C, d, h, w) of each level -> (B, outputs, D, H, W), and the decoded maps by level."""
        x, decoded = maps[-1], {}
        for i in reversed(range(len(self.levels))):
            skip, x = maps[i], doubled(x)
            weight = 1.0 if self.gates is None else self.gates[i](skip, x)
            x = decoded[1 + i] = self.levels[i](torch.cat((weight * skip, weight * x), 1))
        return self.last(x), decoded


class RAHVED(SeparateEncoders):
    """Region-of-interest attentive heteromodal variational encoder-decoder.

    If asked for, ``Output.features`` holds, with n_m the samples that have modality m, in batch order:

    - ``encoder`` of a level and a modality (n_m, C / 2, d/2, h/2, w/2): means and log-variances, see
      :func:`.uhved.gaussians`;
    - ``latent`` of a level (B, C / 2, d/2, h/2, w/2): the same of the product;
    - ``fused`` of a level (B, C, d, h, w): what its latent expands to;
    - ``decoder`` of levels 1 to 3 (B, C, d, h, w): on the way to the segmentation;
    - ``restored`` of a modality (n_m, 1, D, H, W): its image, in training mode only.

    Level 1 is full resolution and C = ``width`` channels wide; each further one halves the sides and doubles
    the width.
    """

    name = "rahved"
    Options = RAHVEDOptions
    divisor = 2**HVED_LEVELS
    least_side = 2 * divisor  # the coarsest latent is normalized over its places
    single_kinds = (Kind.ENCODER, Kind.RESTORED)
    loss = "attentive"
    loss_features = (Kind.LATENT, Kind.RESTORED)

    def __init__(self, options: RAHVEDOptions) -> None:
        super().__init__(options)
        self.head = HEADS["regions"]
        widths = [options.width * 2**level for level in range(HVED_LEVELS)]
        self.encoders = nn.ModuleList(Encoder(widths) for _ in MODALITIES)
        self.expand = nn.ModuleList(map(Expansion, widths))
        self.segment = Decoder(widths, self.head.channels, gated=True)
        self.restore = nn.ModuleList(Decoder(widths, 1, gated=False) for _ in MODALITIES)
        self.head.init_background_bias(self.segment.last.bias)

    def decode(
        self, chosen: Chosen, features: bool | Collection[str]
    ) -> tuple[Tensor, dict[Feature, Tensor]]:
        """See :meth:`.separate_encoders.SeparateEncoders.decode`."""
        # precisions leave the range of half precision
        with torch.autocast(chosen.stacks[0].device.type, enabled=False):
            stacks = (x.float() if x.dtype.itemsize < 4 else x for x in chosen.stacks)
            latents = [product(*gaussians(x, 2), chosen.flags) for x in stacks]
            drawn = [sample(*latent) if self.training else latent[0] for latent in latents]
        maps = [expand(latent) for expand, latent in zip(self.expand, drawn, strict=True)]
        logits, decoded = self.segment(maps)
        found = {Feature(Kind.LATENT, level): torch.cat(pair, 1) for level, pair in enumerate(latents, 1)}
        found |= {Feature(Kind.FUSED, level): x for level, x in enumerate(maps, 1)}
        found |= {Feature(Kind.DECODER, level): x for level, x in decoded.items()}
        found = chosen_kinds(found, features)
        if self.training and asked(features, Kind.RESTORED):
            for modality, restore in zip(MODALITIES, self.restore, strict=True):
                having = chosen.present[:, modality]
                if having.any():
                    image = restore([gather_rows(x, having) for x in maps])[0]
                    found[Feature(Kind.RESTORED, modality=modality)] = image
        return logits, found


def doubled(x: Tensor) -> Tensor:
    """Trilinear, borders aligned: (B, C, d, h, w) -> (B, C, 2d, 2h, 2w)."""
    return F.interpolate(x, scale_factor=2, mode="trilinear", align_corners=False)
