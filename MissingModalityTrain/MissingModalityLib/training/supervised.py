"""Standard training: ground truth is the only teacher."""

from __future__ import annotations

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
            network: in training mode. One with a separate decoder (attribute ``separate``) decodes every
                modality that a case has, so its ``forward`` takes ``present`` too.
            batch: stacked :class:`samples.Samples`.
            epoch: counts from 0.
        """
        separate = hasattr(network, "separate")
        extra = {"present": batch["present"]} if separate else {}
        output = network(batch["image"], batch["available"], **extra)
        fused_weight = 0.0 if separate and epoch < self.fusion_start else 1.0
        return segmentation_loss(output, batch["label"], network.head, batch["present"], fused_weight)
