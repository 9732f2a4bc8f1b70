"""RFNet: one encoder per modality, fused region by region (Ding, Yu and Yang, ICCV 2021).

Every modality has its own encoder of four levels. At each level, from coarse to fine, the fused decoder first
estimates a probability map per class (the region maps), then weighs the modalities anew within each region.
While training, one further decoder shared by all modalities segments each of them on its own.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..core.errors import ImageError, OptionError
from ..core.modalities import MODALITIES
from .heads import HEADS, ClassesHead
from .network import Network
from .options import RFNetOptions
from .output import Feature, Kind, Output, asked, chosen
from .rfnet_blocks import ConvBlock, gather_rows, scatter_rows, upsample
from .rfnet_fusion import RegionFusion, RegionMaps

RFNET_LEVELS = 4  # resolutions of each encoder, each half the one before
LEAST_SIDE = 16  # reflect padding of the coarsest level needs two voxels

Pyramid = list[Tensor]
"""Feature maps from fine (index 0, level 1) to coarse (index 3, level 4)."""


class Encoded(NamedTuple):
    """Features of the single modalities of a batch, before anything is fused.

    Attributes:
        pyramids: per modality, the rows (n_m, C, d, h, w) of the samples that have it.
        present: (B, 4) bool on the CPU, which samples these are.
    """

    pyramids: dict[int, Pyramid]
    present: Tensor


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
    """One modality (n, 1, D, H, W) -> four levels of widths C, 2C, 4C, 8C, each half the size of the last."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        inputs = (1, *widths[:-1])
        strides = (1, 2, 2, 2)
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


def _decoder_steps(widths: Sequence[int]) -> nn.ModuleList:
    """Steps to levels 1, 2 and 3 (index 0 is the finest)."""
    return nn.ModuleList(map(DecoderStep, widths[1:], widths[:-1]))


class SeparateDecoder(nn.Module):
    """Segments one modality from its own encoder alone; its weights serve all modalities."""

    def __init__(self, widths: Sequence[int], classes: int) -> None:
        super().__init__()
        self.steps = _decoder_steps(widths)
        self.head = nn.Conv3d(widths[0], classes, 1)

    def forward(self, pyramid: Pyramid) -> Tensor:
        """Levels of one modality, (n, C, d, h, w) each -> logits (n, classes, D, H, W)."""
        x = pyramid[-1]
        for step, skip in zip(reversed(self.steps), reversed(pyramid[:-1]), strict=True):
            x = step.merge(step.upsample(x), skip)
        return self.head(x)


class FusedDecoder(nn.Module):
    """Region maps and region-aware fusion at every level, from coarse to fine."""

    def __init__(self, widths: Sequence[int], classes: int) -> None:
        super().__init__()
        coarsest = (False,) * (len(widths) - 1) + (True,)
        self.maps = nn.ModuleList(
            RegionMaps(c, classes, last) for c, last in zip(widths, coarsest, strict=True)
        )
        self.fusion = nn.ModuleList(RegionFusion(c, classes) for c in widths)
        self.steps = _decoder_steps(widths)
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


