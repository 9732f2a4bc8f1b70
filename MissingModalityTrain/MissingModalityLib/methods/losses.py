"""Weighted cross entropy and soft Dice of RFNet, and what compares a network's output with the labels.

Deep supervision: Isensee et al., "nnU-Net", Nature Methods 2021: the loss at each level of the decoder, half
as much at each coarser one, the weights adding up to 1, against labels of the nearest voxel.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..core.errors import OptionError
from ..core.labels import TUMOR_CLASSES
from ..core.modalities import MODALITIES
from ..networks.heads import Head, one_hot
from ..networks.output import Feature, Kind, Output, chosen
from ..runtime import distributed
from .hard_voxels import hard_voxel_entropy
from .ignored import nearest
from .options import LossOptions

CLAMP = 0.005
"""Least probability that weighted cross entropy tells apart, as in RFNet's public code."""
RFNET_DICE_EPSILON = 1e-7
"""In the denominator of RFNet's Dice, as in its code: an absent class that is not predicted costs 1."""
DEFAULTS = LossOptions()
"""Dice over the batch and the mean cross entropy."""
SMOOTH = 1e-5
"""Above and below in Dice, MONAI's default: an absent class that is not predicted costs nothing."""


def weighted_cross_entropy(probabilities: Tensor, target_onehot: Tensor) -> Tensor:
    """Cross entropy in which a class weighs the more, the rarer it is in its sample.

    Weight of class k in sample b: 1 - (voxels of k in b) / (voxels of b); not renormalized. Probabilities are
    clamped to [0.005, 1] first, so a confidently wrong voxel has a bounded loss and no gradient
    (Ding et al., ICCV 2021, and their public training code).

    Args:
        probabilities: (B, K, ...) in 0..1.
        target_onehot: (B, K, ...) floating; may be soft.

    Returns:
        Scalar: mean over samples and voxels of the weighted class sum.
    """
    return _entropy(probabilities, target_onehot, len(target_onehot))


def _entropy(probabilities: Tensor, target_onehot: Tensor, batch: int) -> Tensor:
    """:func:`weighted_cross_entropy` of some samples of a batch: what they add to the mean over all of it."""
    with torch.autocast(target_onehot.device.type, enabled=False):
        target = target_onehot.flatten(2)
        logs = probabilities.flatten(2).to(target.dtype).clamp(CLAMP, 1).log()
        voxels = target.sum(2)
        weights = 1 - voxels / voxels.sum(1, keepdim=True)
        return -(weights * _dot(target, logs)).sum() / (batch * target.shape[2])


def smooth_dice_loss(
    predicted: Tensor, target: Tensor, squared: bool = False, above: float = SMOOTH, below: float = SMOOTH
) -> Tensor:
    """1 - soft Dice; sums run over batch and space together, and over all processes that torchrun started.

    With the defaults MONAI's ``DiceLoss(batch=True)``, which knows one process only: nothing predicted where
    nothing is costs nothing. RFNet's has 0 above and 1e-7 below (Ding et al., ICCV 2021, and their code).

    Args:
        predicted, target: (B, K, ...) in 0..1.
        squared: square the voxels in the denominator (Milletari et al., 2016); then the loss is least where
            both agree, soft targets included.
        above, below: added to numerator and denominator.

    Returns:
        Scalar in 0..1: mean over the K channels.
    """
    return _dice(distributed.total(_overlaps(predicted, target, squared)), above, below).mean()


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
    return _dice(distributed.total(_overlaps(predicted, target, squared=True)), SMOOTH, SMOOTH), entropy


def _overlaps(predicted: Tensor, target: Tensor, squared: bool = False) -> Tensor:
    """What Dice is made of, (2, K): overlap and common size of each channel, over batch and space."""
    return _sample_overlaps(predicted, target, squared).sum(1)


def _sample_overlaps(predicted: Tensor, target: Tensor, squared: bool = False) -> Tensor:
    """The same of each sample, (2, B, K)."""
    with torch.autocast(target.device.type, enabled=False):  # half precision cannot hold sums over voxels
        target = target.flatten(2)
        predicted = predicted.flatten(2).to(target.dtype)
        sizes = [_dot(x, x) if squared else x.sum(2) for x in (predicted, target)]
        return torch.stack((_dot(predicted, target), sum(sizes)))


