"""Distillation within a step: two subsets of the same crop learn from the labels and from each other.

Liu et al., "M3AE: multimodal representation learning for brain tumor segmentation with missing modalities",
AAAI 2023, whose self-distillation needs no second network: both are one batch of the same network. Each is
the other's target, so gradients of the distances reach both.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..core.errors import OptionError
from ..networks.head import Head
from ..networks.output import Kind, Output, chosen
from .ignored import nearest, without_ignored
from .method import Method, place_of, unwrap_ddp
from .options import MutualOptions
from .plain import channel_losses
from .voxel_losses import at_least_single


class Mutual(Method):
    """Dice and cross entropy of either subset, and the distances of probabilities and of content."""

    Options: ClassVar[type] = MutualOptions

    def check(self, network: nn.Module) -> None:
        """Hold the method against what the network offers.

        Raises:
            OptionError: the network has a loss of its own or tells presence, which nothing here would teach,
                or lacks the content that shall be compared.
        """
        if network.loss != "plain":
            raise OptionError(
                f"Setting method=mutual: network {network.name} has a loss of its own, '{network.loss}'. "
                "Choose another network or method."
            )
        if network.options.get("presence"):
            raise OptionError(
                "Setting method=mutual: nothing would teach the network which classes are present. Set "
                "network.presence=false."
            )
        if self.options.content and Kind.CONTENT not in network.distillable_features:
            raise OptionError(
                f"Setting mutual.content={self.options.content}: network {network.name} has no such features "
                "to distill. Set mutual.content=0."
            )

    def modalities_read(self, network: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
        """Both subsets."""
        return batch["present"] if network.reads_present else batch["available"] | batch["other"]

    def loss(self, network: nn.Module, batch: Mapping[str, Tensor], epoch: int) -> dict[str, Tensor]:
        """``dice`` and, by the head's name, ``ce`` or ``bce``, ``consistency`` and ``content``.

        Args:
            network: of the method, possibly wrapped.
            batch: as for :class:`.supervised.Supervised`, and ``other`` (B, 4) bool, the second subset.
            epoch: not read.
        """
        trained, options = unwrap_ddp(network), self.options
        twice = {
            name: torch.cat([batch[name]] * 2)
            for name in ("image", "label", "present", "place", "ignored")
            if name in batch
        }
        available = torch.cat([batch["available"], batch["other"]])
        kinds = {*trained.loss_features, *([Kind.CONTENT] if options.content else [])}
        output = network(twice["image"], available, twice["present"], kinds, **place_of(network, twice))
        output = without_ignored(output, twice, trained.head)
        with torch.autocast(output.logits.device.type, enabled=False):
            dice, entropy = level_losses(output, twice["label"], trained.head)
            # the sum over both subsets, of which these are the mean
            terms = {
                "dice": 2 * options.dice * dice,
                trained.head.entropy_name: 2 * options.cross_entropy * entropy,
            }
            probabilities = trained.head.probabilities(at_least_single(output.logits))
            terms["consistency"] = options.consistency * F.mse_loss(*probabilities.chunk(2))
            if options.content:
                (content,) = chosen(output.features, {Kind.CONTENT}).values()
                terms["content"] = options.content * F.mse_loss(*at_least_single(content).chunk(2))
        return {**terms, "total": sum(terms.values())}


def level_losses(output: Output, classes: Tensor, head: Head) -> tuple[Tensor, Tensor]:
    """Dice with squares in its denominator and cross entropy, at full and at coarser resolution.

    Each coarser level counts half as much as the one before, and the weights add up to 1.

    Args:
        output: with ``deep`` features, if the network has any.
        classes: (B, D, H, W) integer classes.
        head: the network's.
    """
    deep = chosen(output.features, {Kind.DEEP})
    levels = [output.logits, *(deep[key] for key in sorted(deep, key=lambda feature: feature.level))]
    weights = [0.5**number for number in range(len(levels))]
    pairs = [
        channel_losses(at_least_single(logits), nearest(classes, logits.shape[2:]), head) for logits in levels
    ]
    weighted = list(zip(weights, pairs, strict=True))
    dice = sum(weight * losses.mean() for weight, (losses, _) in weighted) / sum(weights)
    return dice, sum(weight * entropy for weight, (_, entropy) in weighted) / sum(weights)