class RFNet(Network):
    """Region-aware fusion network; any non-empty subset of modalities per sample.

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
    find_unused_parameters = True  # encoders of modalities that no sample has
    loss = "region_aware"
    loss_features = (Kind.SEPARATE, Kind.REGIONS)

    def __init__(self, options: RFNetOptions) -> None:
        super().__init__(options)
        width, classes = options.width, options.classes
        self.head = HEADS["classes"] if classes == HEADS["classes"].channels else ClassesHead(classes)
        widths = [width * 2**level for level in range(RFNET_LEVELS)]
        self.encoders = nn.ModuleList(Encoder(widths) for _ in MODALITIES)
        self.separate = SeparateDecoder(widths, classes)
        self.fused = FusedDecoder(widths, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv3d | nn.Linear):
                nn.init.kaiming_normal_(module.weight)

    def forward(
        self,
        image: Tensor,
        available: Tensor,
        present: Tensor | None = None,
        features: bool | Collection[str] = False,
    ) -> Output:
        """See :meth:`.network.Network.forward`; sides of at least 16.

        In training mode, if features of single modalities are asked for, encoders and separate decoder run on
        all modalities that are ``present``, whatever the random subset that is fused.

        Raises:
            ImageError: image or availability of the wrong shape, or a sample without modality.
            OptionError: ``available`` names a modality that is not present.
        """
        available = available.cpu()
        if present is not None and self.training:
            _check_present(available, present.cpu())
        single = asked(features, Kind.SEPARATE) or asked(features, Kind.ENCODER)
        encoded = self.encode(
            image, present if present is not None and self.training and single else available
        )
        stacks, used = self._stacks(encoded, available)
        own = self._own_features(encoded.pyramids, features)
        del encoded  # while predicting, the chosen stacks are the only copy left
        return self._decode(stacks, used, own, features)

    def encode(self, image: Tensor, present: Tensor) -> Encoded:
        """The first half of :meth:`forward`: every modality on its own, once for any number of subsets.

        Args:
            image: (B, 4, D, H, W), as in :meth:`forward`.
            present: (B, 4) bool, modalities to encode; the others' voxels are never read.

        Raises:
            ImageError: as :meth:`forward`.
        """
        present = present.cpu()  # decides what is computed: one wait for the device instead of many
        _check_image(image)
        _check_flags(present, len(image))
        pyramids = {
            m: self.encoders[m](image[present[:, m], m : m + 1]) for m in MODALITIES if present[:, m].any()
        }
        return Encoded(pyramids, present)

    def fuse(self, encoded: Encoded, available: Tensor, features: bool | Collection[str] = False) -> Output:
        """The second half of :meth:`forward`: what the modalities ``available`` (B, 4) say together.

        Raises:
            ImageError: ``available`` has the wrong shape, or a sample without modality.
            OptionError: ``available`` names a modality that was not encoded.
        """
        stacks, used = self._stacks(encoded, available)
        return self._decode(stacks, used, self._own_features(encoded.pyramids, features), features)

    def _stacks(self, encoded: Encoded, available: Tensor) -> tuple[Pyramid, Sequence[int]]:
        """Levels of the modalities that any sample fuses, side by side, and which modalities these are."""
        available, (pyramids, present) = available.cpu(), encoded
        _check_flags(available, len(present))
        _check_present(available, present)
        used = [m for m in MODALITIES if available[:, m].any()]
        return [_stack(pyramids, level, used, available, present) for level in range(RFNET_LEVELS)], used

    def _decode(
        self,
        stacks: Pyramid,
        used: Sequence[int],
        own: Mapping[Feature, Tensor],
        features: bool | Collection[str],
    ) -> Output:
        logits, found = self.fused(stacks, used, features)
        return Output(logits, {**own, **found})

    def _own_features(
        self, pyramids: Mapping[int, Pyramid], features: bool | Collection[str]
    ) -> dict[Feature, Tensor]:
        """Features of single modalities: encoder levels and, while training, separate logits."""
        found = {}
        for number, pyramid in pyramids.items():
            modality = MODALITIES[number]
            if asked(features, Kind.ENCODER):
                found |= {Feature(Kind.ENCODER, level, modality): x for level, x in enumerate(pyramid, 1)}
            if self.training and asked(features, Kind.SEPARATE):
                found[Feature(Kind.SEPARATE, modality=modality)] = self.separate(pyramid)
        return found


def _stack(
    pyramids: dict[int, Pyramid], level: int, used: Sequence[int], available: Tensor, present: Tensor
) -> Tensor:
    """One level of the modalities ``used``, (B, A, C, D, H, W), zero where a sample lacks one."""
    rows = (gather_rows(pyramids[m][level], available[present[:, m], m]) for m in used)
    return torch.stack([scatter_rows(x, available[:, m]) for x, m in zip(rows, used, strict=True)], 1)


def _check_image(image: Tensor) -> None:
    sides = image.shape[2:]
    if (
        image.ndim != 5
        or image.shape[1] != len(MODALITIES)
        or any(s < LEAST_SIDE or s % RFNet.divisor for s in sides)
    ):
        raise ImageError(
            f"rfnet: an image of shape {tuple(image.shape)} does not fit. Give (batch, {len(MODALITIES)}, "
            f"depth, height, width) with sides that are multiples of {RFNet.divisor}, at least {LEAST_SIDE}."
        )


def _check_present(available: Tensor, present: Tensor) -> None:
    if (available & ~present).any():
        raise OptionError(
            "rfnet: a modality is marked available but not present. Mark it in both or neither."
        )


def _check_flags(flags: Tensor, batch: int) -> None:
    if flags.shape != (batch, len(MODALITIES)) or not flags.any(1).all():
        raise ImageError(
            "rfnet: every sample needs one flag per modality and at least one available modality."
        )
