"""The light early-fusion network: MONAI's SegResNet on zeroed channels, trained with modality dropout.

SegResNet: Myronenko, "3D MRI brain tumor segmentation using autoencoder regularization", BrainLes 2018.
Space to depth at its beginning and depth to space at its end: Shi et al., "Real-time single image and video
super-resolution using an efficient sub-pixel convolutional neural network", CVPR 2016, here in 3-D.
"""

from __future__ import annotations

from collections.abc import Collection

import torch
from monai.networks.nets import SegResNet
from torch import Tensor
from torch.nn import functional as F

from ..core.modalities import MODALITIES
from .heads import HEADS
from .network import Network
from .options import SegResNetOptions
from .output import Feature, Kind, Output, asked, chosen, mask_missing


class EarlyFusionSegResNet(Network):
    """All modalities enter together; a missing one is a zero channel.

    If asked for, ``Output.features`` holds, with L levels of which level 1 has the body's resolution and each
    further one halves the sides and doubles the channels:

    - ``fused`` of level L (B, C, d, h, w): the encoder's end; fused from the first convolution on;
    - ``decoder`` of levels L-1 to 1 (B, C, d, h, w).

    They are group-normalized: sums over residual blocks have no scale of their own, and an error shall mean
    the same in every network. A group's mean and scale, which the network reads too, are not in them.
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
        if not (asked(features, Kind.FUSED) or asked(features, Kind.DECODER)):
            return Output(depth_to_space(self.body(channels), self.side))
        logits, observed = self._observed(channels)
        return Output(depth_to_space(logits, self.side), chosen(observed, features))

    def _observed(self, channels: Tensor) -> tuple[Tensor, dict[Feature, Tensor]]:
        """What ``body(channels)`` computes, step by step, with the steps worth distilling."""
        x, skips = self.body.encode(channels)
        level, groups = len(skips), self.body.norm[1]["num_groups"]
        features = {Feature(Kind.FUSED, level): F.group_norm(x, groups)}
        steps = zip(self.body.up_samples, self.body.up_layers, reversed(skips[:-1]), strict=True)
        for upsample, refine, skip in steps:
            level -= 1
            x = refine(upsample(x) + skip)
            features[Feature(Kind.DECODER, level)] = F.group_norm(x, groups)
        return self.body.conv_final(x), features


def space_to_depth(volume: Tensor, side: int) -> Tensor:
    """(B, C, D, H, W) -> (B, C side^3, D/side, H/side, W/side), blocks of voxels side by side as channels."""
    if side == 1:
        return volume
    batch, channels, *sides = volume.shape
    blocks = volume.view(batch, channels, *(part for n in sides for part in (n // side, side)))
    return blocks.permute(0, 1, 3, 5, 7, 2, 4, 6).reshape(batch, -1, *(n // side for n in sides))


def depth_to_space(channels: Tensor, side: int) -> Tensor:
    """The inverse of :func:`space_to_depth`."""
    if side == 1:
        return channels
    batch, count, *sides = channels.shape
    blocks = channels.reshape(batch, count // side**3, side, side, side, *sides)
    return blocks.permute(0, 1, 5, 2, 6, 3, 7, 4).reshape(batch, count // side**3, *(n * side for n in sides))
