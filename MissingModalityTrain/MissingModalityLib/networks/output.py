"""What every network returns, and what early-fusion networks do alike at both ends."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..core.labels import REGIONS, TumorClass

HEADS = {"classes": len(TumorClass), "regions": len(REGIONS), "sigmoids": len(TumorClass)}
"""Kind of prediction -> its channels. classes: one softmax over background, NCR/NET, ED, ET; regions:
sigmoids for WT, TC, ET; sigmoids: one for each class, background included, that need not agree."""
LESIONS = tuple(cls.name for cls in TumorClass if cls is not TumorClass.BACKGROUND)
"""What presence is told of."""
RARE = 4.0
"""Logit by which a new network takes a voxel for background: tumor fills about 2 % of a crop."""


@dataclass
class Output:
    """Result of ``network(image, available)``.

    Attributes:
        logits: (B, K, D, H, W); K as :data:`HEADS` says of ``network.head``.
        features: named intermediate tensors; in training mode those that the network's own loss reads,
            all that can be distilled if asked for.
        presence: (B, 3), never in half precision: probability that the image holds each of :data:`LESIONS` at
            all; None where the network does not tell. ``logits`` know nothing of it, see
            :func:`..sliding_window.gated`.
    """

    logits: Tensor
    features: dict[str, Tensor] = field(default_factory=dict)
    presence: Tensor | None = None


def asked(features: bool | Collection[str], kind: str) -> bool:
    """Whether features of a kind, the first part of their names, are wanted."""
    return features if isinstance(features, bool) else kind in features


def chosen(found: Mapping[str, Tensor], features: bool | Collection[str]) -> dict[str, Tensor]:
    """Of features by name those of the kinds that are wanted."""
    return {name: x for name, x in found.items() if asked(features, name.partition("/")[0])}


def visible(image: Tensor, available: Tensor) -> Tensor:
    """(B, 4, D, H, W) with zeros in channels that ``available`` (B, 4) does not name, whatever they hold."""
    # where(), not a product: NaN * 0 is NaN
    zero = torch.zeros((), dtype=image.dtype, device=image.device)
    return torch.where(available[:, :, None, None, None], image, zero)


@torch.no_grad()
def expect_background(bias: Tensor, head: str) -> None:
    """Spare training the hundreds of steps that learning the rarity of tumor from zero takes.

    Lin et al., "Focal loss for dense object detection", ICCV 2017, Sec. 4.1.

    Args:
        bias: of the last convolution, K blocks of one or more channels.
        head: the network's.
    """
    if head == "classes":
        bias.view(HEADS[head], -1)[TumorClass.BACKGROUND] += RARE
        return
    bias.fill_(-RARE)
    if head == "sigmoids":
        bias.view(HEADS[head], -1)[TumorClass.BACKGROUND] = RARE
