"""Standard training: ground truth is the only teacher."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import ClassVar

from torch import Tensor, nn

from ..networks.output import Output
from .losses import segmentation_loss
from .method import Method, unwrap_ddp
from .options import SupervisedOptions


class Supervised(Method):
    """The paper's losses on a random subset of each case's modalities (RFNet: Ding et al., ICCV 2021)."""

    Options: ClassVar[type] = SupervisedOptions

    def loss(self, network: nn.Module, batch: Mapping[str, Tensor], epoch: int) -> dict[str, Tensor]:
        """Terms of :func:`segmentation_loss`; reads ``image``, ``label``, ``available`` and ``present``."""
        return self._outcome(network, batch, epoch)[1]

    def modalities_read(self, network: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
        """The subset, and all that is present for networks that train on single modalities beside it."""
        return batch["present"] if network.reads_present else batch["available"]

    def _outcome(
        self,
        network: nn.Module,
        batch: Mapping[str, Tensor],
        epoch: int,
        features: bool | Collection[str] = (),
    ) -> tuple[Output, dict[str, Tensor]]:
        """Output of the subset that the network may see, with some features, and the terms of it."""
        trained = unwrap_ddp(network)
        if features is not True:
            features = {*trained.loss_features, *(features or ())}
        output = network(batch["image"], batch["available"], batch["present"], features)
        # weights that were trained before have learned each modality on its own
        first_fused = self.options.fusion_start_epoch if self.fresh else 0
        fused_weight = 0.0 if epoch < first_fused else 1.0
        terms = segmentation_loss(trained, output, batch["label"], batch["present"], fused_weight)
        return output, terms
