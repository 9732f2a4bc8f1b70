"""Weighted cross entropy and soft Dice of RFNet, and the loss of any network's output."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ..core.errors import OptionError
from ..core.labels import REGIONS
from ..core.modalities import MODALITIES
from ..networks.output import HEADS, LESIONS, Output
from ..runtime.distributed import total, world

CLAMP = 0.005
EPSILON = 1e-7
SMOOTH = 1e-5


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


def dice_loss(probabilities: Tensor, target_onehot: Tensor) -> Tensor:
    """1 - soft Dice, averaged over all classes with background; sums run over batch and space together.

    No squares; 1e-7 in the denominator only, so a class that is absent and not predicted still costs 1/K
    (Ding et al., ICCV 2021, and their public training code). Under torchrun the batch is that of all
    processes.

    Args:
        probabilities: (B, K, ...) in 0..1.
        target_onehot: (B, K, ...) floating; may be soft.

    Returns:
        Scalar in 0..1.
    """
    return _dice(total(_overlaps(probabilities, target_onehot)), 0.0, EPSILON).mean()


def smooth_dice_loss(predicted: Tensor, target: Tensor, squared: bool = False) -> Tensor:
    """1 - soft Dice with 1e-5 above and below, so that nothing predicted where nothing is costs nothing.

    MONAI's ``DiceLoss(batch=True)``, which knows one process only: here the sums run over the samples of all
    processes that torchrun started.

    Args:
        predicted, target: (B, K, ...) in 0..1.
        squared: square the voxels in the denominator (Milletari et al., 2016); then the loss is least where
            both agree, soft targets included.

    Returns:
        Scalar in 0..1: mean over the K channels.
    """
    return _dice(total(_overlaps(predicted, target, squared)), SMOOTH, SMOOTH).mean()


def channel_losses(logits: Tensor, classes: Tensor, head: str) -> tuple[Tensor, Tensor]:
    """Dice of each channel with squares in its denominator, and cross entropy, for any head.

    Args:
        logits: (B, K, D, H, W) floating.
        classes: (B, D, H, W) integer classes.
        head: the network's.

    Returns:
        (K,) 1 - soft Dice over the whole batch, in 0..1; mean cross entropy in nats.
    """
    if head == "regions":
        target = region_target(classes, logits.dtype)
    else:
        target = one_hot(classes, logits.shape[1], logits.dtype)
    if head == "classes":
        predicted, entropy = logits.softmax(1), F.cross_entropy(logits, classes.long())
    else:
        predicted, entropy = logits.sigmoid(), F.binary_cross_entropy_with_logits(logits, target)
    return _dice(total(_overlaps(predicted, target, squared=True)), SMOOTH, SMOOTH), entropy


def _overlaps(predicted: Tensor, target: Tensor, squared: bool = False) -> Tensor:
    """What Dice is made of, (2, K): overlap and common size of each channel, over batch and space."""
    with torch.autocast(target.device.type, enabled=False):  # half precision cannot hold sums over voxels
        target = target.flatten(2)
        predicted = predicted.flatten(2).to(target.dtype)
        sizes = [_dot(x, x) if squared else x.sum(2) for x in (predicted, target)]
        return torch.stack((_dot(predicted, target), sum(sizes))).sum(1)


def _dot(first: Tensor, second: Tensor) -> Tensor:
    """(B, K, n) twice -> (B, K), without storing a voxel-sized product."""
    return torch.einsum("bkn,bkn->bk", first, second)


def _dice(sums: Tensor, above: float, below: float) -> Tensor:
    """1 - Dice from sums (..., 2, K) -> (..., K)."""
    overlap, sizes = sums.unbind(-2)
    return 1 - (2 * overlap + above) / (sizes + below)


def one_hot(classes: Tensor, count: int, dtype: torch.dtype) -> Tensor:
    """(B, D, H, W) integer classes -> (B, count, D, H, W) of ``dtype``, without an int64 copy."""
    numbers = torch.arange(count, device=classes.device, dtype=classes.dtype).view(1, -1, 1, 1, 1)
    return (classes.unsqueeze(1) == numbers).to(dtype)


def region_target(classes: Tensor, dtype: torch.dtype) -> Tensor:
    """(B, D, H, W) integer classes -> (B, 3, D, H, W) masks of WT, TC, ET."""
    members = (torch.tensor(numbers, device=classes.device) for numbers in REGIONS.values())
    return torch.stack([torch.isin(classes, numbers) for numbers in members], 1).to(dtype)


def presence_target(classes: Tensor, dtype: torch.dtype) -> Tensor:
    """(B, D, H, W) integer classes -> (B, 3): 1 where the sample holds a voxel of NCR, ED, ET."""
    return one_hot(classes, 1 + len(LESIONS), torch.bool)[:, 1:].flatten(2).any(2).to(dtype)


def segmentation_loss(
    output: Output,
    target_classes: Tensor,
    head: str,
    present: Tensor | None = None,
    fused_weight: float = 1.0,
) -> dict[str, Tensor]:
    """Named loss terms of any network's output; ``"total"`` is the one to minimize.

    Which terms exist follows from what the output holds. With region maps (and separate-decoder logits) among
    its features, as RFNet gives in training mode: ``fused_*``, ``separate_*``, ``region_*``, each as ``_ce``
    and ``_dice``. With logits alone: ``dice`` and ``ce`` (classes) or ``bce`` (regions, sigmoids). With
    presence: ``presence``, the cross entropy of which classes the crop holds, besides.

    Args:
        output: of a network called in training mode.
        target_classes: (B, D, H, W) uint8 or int64, classes 0..K-1.
        head: the network's ``head``.
        present: (B, 4) bool, the modalities each case really has, as given to the network; default all.
        fused_weight: factor of the fused terms in the total. RFNet trains its encoders and region maps first
            and fuses later: 0 until then, 1 afterwards. Outputs that are logits alone ignore it.

    Returns:
        Scalars as they enter the total, which is their sum.

    Raises:
        OptionError: unknown head, or ``present`` differs from what the network was given.
    """
    if head not in HEADS:
        raise OptionError(f"Unknown head '{head}' of a network. Choose one of {', '.join(HEADS)}.")
    logits = output.logits.float() if output.logits.dtype.itemsize < 4 else output.logits
    with torch.autocast(logits.device.type, enabled=False):
        if any(name.startswith("regions/") for name in output.features):
            return _region_aware_loss(logits, output.features, target_classes, present, fused_weight)
        terms = _PLAIN_TERMS[head](logits, target_classes)
        if output.presence is not None:
            held = presence_target(target_classes, output.presence.dtype)
            terms["presence"] = F.binary_cross_entropy(output.presence, held)
    return {**terms, "total": sum(terms.values())}


def _class_terms(logits: Tensor, classes: Tensor) -> dict[str, Tensor]:
    """Dice without background over the whole batch, and plain cross entropy."""
    target = one_hot(classes, logits.shape[1], logits.dtype)
    return {
        "dice": smooth_dice_loss(logits.softmax(1)[:, 1:], target[:, 1:]),
        "ce": F.cross_entropy(logits, classes.long()),
    }


def _region_terms(logits: Tensor, classes: Tensor) -> dict[str, Tensor]:
    """Dice over the whole batch and binary cross entropy of the nested regions."""
    target = region_target(classes, logits.dtype)
    return {
        "dice": smooth_dice_loss(logits.sigmoid(), target),
        "bce": F.binary_cross_entropy_with_logits(logits, target),
    }


def _sigmoid_terms(logits: Tensor, classes: Tensor) -> dict[str, Tensor]:
    """Dice with squares over the whole batch and binary cross entropy of all classes with background."""
    dice, entropy = channel_losses(logits, classes, "sigmoids")
    return {"dice": dice.mean(), "bce": entropy}


_PLAIN_TERMS = {"classes": _class_terms, "regions": _region_terms, "sigmoids": _sigmoid_terms}


def _region_aware_loss(
    logits: Tensor, features: dict[str, Tensor], classes: Tensor, present: Tensor | None, fused_weight: float
) -> dict[str, Tensor]:
    """RFNet's total: fused + every modality's separate decoder + every level's region map, equal weights.

    A modality that only some samples have weighs by its share of the batch. The sums of all Dice terms come
    together from all processes at once, those of a modality that nobody here has too.
    """
    target = one_hot(classes, logits.shape[1], logits.dtype)
    maps = [(x, target) for name, x in features.items() if name.startswith("regions/")]
    groups = {
        "fused": [(logits.softmax(1), target)],
        "separate": _separate_pairs(features, target, present),
        "region": maps,
    }
    pairs = [pair for group in groups.values() for pair in group]
    shares = total(target.new_tensor([len(rows) for _, rows in pairs])) / (len(target) * world())
    dice = shares * _dice(total(torch.stack([_overlaps(*pair) for pair in pairs])), 0.0, EPSILON).mean(-1)
    parts = dice.split([len(group) for group in groups.values()])
    terms: dict[str, Tensor] = {}
    for (name, group), part in zip(groups.items(), parts, strict=True):
        weight = fused_weight if name == "fused" else 1.0
        terms[f"{name}_ce"] = weight * sum(_entropy(*pair, len(target)) for pair in group)
        terms[f"{name}_dice"] = weight * part.sum()
    return {**terms, "total": sum(terms.values())}


def _separate_pairs(
    features: dict[str, Tensor], target: Tensor, present: Tensor | None
) -> list[tuple[Tensor, Tensor]]:
    """For every modality, prediction and target of the samples that have it: none, some or all."""
    pairs = []
    for modality in MODALITIES:
        logits = features.get(f"separate/{modality.name}")
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
        pairs.append((rows if logits is None else logits.to(target.dtype).softmax(1), rows))
    return pairs
