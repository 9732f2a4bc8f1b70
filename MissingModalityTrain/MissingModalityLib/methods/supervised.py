"""Standard training: labels are the teacher and, if asked for, the network itself with more modalities."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import fields
from typing import ClassVar

import torch
from torch import Tensor, nn

from ..core.errors import OptionError
from ..core.setting_texts import as_text
from ..networks.output import Output
from .ignored import without_ignored
from .losses import segmentation_loss
from .method import Method, place_of, unwrap_ddp
from .options import LossOptions, SupervisedOptions
from .soft_targets import better_prediction, distillation_loss

SUPERSETS = {"all": "present", "one_more": "teacher"}
"""Option -> which entry of a batch names the modalities of the superset."""


class Supervised(Method):
    """The paper's losses on a random subset of each case's modalities (RFNet: Ding et al., ICCV 2021).

    With a ``consistency_weight`` the prediction from more modalities of the same crop is a soft target,
    wherever it is closer to the label. Unlike :class:`.self_distillation.Distillation` this needs no trained
    network: the teacher is no frozen copy but the network of this very step, in the same mode (dropout
    included), it is followed only where the labels prove it the better one, and no features are compared.
    """

    name: ClassVar[str] = "supervised"
    Options: ClassVar[type] = SupervisedOptions

    def check(self, network: nn.Module) -> None:
        """Hold the options of the loss against the loss that the network names.

        Raises:
            OptionError: an option is set that the network's loss does not read.
        """
        for item in fields(LossOptions):
            value = getattr(self.options, item.name)
            if value != item.default and network.loss != "plain":
                raise OptionError(
                    f"Setting {self.name}.{item.name}={as_text(value)}: network {network.name} has a loss of "
                    f"its own, '{network.loss}'. Set {self.name}.{item.name}={as_text(item.default)}."
                )

    def loss(self, network: nn.Module, batch: Mapping[str, Tensor], epoch: int) -> dict[str, Tensor]:
        """Terms of :func:`segmentation_loss`, and ``consistency_kl`` and ``consistency_dice`` if asked for.

        Reads ``image``, ``label``, ``available``, ``present``, and ``teacher`` where supersets have one
        modality more.
        """
        options = self.options
        if not options.consistency_weight:
            return self._outcome(network, batch, epoch)[1]
        wider = batch[SUPERSETS[options.consistency_superset]]
        if options.consistency_trains_superset:
            output, terms = self._outcome(network, _with_supersets(batch, wider), epoch)
            subset, superset = output.logits.chunk(2)
        else:
            with torch.no_grad():  # before the subset, while none of its activations are held
                where = place_of(network, batch)
                superset = unwrap_ddp(network)(batch["image"], wider, batch["present"], **where).logits
            output, terms = self._outcome(network, batch, epoch)
            subset = output.logits
        del terms["total"]
        weight = options.consistency_weight * self._fused_weight(epoch)
        with torch.autocast(subset.device.type, enabled=False):
            head = unwrap_ddp(network).head
            target = better_prediction(subset, superset, batch["label"], head)
            for kind, value in zip(("kl", "dice"), distillation_loss(subset, target, head), strict=True):
                terms[f"consistency_{kind}"] = weight * value
        return {**terms, "total": sum(terms.values())}

    def modalities_read(self, network: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
        """Subset and superset; all that is present for networks that train on single modalities."""
        read = batch["present"] if network.reads_present else batch["available"]
        options = self.options
        return read | batch[SUPERSETS[options.consistency_superset]] if options.consistency_weight else read

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
        where = place_of(network, batch)
        output = network(batch["image"], batch["available"], batch["present"], features, **where)
        output = without_ignored(output, batch, trained.head)
        label, present = batch["label"], batch["present"]
        return output, segmentation_loss(
            trained, output, label, present, self._fused_weight(epoch), self.options, batch["image"]
        )

    def _fused_weight(self, epoch: int) -> float:
        # weights that were trained before have learned each modality on its own
        first_fused = self.options.fusion_start_epoch if self.fresh else 0
        return 0.0 if epoch < first_fused else 1.0


def _with_supersets(batch: Mapping[str, Tensor], wider: Tensor) -> dict[str, Tensor]:
    """Every crop twice, first with its subset and then with its superset."""
    kept = [name for name in ("image", "label", "present", "ignored", "place") if name in batch]
    twice = {name: torch.cat([batch[name]] * 2) for name in kept}
    return {**twice, "available": torch.cat([batch["available"], wider])}
