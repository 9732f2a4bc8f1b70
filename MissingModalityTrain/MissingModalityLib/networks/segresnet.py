"""The light early-fusion network: MONAI's SegResNet on zeroed channels, trained with modality dropout.

SegResNet: Myronenko, "3D MRI brain tumor segmentation using autoencoder regularization", BrainLes 2018.
"""

from __future__ import annotations

import torch
from monai.networks.nets import SegResNet
from torch import Tensor, nn

from ..modalities import MODALITIES
from ..regions import REGIONS, TumorClass
from .output import Output

HEADS = {"classes": len(TumorClass), "regions": len(REGIONS)}


class EarlyFusionSegResNet(nn.Module):
    """All modalities enter together; a missing one is a zero channel.

    Args:
        filters: channels at full resolution (a multiple of 8); they double at each lower level.
        blocks: residual blocks per level going down; its length is the number of levels.
        flags: add four constant channels that tell which modalities are available.
        head: "regions" or "classes".
        dropout: probability after the first convolution, 0 to switch off.
    """

    name = "segresnet"

    def __init__(
        self,
        filters: int = 16,
        blocks: tuple[int, ...] = (1, 2, 2, 4),
        flags: bool = True,
        head: str = "regions",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if head not in HEADS:
            raise ValueError(f"head must be one of {', '.join(HEADS)}, not '{head}'")
        self.options = {
            "filters": filters,
            "blocks": list(blocks),
            "flags": flags,
            "head": head,
            "dropout": dropout,
        }
        self.head = head
        self.divisor = 2 ** (len(blocks) - 1)
        self.flags = flags
        self.body = SegResNet(
            init_filters=filters,
            in_channels=len(MODALITIES) * (2 if flags else 1),
            out_channels=HEADS[head],
            dropout_prob=dropout or None,
            blocks_down=tuple(blocks),
            blocks_up=(1,) * (len(blocks) - 1),
        )

    def forward(self, image: Tensor, available: Tensor) -> Output:
        """Image (B, 4, D, H, W) and available (B, 4) -> logits (B, 3 or 4, D, H, W)."""
        present = available[:, :, None, None, None]
        # where(), not a product: NaN * 0 is NaN
        channels = torch.where(present, image, torch.zeros((), dtype=image.dtype, device=image.device))
        if self.flags:
            channels = torch.cat([channels, present.expand_as(image).to(image.dtype)], dim=1)
        return Output(self.body(channels))
