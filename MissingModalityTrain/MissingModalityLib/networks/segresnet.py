"""The light early-fusion network: MONAI's SegResNet on zeroed channels, trained with modality dropout.

SegResNet: Myronenko, "3D MRI brain tumor segmentation using autoencoder regularization", BrainLes 2018.
Space to depth at its beginning and depth to space at its end, see :mod:`.space`.
"""

from __future__ import annotations

from collections.abc import Collection

import torch
from monai.networks.nets import SegResNet
from torch import Tensor
from torch.nn import functional as F

from ..core.modalities import MODALITIES
from .deep_supervision import LOSS_FEATURES, DeepHeads
from .heads import HEADS
from .network import Network
from .options import SegResNetOptions
from .output import PRESENCE, Feature, Kind, Output, asked, mask_missing
from .presence import PresenceHead
from .space import depth_to_space, space_to_depth


class EarlyFusionSegResNet(Network):
    """All modalities enter together; a missing one is a zero channel.

    If asked for, ``Output.features`` holds, with L levels of which level 1 has the body's resolution and each
    further one halves the sides and doubles the channels:

    - ``fused`` of level L (B, C, d, h, w): the encoder's end; fused from the first convolution on;
    - ``decoder`` of levels L-1 to 1 (B, C, d, h, w);
    - with ``deep_supervision`` ``deep`` of levels 2 to L-1, logits (B, K, d, h, w).

    The former two are group-normalized: sums over residual blocks have no scale of their own, and an error
    shall mean the same in every network. A group's mean and scale, which the network reads too, are not in
    them. With the option ``presence``, ``Output.presence`` tells which classes are in the image at all.
    """

    name = "segresnet"
    reads_present = False
    Options = SegResNetOptions

    def __init__(self, options: SegResNetOptions) -> None:
        super().__init__(options)
        side, levels = options.space_to_depth, len(options.blocks)
        self.head = HEADS[options.head]
        self.divisor = side * 2 ** (levels - 1)
        self.side = side
        self.availability_channels = options.availability_channels
        self.body = SegResNet(
            init_filters=options.width,
            in_channels=len(MODALITIES) * (side**3 + options.availability_channels),
            out_channels=self.head.channels * side**3,
            dropout_prob=options.dropout or None,  # 0 would add a layer that does nothing
            blocks_down=options.blocks,
            blocks_up=(1,) * (levels - 1),
        )
        self.head.init_background_bias(self.body.conv_final[-1].conv.bias)
        self.deep: DeepHeads | None = None
        if options.deep_supervision:
            coarser = {level: options.width * 2 ** (level - 1) for level in range(2, levels)}
            self.deep, self.loss_features = DeepHeads(coarser, self.head), LOSS_FEATURES
        self.presence: PresenceHead | None = None
        if options.presence:
            self.presence = PresenceHead(options.width * 2 ** (levels - 1))
            self.distillable_features = (PRESENCE,)

    def forward(
        self,
        image: Tensor,
        available: Tensor,
        present: Tensor | None = None,
        features: bool | Collection[str] = False,
    ) -> Output:
        """See :meth:`.network.Network.forward`."""
        flags = available[:, :, None, None, None]
        channels = space_to_depth(mask_missing(image, available), self.side)
        if self.availability_channels:
            constant = flags.to(image.dtype).expand(*flags.shape[:2], *channels.shape[2:])
            channels = torch.cat([channels, constant], dim=1)
        if not self.training:  # this layout makes CPUs predict a third faster; training would be slower
            channels = channels.contiguous(memory_format=torch.channels_last_3d)
        inner = any(asked(features, kind) for kind in (Kind.FUSED, Kind.DECODER, *self.loss_features))
        if not inner and self.presence is None:
            return Output(depth_to_space(self.body(channels), self.side))
        levels = decoded_levels(self.body, channels)
        logits = depth_to_space(self.body.conv_final(levels[1]), self.side)
        presence = None if self.presence is None else self.presence(levels[max(levels)])
        return Output(logits, self._features(levels, features), presence)

    def _features(self, levels: dict[int, Tensor], features: bool | Collection[str]) -> dict[Feature, Tensor]:
        """Those that are asked for."""
        groups = self.body.norm[1]["num_groups"]
        kinds = {level: Kind.FUSED if level == max(levels) else Kind.DECODER for level in levels}
        found = {
            Feature(kinds[level], level): F.group_norm(x, groups)
            for level, x in levels.items()
            if asked(features, kinds[level])
        }
        if self.deep is not None and asked(features, Kind.DEEP):
            found |= self.deep(levels)
        return found


def decoded_levels(body: SegResNet, channels: Tensor) -> dict[int, Tensor]:
    """What ``body(channels)`` computes before its last layers: encoder's end and decoder, by level."""
    x, skips = body.encode(channels)
    levels = {len(skips): x}
    for upsample, refine, skip in zip(body.up_samples, body.up_layers, reversed(skips[:-1]), strict=True):
        x = refine(upsample(x) + skip)
        levels[len(skips) - len(levels)] = x
    return levels
