"""A light network with a stem for each modality and gates that decide how much each one tells.

Early fusion has to learn one meaning of every channel for all subsets at once; here what a modality is
encoded to does not depend on the others, and those at hand share out the sum. Gates of channels, from means
over the image: Hu et al., "Squeeze-and-excitation networks", CVPR 2018. Gates of places: Chen et al., "Robust
multimodal brain tumor segmentation via feature disentanglement and gated fusion", MICCAI 2019. Both are
softmax over the modalities at hand, so the sum keeps its scale whatever is missing. The body is a U-Net with
residual blocks: Isensee et al., "nnU-Net revisited", MICCAI 2024. Both ends: :mod:`.space`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..core.modalities import MODALITIES, Modality
from .deep_supervision import LOSS_FEATURES, DeepHeads
from .heads import HEADS
from .network import Network
from .options import NORM_GROUPS, GatedFusionOptions
from .output import PRESENCE, Feature, Kind, Output, asked, mask_missing
from .presence import PresenceHead
from .space import depth_to_space, space_to_depth

_SLOPE = 0.01
"""Of rectifiers below 0, as in nnU-Net."""


class Encoded(NamedTuple):
    """A modality on its own: (B, w, d, h, w) and, at half the resolution, (B, 2w, d/2, h/2, w/2)."""

    fine: Tensor
    coarse: Tensor


class GatedFusion(Network):
    """Stems of single modalities, gated sums at two resolutions, one U-Net body for all.

    If asked for, ``Output.features`` holds, with L levels of which level 1 has the body's finest resolution
    and each further one halves the sides and doubles the channels:

    - ``encoder`` of levels 1 and 2 and a modality (n, C, d, h, w), for the n samples that have it;
    - ``fused`` of level L, ``decoder`` of levels L-1 to 1 (B, C, d, h, w), group-normalized: sums over
      residual blocks have no scale of their own;
    - with ``deep_supervision`` ``deep`` of levels 2 to L-1, logits (B, K, d, h, w).

    With the option ``presence``, ``Output.presence`` tells which classes are in the image at all.
    """

    name = "gatedfusion"
    Options = GatedFusionOptions
    reads_present = False
    find_unused_parameters = True  # a stem has no part in a batch without its modality

    def __init__(self, options: GatedFusionOptions) -> None:
        super().__init__(options)
        self.head = HEADS[options.head]
        self.side = options.space_to_depth
        self.divisor = self.side * 2 ** len(options.blocks)
        widths = [options.width * 2**level for level in range(1 + len(options.blocks))]
        self.stems = nn.ModuleList(Stem(self.side**3, widths[0]) for _ in MODALITIES)
        self.channel_gate = ChannelGate(widths[1], widths[0])
        self.place_gate = PlaceGate(widths[1])
        self.subset = nn.Linear(len(MODALITIES), widths[1], bias=False)
        self.levels = nn.ModuleList(
            nn.Sequential(*(ResidualBlock(width) for _ in range(count)))
            for width, count in zip(widths[1:], options.blocks, strict=True)
        )
        self.down = nn.ModuleList(Convolution(fewer, more, stride=2) for fewer, more in pairwise(widths[1:]))
        self.up = nn.ModuleList(nn.Conv3d(more, fewer, 1) for fewer, more in pairwise(widths))
        # the finest level has half of all voxels: one convolution there costs what a block costs elsewhere
        self.refine = nn.ModuleList([Convolution(widths[0], widths[0]), *map(ResidualBlock, widths[1:-1])])
        self.dropout = nn.Dropout3d(options.dropout)
        self.last = nn.Conv3d(widths[0], self.head.channels * self.side**3, 1)
        self.head.init_background_bias(self.last.bias)
        self.deep: DeepHeads | None = None
        if options.deep_supervision:
            coarser = dict(enumerate(widths[1:-1], 2))
            self.deep, self.loss_features = DeepHeads(coarser, self.head), LOSS_FEATURES
        self.presence: PresenceHead | None = None
        if options.presence:
            self.presence = PresenceHead(widths[-1])
            self.distillable_features = (PRESENCE,)

    def forward(
        self,
        image: Tensor,
        available: Tensor,
        present: Tensor | None = None,
        features: bool | Collection[str] = False,
    ) -> Output:
        """See :meth:`.network.Network.forward`."""
        return self.fuse(self.encode(image, available), available, features)

    def encode(self, image: Tensor, present: Tensor) -> dict[Modality, Encoded]:
        """Each modality that some sample has, on its own.

        Args:
            image: as for :meth:`forward`.
            present: (B, 4) bool, what there is of each sample.
        """
        # all samples of a batch, whoever has it: one large convolution is cheaper than picking rows
        somewhere = self._somewhere(present)
        encoded = {}
        for modality in MODALITIES:
            if somewhere[modality]:
                own = slice(modality, modality + 1)
                volume = mask_missing(image[:, own], present[:, own])
                encoded[modality] = self.stems[modality](
                    space_to_depth(volume, self.side, channels_last=True)
                )
        return encoded

    def fuse(
        self,
        encoded: Mapping[Modality, Encoded],
        available: Tensor,
        features: bool | Collection[str] = False,
    ) -> Output:
        """Segment from what :meth:`encode` gave, of which ``available`` (B, 4) bool names a subset."""
        somewhere = self._somewhere(available)
        used = {modality: x for modality, x in encoded.items() if somewhere[modality]}
        seen = torch.stack([available[:, modality] for modality in used], 1)
        levels = self._body(used, available, seen)
        found = self._encoder_features(used, seen) if asked(features, Kind.ENCODER) else {}
        for level, x in levels.items():
            kind = Kind.FUSED if level == max(levels) else Kind.DECODER
            if asked(features, kind):
                found[Feature(kind, level)] = F.group_norm(x, NORM_GROUPS)
        if self.deep is not None and asked(features, Kind.DEEP):
            found |= self.deep(levels)
        presence = None if self.presence is None else self.presence(levels[max(levels)])
        return Output(depth_to_space(self.last(levels[1]), self.side), found, presence)

    def _somewhere(self, available: Tensor) -> list[bool]:
        """Of each modality, whether to compute it: those that any sample has."""
        # reading it would make every step of a GPU wait; in a batch of several samples all four are the rule
        if self.training and available.is_cuda:
            return [True] * len(MODALITIES)
        return available.any(0).tolist()

    def _body(self, used: Mapping[Modality, Encoded], available: Tensor, seen: Tensor) -> dict[int, Tensor]:
        """The bottleneck and, from coarse to fine, what is decoded, by level."""
        subset = self.subset(available.to(self.subset.weight.dtype))
        x = self.place_gate({modality: x.coarse for modality, x in used.items()}, seen)
        x = self.levels[0](x + subset.to(x.dtype)[:, :, None, None, None])
        skips = [self.channel_gate(used, seen)]
        for down, level in zip(self.down, self.levels[1:], strict=True):
            skips.append(x)
            x = level(down(x))
        x = self.dropout(x)
        levels = {1 + len(skips): x}
        for level in range(len(skips), 0, -1):
            x = F.interpolate(self.up[level - 1](x), scale_factor=2, mode="trilinear")
            x = levels[level] = self.refine[level - 1](x + skips[level - 1])
        return levels

    @staticmethod
    def _encoder_features(used: Mapping[Modality, Encoded], seen: Tensor) -> dict[Feature, Tensor]:
        """Levels 1 and 2 of each modality, for the samples that have it."""
        return {
            Feature(Kind.ENCODER, 1 + level, modality): x[seen[:, place]]
            for place, (modality, levels) in enumerate(used.items())
            for level, x in enumerate(levels)
        }


class Stem(nn.Module):
    """One modality (B, s^3, d, h, w) -> width at that resolution, twice the width at half of it."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.fine = Convolution(inputs, width)
        self.coarse = Convolution(width, 2 * width, stride=2)

    def forward(self, x: Tensor) -> Encoded:
        fine = self.fine(x)
        return Encoded(fine, self.coarse(fine))


