"""RA-HVED's training: a subset and all that is present in one step, and a discriminator of their results.

Jeong, Cho, Kwon, Park: "Region-of-interest attentive heteromodal variational encoder-decoder for segmentation
with missing modalities", ACCV 2022. The discriminator sees a segmentation together with the restored images,
brighter where it says tumor; it tells those of subsets from those of all modalities, the network learns to
make them alike. Least squares of its answers: Mao et al., ICCV 2017.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ..core.errors import OptionError
from ..core.modalities import MODALITIES
from ..networks.heads import HEADS
from ..networks.output import Feature, Kind, Output
from ..networks.rfnet_blocks import scatter_rows
from .adversary import Adversary
from .ignored import without_ignored
from .losses import segmentation_loss
from .method import Method, unwrap_ddp
from .options import AdversarialOptions
from .restoring import attentive_dice
from .voxel_losses import at_least_single

WIDTHS = (64, 128, 256, 512)
"""Channels of the discriminator's layers."""
_SLOPE = 0.2
_CERTAIN = 0.5
"""Probability from which on a region is attended to."""


class Discriminator(nn.Module):
    """Answers near 1 for what all modalities gave and near 0 for a subset's, patch by patch.

    Args:
        channels: of segmentation and images together.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for number, (inputs, outputs) in enumerate(pairwise((channels, *WIDTHS))):
            layers.append(nn.Conv3d(inputs, outputs, 4, stride=2 if number else 1, padding=1))
            layers += [nn.InstanceNorm3d(outputs)] if number else []
            layers.append(nn.LeakyReLU(_SLOPE))
        self.layers = nn.Sequential(*layers, nn.Conv3d(WIDTHS[-1], 1, 4, padding=1, bias=False))

    def forward(self, shown: Tensor) -> Tensor:
        """(B, channels, D, H, W) -> (B, 1, d, h, w)."""
        return self.layers(shown)

    def generator_loss(self, subset: Tensor) -> Tensor:
        """What the network minimizes: that its results are taken for those of all modalities."""
        return (self(subset) - 1).square().mean()

    def loss(self, subset: Tensor, everything: Tensor) -> Tensor:
        """What the discriminator itself minimizes, mean over both kinds."""
        return (self(subset).square().mean() + (self(everything) - 1).square().mean()) / 2


class Adversarial(Method):
    """The loss of the network on a subset, Dice on all that is present, and a discriminator of both."""

    Options: ClassVar[type] = AdversarialOptions

    def __init__(self, options: AdversarialOptions | None = None, fresh: bool = True) -> None:
        super().__init__(options, fresh)
        self.adversary: Adversary | None = None

    def check(self, network: nn.Module) -> None:
        """Refuse networks that restore no images or tell no regions.

        Raises:
            OptionError: such a network.
        """
        if Kind.RESTORED not in network.loss_features or network.head != HEADS["regions"]:
            raise OptionError(
                f"Setting method=adversarial is for networks that restore images and tell regions, and "
                f"{network.name} does not. Choose the network rahved, or another method."
            )

    def assemble(self, network: nn.Module, seed: int = 0) -> nn.Module:
        """The network itself; beside it the discriminator."""
        self.adversary = Adversary(
            lambda: Discriminator(network.head.channels + len(MODALITIES)),
            next(network.parameters()).device,
            seed,
            self.options.discriminator_learning_rate,
        )
        return network

    def state_dict(self) -> dict[str, Any]:
        """The discriminator and its optimizer."""
        return self.adversary.state_dict("discriminator")

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """See :meth:`.method.Method.load_state_dict`."""
        self.adversary.load_state_dict(state, "discriminator")

    def loss(self, network: nn.Module, batch: Mapping[str, Tensor], epoch: int) -> dict[str, Tensor]:
        """Terms of the network's own loss on the subset, ``all_dice`` and ``adversarial``.

        Args:
            network: of the method, possibly wrapped.
            batch: as for :class:`.supervised.Supervised`.
            epoch: not read.
        """
        trained, image, present = unwrap_ddp(network), batch["image"], batch["present"]
        # one pass of both, as one pass is what a distributed wrapper can follow
        available = torch.cat([batch["available"], present])
        both = network(
            torch.cat([image, image]), available, torch.cat([present, present]), trained.loss_features
        )
        subset, everything = (without_ignored(output, batch, trained.head) for output in _halves(both))
        label = batch["label"]
        terms = segmentation_loss(trained, subset, label, present, image=image)
        del terms["total"]
        with torch.autocast(subset.logits.device.type, enabled=False):
            terms["all_dice"] = attentive_dice(everything.logits, label, trained.head)
            shown = [self._show(output, trained, present) for output in (subset, everything)]
            self.adversary.keep(*shown)
            terms["adversarial"] = self.options.weight * self.adversary.generator_loss(shown[0])
        return {**terms, "total": sum(terms.values())}

    def finish_step(self) -> None:
        """Train the discriminator on the results of the step."""
        self.adversary.step(self.options.weight)

    def _show(self, output: Output, network: nn.Module, present: Tensor) -> Tensor:
        """(B, 3 + 4, D, H, W): the regions' probabilities, and images brighter by the likeliest region's."""
        probabilities = network.head.probabilities(at_least_single(output.logits))
        weight = torch.zeros_like(probabilities[:, 0].detach())
        for region in probabilities.detach().unbind(1):  # from the whole tumor inwards
            weight = torch.where(region > _CERTAIN, region, weight)
        images = torch.cat([_restored(output, modality, present, weight) for modality in MODALITIES], 1)
        return torch.cat([probabilities, images * (1 + weight.unsqueeze(1))], 1)


def _restored(output: Output, modality: int, present: Tensor, like: Tensor) -> Tensor:
    """The image of a modality (B, 1, D, H, W), 0 where a case lacks it."""
    rows = output.features.get(Feature(Kind.RESTORED, modality=modality))
    if rows is None:
        return torch.zeros_like(like).unsqueeze(1)
    return scatter_rows(at_least_single(rows), present[:, modality].to(rows.device))


def _halves(output: Output) -> tuple[Output, Output]:
    """Outputs of the first and of the second half of a batch, which hold the same cases."""
    features = {feature: x.chunk(2) for feature, x in output.features.items()}
    return tuple(
        Output(logits, {feature: pair[number] for feature, pair in features.items()})
        for number, logits in enumerate(output.logits.chunk(2))
    )
