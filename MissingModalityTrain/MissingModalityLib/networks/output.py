"""What every network returns, and how intermediate features are named and chosen."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

import torch
from torch import Tensor

from ..core.modalities import Modality


class Kind(StrEnum):
    """Kinds of features that methods know; networks and methods from outside may use further names."""

    ATTENTION = "attention"
    """(B, heads, N, N): weights of self-attention, each row sums to 1."""
    SCALE = "scale"
    """Maps that a Transformer's depths are decoded to."""
    STYLE = "style"
    """(B, C, d, h, w): what fused matrices are made of."""
    ADVERSARIAL = "adversarial"
    """(B, C, d, h, w): what a discriminator of styles sees."""
    CONTENT = "content"
    """(B, C, d, h, w): the deepest features, before style enters them."""
    ENCODER = "encoder"
    """(n, C, d, h, w): of one modality alone, for the n samples that have it."""
    FUSED = "fused"
    """(B, C, d, h, w): after the modalities have met."""
    LATENT = "latent"
    """(B, 2C, d, h, w): mean and log-variance of what the modalities tell together, side by side."""
    DECODER = "decoder"
    """(B, C, d, h, w): on the way back to full resolution."""
    DEEP = "deep"
    """(B, K, d, h, w): logits at a coarser level, for deep supervision."""
    REGIONS = "regions"
    """(B, K, D, H, W): probabilities of each class, estimated at a coarser level."""
    SEPARATE = "separate"
    """(n, K, D, H, W): logits from one modality alone, for the n samples that have it."""
    RESTORED = "restored"
    """(n, 1, D, H, W): the image of one modality, made from those at hand, for the n samples that have it."""
    APPEARANCE = "appearance"
    """(n, C): codes of how one modality looks, for the n samples that have it."""


PRESENCE = "presence"
"""Stands among what can be distilled for :attr:`Output.presence`."""


class Feature(NamedTuple):
    """Key of an intermediate tensor.

    Attributes:
        kind: a :class:`Kind`, or a name of an outside network's own.
        level: resolution (1 is full), or the name of the layer or place; "" where the kind has one tensor.
        modality: that the tensor belongs to, if it belongs to one.
    """

    kind: str
    level: int | str = ""
    modality: Modality | None = None

    def __str__(self) -> str:
        """``kind/level/MODALITY``, without what is not there."""
        modality = "" if self.modality is None else self.modality.name
        return "/".join(filter(None, (str(self.kind), str(self.level), modality)))


@dataclass
class Output:
    """Result of ``network(image, available)``.

    Attributes:
        logits: (B, K, D, H, W); what they mean says the network's :class:`.head.Head`.
        features: intermediate tensors of the kinds that were asked for.
        presence: (B, 3), never in half precision: probability that the image holds each of
            :data:`.labels.TUMOR_CLASSES` at all; None where the network does not tell. ``logits`` know
            nothing of it, see :meth:`.head.Head.apply_presence`.
    """

    logits: Tensor
    features: dict[Feature, Tensor] = field(default_factory=dict)
    presence: Tensor | None = None


def asked(features: bool | Collection[str], kind: str) -> bool:
    """Whether features of a kind are wanted."""
    return features if isinstance(features, bool) else kind in features


def chosen(found: Mapping[Feature, Tensor], features: bool | Collection[str]) -> dict[Feature, Tensor]:
    """Those features whose kind is wanted, in their order."""
    return {feature: x for feature, x in found.items() if asked(features, feature.kind)}


def mask_missing(image: Tensor, available: Tensor) -> Tensor:
    """(B, 4, D, H, W) with zeros in channels that ``available`` (B, 4) does not name, whatever they hold."""
    # where(), not a product: NaN * 0 is NaN
    zero = torch.zeros((), dtype=image.dtype, device=image.device)
    return torch.where(available[:, :, None, None, None], image, zero)
