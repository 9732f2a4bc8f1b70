"""The light early-fusion network: MONAI's SegResNet on zeroed channels, trained with modality dropout.

SegResNet: Myronenko, "3D MRI brain tumor segmentation using autoencoder regularization", BrainLes 2018.
Folding blocks of voxels into channels and back: Shi et al., "Real-time single image and video
super-resolution using an efficient sub-pixel convolutional neural network", CVPR 2016, in 3-D, at both ends.
"""

from __future__ import annotations

from collections.abc import Collection

import torch
from monai.networks.nets import SegResNet
from torch import Tensor, nn
from torch.nn import functional as F

from ..core.modalities import MODALITIES
from .output import HEADS, Output, asked, chosen, expect_background, visible


class EarlyFusionSegResNet(nn.Module):
    """All modalities enter together; a missing one is a zero channel.

    If asked for, ``Output.features`` holds, with L levels of which level 1 has the body's resolution and each
    further one halves the sides and doubles the channels:

    - ``fused/<L>`` (B, C, d, h, w): the encoder's end; fused from the first convolution on;
    - ``decoder/<level>`` (B, C, d, h, w): the decoder's features of levels L-1 to 1.

    They are group-normalized: sums over residual blocks have no scale of their own, and an error shall mean
    the same in every network. A group's mean and scale, which the network reads too, are not in them.

    Args:
        filters: channels of level 1 (a multiple of 8); they double at each lower level.
        blocks: residual blocks per level going down; its length is the number of levels.
        flags: add four constant channels that tell which modalities are available.
        head: "regions" or "classes".
        dropout: probability after the first convolution, 0 to switch off.
        fold: side in voxels of the blocks that become one voxel of the body, their voxels channels. With 2
            the body computes an eighth, so a window that sees eight times as much costs the same, and still
            tells every voxel apart.
    """

    name = "segresnet"
    find_unused_parameters = False
    distilled = ()

    def __init__(
        self,
        filters: int = 16,
        blocks: tuple[int, ...] = (1, 2, 2, 4),
        flags: bool = True,
        head: str = "regions",
        dropout: float = 0.0,
        fold: int = 1,
    ) -> None:
        super().__init__()
        if head not in HEADS:
            raise ValueError(f"head must be one of {', '.join(HEADS)}, not '{head}'")
        if type(fold) is not int or fold < 1:
            raise ValueError(f"fold must be a whole number of at least 1, not {fold}")
        self.options = {
            "filters": filters,
            "blocks": list(blocks),
            "flags": flags,
            "head": head,
            "dropout": dropout,
            "fold": fold,
        }
        self.head = head
        self.divisor = fold * 2 ** (len(blocks) - 1)
        self.fold = fold
        self.flags = flags
        self.body = SegResNet(
            init_filters=filters,
            in_channels=len(MODALITIES) * (fold**3 + flags),
            out_channels=HEADS[head] * fold**3,
            dropout_prob=dropout or None,
            blocks_down=tuple(blocks),
            blocks_up=(1,) * (len(blocks) - 1),
        )
        expect_background(self.body.conv_final[-1].conv.bias, head)

    def forward(
        self,
        image: Tensor,
        available: Tensor,
        present: Tensor | None = None,
        features: bool | Collection[str] = False,
    ) -> Output:
        """Segment; voxels of a missing channel are never read.

        Args:
            image: (B, 4, D, H, W), z-scored; sides multiples of ``divisor``.
            available: (B, 4) bool, the modalities to look at.
            present: not read; networks that train on single modalities beside the subset need it.
            features: give features too, all or these kinds.

        Returns:
            Logits (B, 3 or 4, D, H, W); features if asked for.
        """
        flags = available[:, :, None, None, None]
        channels = folded(visible(image, available), self.fold)
        if self.flags:
            constant = flags.to(image.dtype).expand(*flags.shape[:2], *channels.shape[2:])
            channels = torch.cat([channels, constant], dim=1)
        if not self.training:  # this layout makes CPUs predict a third faster; training would be slower
            channels = channels.contiguous(memory_format=torch.channels_last_3d)
        if not (asked(features, "fused") or asked(features, "decoder")):
            return Output(unfolded(self.body(channels), self.fold))
        logits, observed = self._observed(channels)
        return Output(unfolded(logits, self.fold), chosen(observed, features))

    def _observed(self, channels: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """What ``body(channels)`` computes, step by step, with the steps worth distilling."""
        x, skips = self.body.encode(channels)
        level, groups = len(skips), self.body.norm[1]["num_groups"]
        features = {f"fused/{level}": F.group_norm(x, groups)}
        steps = zip(self.body.up_samples, self.body.up_layers, reversed(skips[:-1]), strict=True)
        for lift, refine, skip in steps:
            level -= 1
            x = refine(lift(x) + skip)
            features[f"decoder/{level}"] = F.group_norm(x, groups)
        return self.body.conv_final(x), features


def folded(volume: Tensor, side: int) -> Tensor:
    """(B, C, D, H, W) -> (B, C side^3, D/side, H/side, W/side), blocks of voxels side by side as channels."""
    if side == 1:
        return volume
    batch, channels, *sides = volume.shape
    blocks = volume.view(batch, channels, *(part for n in sides for part in (n // side, side)))
    return blocks.permute(0, 1, 3, 5, 7, 2, 4, 6).reshape(batch, -1, *(n // side for n in sides))


def unfolded(channels: Tensor, side: int) -> Tensor:
    """The inverse of :func:`folded`."""
    if side == 1:
        return channels
    batch, count, *sides = channels.shape
    blocks = channels.reshape(batch, count // side**3, side, side, side, *sides)
    return blocks.permute(0, 1, 5, 2, 6, 3, 7, 4).reshape(batch, count // side**3, *(n * side for n in sides))
