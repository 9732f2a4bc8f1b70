"""The loss of RFNet (Ding, Yu and Yang, ICCV 2021): its fused, separate and regional predictions alike."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ..core.errors import OptionError
from ..core.modalities import MODALITIES
from ..networks.head import Head
from ..networks.output import Feature, Kind, Output
from ..runtime import distributed
from .options import DEFAULTS, LossOptions
from .voxel_losses import RFNET_DICE_EPSILON, at_least_single, dice_losses, entropy_share, overlaps


def region_aware_loss(
    output: Output,
    classes: Tensor,
    head: Head,
    present: Tensor | None = None,
    fused_weight: float = 1.0,
    options: LossOptions = DEFAULTS,
    image: Tensor | None = None,
) -> dict[str, Tensor]:
    """RFNet's total: fused + every modality's separate decoder + every level's region map, equal weights.

    A modality that only some samples have weighs by its share of the batch. The sums of all Dice terms come
    together from all processes at once, those of a modality that nobody here has too.

    Returns:
        ``fused_*``, ``separate_*`` and ``region_*``, each as ``_ce`` and ``_dice``.
    """
    logits = at_least_single(output.logits)
    with torch.autocast(logits.device.type, enabled=False):
        target = head.target(classes, logits.dtype)
        maps = [(x, target) for feature, x in output.features.items() if feature.kind == Kind.REGIONS]
        groups = {
            "fused": [(head.probabilities(logits), target)],
            "separate": _separate_pairs(output.features, target, head, present),
            "region": maps,
        }
        pairs = [pair for group in groups.values() for pair in group]
        shares = distributed.total(target.new_tensor([len(rows) for _, rows in pairs])) / (
            len(target) * distributed.world()
        )
        dice = shares * dice_losses(
            distributed.total(torch.stack([overlaps(*pair) for pair in pairs])), 0.0, RFNET_DICE_EPSILON
        ).mean(-1)
        parts = dice.split([len(group) for group in groups.values()])
        terms: dict[str, Tensor] = {}
        for (name, group), part in zip(groups.items(), parts, strict=True):
            weight = fused_weight if name == "fused" else 1.0
            terms[f"{name}_ce"] = weight * sum(entropy_share(*pair, len(target)) for pair in group)
            terms[f"{name}_dice"] = weight * part.sum()
    return terms


def _separate_pairs(
    features: Mapping[Feature, Tensor], target: Tensor, head: Head, present: Tensor | None
) -> list[tuple[Tensor, Tensor]]:
    """For every modality, prediction and target of the samples that have it: none, some or all."""
    pairs = []
    for modality in MODALITIES:
        logits = features.get(Feature(Kind.SEPARATE, modality=modality))
        if present is None:
            rows = target[:0] if logits is None else target
        else:
            rows = target if present[:, modality].all() else target[present[:, modality]]
        count = 0 if logits is None else len(logits)
        if count != len(rows):
            raise OptionError(
                f"The network decoded {count} samples of {modality.title} but 'present' names {len(rows)}. "
                "Give the loss the same 'present' as the network."
            )
        pairs.append((rows if logits is None else head.probabilities(logits.to(target.dtype)), rows))
    return pairs
