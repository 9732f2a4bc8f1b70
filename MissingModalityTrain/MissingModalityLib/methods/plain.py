"""Dice and cross entropy of any head, at full and coarser resolution, and of presence.

Deep supervision: Isensee et al., "nnU-Net", Nature Methods 2021: the loss at each level of the decoder, half
as much at each coarser one, the weights adding up to 1, against labels of the nearest voxel.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F

from ..core.labels import TUMOR_CLASSES
from ..networks.head import Head, one_hot
from ..networks.output import Kind, Output, chosen
from ..runtime import distributed
from .hard_voxels import hard_voxel_entropy
from .ignored import nearest
from .options import DEFAULTS, LossOptions
from .voxel_losses import SMOOTH, at_least_single, dice_losses, overlaps, sample_overlaps


def channel_losses(logits: Tensor, classes: Tensor, head: Head) -> tuple[Tensor, Tensor]:
    """Dice of each channel with squares in its denominator, and cross entropy, for any head.

    Args:
        logits: (B, K, D, H, W) floating.
        classes: (B, D, H, W) integer classes.
        head: the network's.

    Returns:
        (K,) 1 - soft Dice over the whole batch, in 0..1; mean cross entropy in nats.
    """
    target = head.target(classes, logits.dtype)
    # Before the entropy: gradients of the logits are added up in the reverse order of their uses, and where
    # there are more than two of these, the order decides the last digit. Runs resume to the bit.
    predicted = head.probabilities(logits)
    entropy = head.label_entropy(logits, classes, target)
    return dice_losses(distributed.total(overlaps(predicted, target, squared=True)), SMOOTH, SMOOTH), entropy


def presence_target(classes: Tensor, dtype: torch.dtype) -> Tensor:
    """(B, D, H, W) integer classes -> (B, 3): 1 where the sample holds a voxel of NCR, ED, ET."""
    return one_hot(classes, 1 + len(TUMOR_CLASSES), torch.bool)[:, 1:].flatten(2).any(2).to(dtype)


def plain_loss(
    output: Output,
    classes: Tensor,
    head: Head,
    present: Tensor | None = None,
    fused_weight: float = 1.0,
    options: LossOptions = DEFAULTS,
    image: Tensor | None = None,
) -> dict[str, Tensor]:
    """Dice and cross entropy of the logits; of those at coarser levels and of presence, where there are any.

    Returns:
        ``dice`` and, by the head's name, ``ce`` or ``bce``; with deep supervision the same with ``deep_``
        before it, sums over the levels; with presence ``presence``, the cross entropy of which classes the
        crop holds.
    """
    with torch.autocast(output.logits.device.type, enabled=False):
        terms = _prediction_terms(output.logits, classes, head, options)
        deep = chosen(output.features, {Kind.DEEP})
        if deep:
            coarser = [deep[feature] for feature in sorted(deep, key=lambda feature: feature.level)]
            terms = _with_deep_terms(terms, coarser, classes, head, options)
        if output.presence is not None:
            held = presence_target(classes, output.presence.dtype)
            terms["presence"] = F.binary_cross_entropy(output.presence, held)
    return terms


def _prediction_terms(logits: Tensor, classes: Tensor, head: Head, options: LossOptions) -> dict[str, Tensor]:
    logits = at_least_single(logits)
    target = head.target(classes, logits.dtype)
    weights = None
    if len(set(options.region_weights)) > 1:
        weights = _channel_weights(head, options.region_weights, logits.device, logits.dtype)
    return {
        "dice": _dice_term(head.probabilities(logits), target, head, options, weights),
        head.entropy_name: _entropy_term(logits, classes, target, head, options, weights),
    }


def _dice_term(
    predicted: Tensor, target: Tensor, head: Head, options: LossOptions, weights: Tensor | None
) -> Tensor:
    scored = slice(head.first_scored, None)
    pair = predicted[:, scored], target[:, scored]
    if options.dice_over == "sample":
        of_samples = sample_overlaps(*pair, head.squares_dice).transpose(0, 1)
        losses = dice_losses(of_samples, SMOOTH, SMOOTH).mean(0)
    else:
        losses = dice_losses(distributed.total(overlaps(*pair, head.squares_dice)), SMOOTH, SMOOTH)
    return losses.mean() if weights is None else (losses * weights[scored]).mean()


def _entropy_term(
    logits: Tensor,
    classes: Tensor,
    target: Tensor,
    head: Head,
    options: LossOptions,
    weights: Tensor | None,
) -> Tensor:
    if weights is None and not options.focal_gamma and options.top_k_fraction == 1:
        return head.label_entropy(logits, classes, target)
    return hard_voxel_entropy(logits, classes, target, head, options, weights)


@cache  # made once, because a GPU waits for every number that it is given by the host
def _channel_weights(
    head: Head, regions: tuple[float, ...], device: torch.device, dtype: torch.dtype
) -> Tensor:
    """(K,) of weights of the regions."""
    return torch.tensor(head.channel_weights(regions), device=device, dtype=dtype)


def _with_deep_terms(
    terms: Mapping[str, Tensor],
    coarser: Sequence[Tensor],
    classes: Tensor,
    head: Head,
    options: LossOptions,
) -> dict[str, Tensor]:
    """Terms of full resolution together with those of logits at coarser levels, finest first."""
    weights = [0.5**number for number in range(1 + len(coarser))]
    weighted = {name: term / sum(weights) for name, term in terms.items()}
    for weight, logits in zip(weights[1:], coarser, strict=True):
        of_level = _prediction_terms(logits, nearest(classes, logits.shape[2:]), head, options)
        for name, term in of_level.items():
            weighted[f"deep_{name}"] = weighted.get(f"deep_{name}", 0.0) + term * (weight / sum(weights))
    return weighted