def _dot(first: Tensor, second: Tensor) -> Tensor:
    """(B, K, n) twice -> (B, K), without storing a voxel-sized product."""
    return torch.einsum("bkn,bkn->bk", first, second)


def _dice(sums: Tensor, above: float, below: float) -> Tensor:
    """1 - Dice from sums (..., 2, K) -> (..., K)."""
    overlap, sizes = sums.unbind(-2)
    return 1 - (2 * overlap + above) / (sizes + below)


def presence_target(classes: Tensor, dtype: torch.dtype) -> Tensor:
    """(B, D, H, W) integer classes -> (B, 3): 1 where the sample holds a voxel of NCR, ED, ET."""
    return one_hot(classes, 1 + len(TUMOR_CLASSES), torch.bool)[:, 1:].flatten(2).any(2).to(dtype)


def segmentation_loss(
    network: nn.Module,
    output: Output,
    classes: Tensor,
    present: Tensor | None = None,
    fused_weight: float = 1.0,
    options: LossOptions = DEFAULTS,
) -> dict[str, Tensor]:
    """Named terms of the loss that a network names; ``"total"`` is the one to minimize.

    Args:
        network: which gave the output; its ``loss`` is one of :data:`LOSSES`.
        output: with the features ``network.loss_features``.
        classes: (B, D, H, W) uint8 or int64, 0..K-1.
        present: (B, 4) bool, the modalities each case really has, as given to the network; default all.
        fused_weight: factor of the fused terms in the total. RFNet trains its encoders and region maps first
            and fuses later: 0 until then, 1 afterwards. Losses without separate terms ignore it.
        options: of the plain loss; others do not read them.

    Returns:
        Scalars as they enter the total, which is their sum.

    Raises:
        OptionError: the network names no loss, or ``present`` differs from what the network was given.
    """
    if network.loss not in LOSSES:
        raise OptionError(
            f"Network {network.name} names the loss '{network.loss}'. Let it name one of {', '.join(LOSSES)}."
        )
    terms = LOSSES[network.loss](output, classes, network.head, present, fused_weight, options)
    return {**terms, "total": sum(terms.values())}


def plain_loss(
    output: Output,
    classes: Tensor,
    head: Head,
    present: Tensor | None = None,
    fused_weight: float = 1.0,
    options: LossOptions = DEFAULTS,
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
    logits = _at_least_single(logits)
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
        of_samples = _sample_overlaps(*pair, head.squares_dice).transpose(0, 1)
        losses = _dice(of_samples, SMOOTH, SMOOTH).mean(0)
    else:
        losses = _dice(distributed.total(_overlaps(*pair, head.squares_dice)), SMOOTH, SMOOTH)
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


def region_aware_loss(
    output: Output,
    classes: Tensor,
    head: Head,
    present: Tensor | None = None,
    fused_weight: float = 1.0,
    options: LossOptions = DEFAULTS,
) -> dict[str, Tensor]:
    """RFNet's total: fused + every modality's separate decoder + every level's region map, equal weights.

    A modality that only some samples have weighs by its share of the batch. The sums of all Dice terms come
    together from all processes at once, those of a modality that nobody here has too.

    Returns:
        ``fused_*``, ``separate_*`` and ``region_*``, each as ``_ce`` and ``_dice``.
    """
    logits = _at_least_single(output.logits)
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
        dice = shares * _dice(
            distributed.total(torch.stack([_overlaps(*pair) for pair in pairs])), 0.0, RFNET_DICE_EPSILON
        ).mean(-1)
        parts = dice.split([len(group) for group in groups.values()])
        terms: dict[str, Tensor] = {}
        for (name, group), part in zip(groups.items(), parts, strict=True):
            weight = fused_weight if name == "fused" else 1.0
            terms[f"{name}_ce"] = weight * sum(_entropy(*pair, len(target)) for pair in group)
            terms[f"{name}_dice"] = weight * part.sum()
    return terms


LOSSES: Mapping[str, Callable[..., dict[str, Tensor]]] = {
    "plain": plain_loss,
    "region_aware": region_aware_loss,
}
"""What :attr:`.Network.loss` names. Terms of other kinds are for methods, see :class:`.method.Method`."""


def _at_least_single(logits: Tensor) -> Tensor:
    """Sums over voxels leave the range of half precision."""
    return logits.float() if logits.dtype.itemsize < 4 else logits


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
