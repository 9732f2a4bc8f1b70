"""Heads at coarser levels of a decoder, for deep supervision of networks that have one.

Isensee et al., "nnU-Net", Nature Methods 2021. A network that makes one names :data:`LOSS_FEATURES` as its
``loss_features`` and gives what it returns among its features if :attr:`.Kind.DEEP` is asked for; the loss
``plain`` does the rest.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from .head import Head
from .output import Feature, Kind
from .unet import normalization

LOSS_FEATURES = (Kind.DEEP,)


class DeepHeads(nn.Module):
    """Group normalization, ReLU and 1x1x1 convolution to logits; for each level.

    Args:
        channels: of a level by its number, which is larger where it is coarser.
        head: the network's; as its last layer these begin with nearly all background.
    """

    def __init__(self, channels: Mapping[int, int], head: Head) -> None:
        super().__init__()
        self.levels = nn.ModuleDict(
            {
                str(level): nn.Sequential(
                    normalization(count, "group"), nn.ReLU(), nn.Conv3d(count, head.channels, 1)
                )
                for level, count in channels.items()
            }
        )
        for layers in self.levels.values():
            head.init_background_bias(layers[-1].bias)

    def forward(self, decoded: Mapping[int, Tensor]) -> dict[Feature, Tensor]:
        """(B, C, d, h, w) by level, others than those with a head too -> logits (B, K, d, h, w)."""
        return {
            Feature(Kind.DEEP, int(level)): layers(decoded[int(level)])
            for level, layers in self.levels.items()
        }
