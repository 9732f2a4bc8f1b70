"""RFNet: one encoder per modality, fused region by region (Ding, Yu and Yang, ICCV 2021).

Every modality has its own encoder of four levels. At each level, from coarse to fine, the fused decoder first
estimates a probability map per class (the region maps), then weighs the modalities anew within each region.
While training, one further decoder shared by all modalities segments each of them on its own.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch
from torch import Tensor, nn

from ..core.modalities import MODALITIES
from .heads import FIVE_CLASSES, HEADS, ClassesHead
from .options import RFNetOptions
from .output import Feature, Kind, asked, chosen
from .rfnet_blocks import ConvBlock, upsample
from .rfnet_fusion import RegionFusion, RegionMaps
from .separate_encoders import Chosen, Pyramid, SeparatelyDecoded

RFNET_LEVELS = 4  # resolutions of each encoder, each half the one before


class EncoderLevel(nn.Module):
    """A block that sets width and resolution, plus two blocks beside a short cut."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.entry = ConvBlock(inputs, outputs, stride=stride)
        self.residual = nn.Sequential(ConvBlock(outputs, outputs), ConvBlock(outputs, outputs))

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, D, H, W) -> (B, outputs, D/stride, H/stride, W/stride)."""
        x = self.entry(x)
        return x + self.residual(x)


class Encoder(nn.Module):
    """One modality (n, 1, D, H, W) -> levels of widths C, 2C, 4C ..., each half the size of the last."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        inputs = (1, *widths[:-1])
        strides = (1, *(2 for _ in widths[1:]))
        self.levels = nn.ModuleList(map(EncoderLevel, inputs, widths, strides))

    def forward(self, x: Tensor) -> Pyramid:
        """(n, 1, D, H, W) -> (n, C, D, H, W), (n, 2C, D/2, H/2, W/2) and so on."""
        pyramid = []
        for level in self.levels:
            x = level(x)
            pyramid.append(x)
        return pyramid


class DecoderStep(nn.Module):
    """To the next finer level: ``upsample`` doubles the resolution, ``merge`` takes the skip in."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.lifting = ConvBlock(inputs, outputs)
        self.merging = ConvBlock(2 * outputs, outputs)
        self.refining = ConvBlock(outputs, outputs, kernel=1)

    def upsample(self, coarse: Tensor) -> Tensor:
        """(B, inputs, d, h, w) -> (B, outputs, 2d, 2h, 2w)."""
        return self.lifting(upsample(coarse))

    def merge(self, first: Tensor, second: Tensor) -> Tensor:
        """(B, outputs, D, H, W) twice -> the same shape."""
        return self.refining(self.merging(torch.cat((first, second), 1)))


def decoder_steps(widths: Sequence[int]) -> nn.ModuleList:
    """Steps to all levels but the coarsest (index 0 is the finest)."""
    return nn.ModuleList(map(DecoderStep, widths[1:], widths[:-1]))


class SeparateDecoder(nn.Module):
    """A plain decoder; in RFNet it segments each modality from its own encoder alone."""

    def __init__(self, widths: Sequence[int], classes: int) -> None:
        super().__init__()
        self.steps = decoder_steps(widths)
        self.head = nn.Conv3d(widths[0], classes, 1)

    def forward(self, pyramid: Pyramid) -> Tensor:
        """Levels of one modality, (n, C, d, h, w) each -> logits (n, classes, D, H, W)."""
        return self.decoded(pyramid)[0]

    def decoded(self, pyramid: Pyramid) -> tuple[Tensor, dict[int, Tensor]]:
        """The same, and the maps (n, C, d, h, w) of all levels but the coarsest."""
        x, levels = pyramid[-1], {}
        for i in reversed(range(len(self.steps))):
            x = levels[1 + i] = self.steps[i].merge(self.steps[i].upsample(x), pyramid[i])
        return self.head(x), levels


class FusedDecoder(nn.Module):
    """Region maps and region-aware fusion at every level, from coarse to fine."""

    def __init__(self, widths: Sequence[int], classes: int) -> None:
        super().__init__()
        coarsest = (False,) * (len(widths) - 1) + (True,)
        self.maps = nn.ModuleList(
            RegionMaps(c, classes, last) for c, last in zip(widths, coarsest, strict=True)
        )
        self.fusion = nn.ModuleList(RegionFusion(c, classes) for c in widths)
        self.steps = decoder_steps(widths)
        self.head = nn.Conv3d(widths[0], classes, 1)

    def forward(
        self, stacks: Pyramid, used: Sequence[int], features: bool | Collection[str]
    ) -> tuple[Tensor, dict[Feature, Tensor]]:
        """Features, each (B, A, C, D, H, W), of modalities ``used`` -> logits, features as asked for."""
        found = {}
        x = decoded = None
        for i in reversed(range(len(stacks))):
            decoded = None if x is None else self.steps[i].upsample(x)
            maps = self.maps[i](stacks[i], used, decoded)
            # the maps learn from their own loss only
            x = fused = self.fusion[i](stacks[i], used, maps.detach())
            if decoded is not None:
                x = self.steps[i].merge(fused, decoded)
            level = i + 1
            if asked(features, Kind.REGIONS):
                found[Feature(Kind.REGIONS, level)] = upsample(maps, 2**i) if i else maps
            given = {Feature(Kind.FUSED, level): fused, Feature(Kind.DECODER, level): x}
            found |= chosen(given, features)
        return self.head(x), found


class RFNet(SeparatelyDecoded):
    """Region-aware fusion network.

    If asked for, ``Output.features`` holds, with n_m the samples that have modality m, in batch order:

    - ``separate`` of a modality (n_m, K, D, H, W): logits of the separate decoder, in training mode only;
    - ``regions`` of a level (B, K, D, H, W): region maps (probabilities) of levels 1 to 4 at full resolution;
    - ``encoder`` of a level and a modality (n_m, C, d, h, w): encoder levels, before masking;
    - ``fused`` of a level (B, C, d, h, w): output of the region-aware fusion;
    - ``decoder`` of a level (B, C, d, h, w): the decoder's features after merging them.

    Level 1 is full resolution and ``width`` channels wide; each further one halves the sides and doubles the
    width. A modality that no sample has is left out.
    """

    name = "rfnet"
    Options = RFNetOptions
    divisor = 2 ** (RFNET_LEVELS - 1)
    least_side = 16  # reflect padding of the coarsest level needs two voxels
    single_kinds = (Kind.SEPARATE, Kind.ENCODER)
    loss = "region_aware"
    loss_features = (Kind.SEPARATE, Kind.REGIONS)

    def __init__(self, options: RFNetOptions) -> None:
        super().__init__(options)
        width, classes = options.width, options.classes
        heads = {head.channels: head for head in (HEADS["classes"], FIVE_CLASSES)}
        self.head = heads.get(classes) or ClassesHead(classes)
        widths = [width * 2**level for level in range(RFNET_LEVELS)]
        self.encoders = nn.ModuleList(Encoder(widths) for _ in MODALITIES)
        self.separate = SeparateDecoder(widths, classes)
        self.fused = FusedDecoder(widths, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv3d | nn.Linear):
                nn.init.kaiming_normal_(module.weight)

    def decode(
        self, chosen: Chosen, features: bool | Collection[str]
    ) -> tuple[Tensor, dict[Feature, Tensor]]:
        """See :meth:`.separate_encoders.SeparateEncoders.decode`."""
        return self.fused(chosen.stacks, chosen.used, features)