class ChannelGate(nn.Module):
    """Sum over modalities, weighted channel by channel from the means over the image of coarser maps."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.own = nn.ModuleList(nn.Linear(inputs, width) for _ in MODALITIES)
        # Adds the same to all modalities, which the softmax over them takes out again: whatever its weights
        # are, it says nothing, and its gradient is that of rounding. It stays because student files and
        # checkpoints hold it, and because the last digits of what they answer hold its rounding.
        self.context = nn.Linear(inputs, width, bias=False)

    def forward(self, maps: Mapping[Modality, Encoded], seen: Tensor) -> Tensor:
        """Maps by modality, ``seen`` (B, M) bool in that order -> (B, w, d, h, w)."""
        # of the coarse maps: means of the fine ones would cost a gradient of their size for each modality
        means = torch.stack([x.coarse.movedim(1, -1).flatten(1, 3).mean(1) for x in maps.values()], 1)
        flags = seen[:, :, None]
        context = self.context((means * flags).sum(1) / flags.sum(1))
        scores = torch.stack([self.own[m](means[:, i]) + context for i, m in enumerate(maps)], 1)
        gates = scores.masked_fill(~flags, -torch.inf).softmax(1, dtype=torch.float32)
        return sum(
            x.fine * gates[:, i, :, None, None, None].to(x.fine.dtype) for i, x in enumerate(maps.values())
        )


class PlaceGate(nn.Module):
    """Sum over modalities, weighted for every place and channel by what each of them shows there."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.scores = nn.ModuleList(nn.Conv3d(width, width, 1) for _ in MODALITIES)

    def forward(self, maps: Mapping[Modality, Tensor], seen: Tensor) -> Tensor:
        """(B, C, d, h, w) by modality, ``seen`` (B, M) bool in that order -> (B, C, d, h, w)."""
        # channels last, as the maps lie in memory: products of two layouts take ten times as long
        scores = torch.stack([self.scores[m](x).movedim(1, -1) for m, x in maps.items()])
        if len(seen) > 1:  # a single sample has all that are in the maps
            absent = ~seen.T[:, :, None, None, None, None]
            scores = scores.masked_fill(absent, -torch.inf)
        gates = scores.softmax(0).movedim(-1, 2)
        return sum(x * gate for x, gate in zip(maps.values(), gates, strict=True))


class Convolution(nn.Module):
    """Convolution of 3^3 voxels, instance normalization, leaky rectifier."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.convolution = nn.Conv3d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.norm = InstanceNorm(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(self.norm(self.convolution(x)), _SLOPE)


class ResidualBlock(nn.Module):
    """Two convolutions beside a short cut."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = Convolution(width, width)
        self.second = nn.Conv3d(width, width, 3, padding=1, bias=False)
        self.norm = InstanceNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(x + self.norm(self.second(self.first(x))), _SLOPE)


class InstanceNorm(nn.Module):
    """Instance normalization with scale and shift, fast in the layout of CPUs."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        # of one sample both are the same; F.instance_norm would copy channels-last maps (5 times the time)
        if len(x) == 1:
            return F.batch_norm(x, None, None, self.weight, self.bias, training=True)
        return F.instance_norm(x, weight=self.weight, bias=self.bias)
