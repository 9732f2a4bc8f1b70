"""Standard training: ground truth is the only teacher."""

from __future__ import annotations

import inspect
from collections.abc import Mapping

from torch import Tensor, nn

from .losses import segmentation_loss


class Supervised:
    """The paper's losses on a random subset of each case's modalities (RFNet: Ding et al., ICCV 2021).

    Args:
        fusion_start: epochs in which a network with separate decoders trains without its fused prediction.
    """

    def __init__(self, fusion_start: int = 0) -> None:
        self.fusion_start = fusion_start

    def loss(self, network: nn.Module, batch: Mapping[str, Tensor], epoch: int) -> dict[str, Tensor]:
        """Named terms; ``total`` is minimized.

        Args:
            network: in training mode.
            batch: stacked :class:`samples.Samples`.
            epoch: counts from 0.
        """
        separate = "present" in inspect.signature(network.forward).parameters
        extra = {"present": batch["present"]} if separate else {}
        output = network(batch["image"], batch["available"], **extra)
        fused_weight = 0.0 if separate and epoch < self.fusion_start else 1.0
        return segmentation_loss(output, batch["label"], network.head, batch["present"], fused_weight)
