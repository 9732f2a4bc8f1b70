"""Weighted cross entropy and soft Dice of RFNet, and the loss of any network's output."""

from __future__ import annotations

import torch
from monai.losses import DiceLoss
from torch import Tensor
from torch.nn import functional as F

from ..errors import OptionError
from ..modalities import MODALITIES
from ..networks.output import Output
from ..regions import REGIONS

CLAMP = 0.005
EPSILON = 1e-7


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
    target = target_onehot.flatten(2)
    with torch.autocast(target.device.type, enabled=False):  # half precision cannot hold sums over voxels
        logs = probabilities.flatten(2).to(target.dtype).clamp(CLAMP, 1).log()
        voxels = target.sum(2)
        weights = 1 - voxels / voxels.sum(1, keepdim=True)
        # a batched dot product: no voxel-sized product is ever stored
        entropy = -torch.einsum("bkn,bkn->bk", target, logs)
        return (weights * entropy).sum() / (target.shape[0] * target.shape[2])


def dice_loss(probabilities: Tensor, target_onehot: Tensor) -> Tensor:
    """1 - soft Dice, averaged over all classes with background; sums run over batch and space together.

    No squares; 1e-7 in the denominator only, so a class that is absent and not predicted still costs 1/K
    (Ding et al., ICCV 2021, and their public training code).

    Args:
        probabilities: (B, K, ...) in 0..1.
        target_onehot: (B, K, ...) floating; may be soft.

    Returns:
        Scalar in 0..1.
    """
    target = target_onehot.flatten(2)
    with torch.autocast(target.device.type, enabled=False):
        predicted = probabilities.flatten(2).to(target.dtype)
        overlap = torch.einsum("bkn,bkn->k", predicted, target)
        total = predicted.sum((0, 2)) + target.sum((0, 2))
        return 1 - (2 * overlap / (total + EPSILON)).mean()


def one_hot(classes: Tensor, count: int, dtype: torch.dtype) -> Tensor:
    """(B, D, H, W) integer classes -> (B, count, D, H, W) of ``dtype``, without an int64 copy."""
    numbers = torch.arange(count, device=classes.device, dtype=classes.dtype).view(1, -1, 1, 1, 1)
    return (classes.unsqueeze(1) == numbers).to(dtype)


def region_target(classes: Tensor, dtype: torch.dtype) -> Tensor:
    """(B, D, H, W) integer classes -> (B, 3, D, H, W) masks of WT, TC, ET."""
    members = (torch.tensor(numbers, device=classes.device) for numbers in REGIONS.values())
    return torch.stack([torch.isin(classes, numbers) for numbers in members], 1).to(dtype)


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
    and ``_dice``. With logits alone: ``dice`` and ``ce`` (classes) or ``bce`` (regions).

    Args:
        output: of a network called in training mode.
        target_classes: (B, D, H, W) uint8 or int64, classes 0..K-1.
        head: the network's ``head``, "classes" or "regions".
        present: (B, 4) bool, the modalities each case really has, as given to the network; default all.
        fused_weight: factor of the fused terms in the total. RFNet trains its encoders and region maps first
            and fuses later: 0 until then, 1 afterwards. Outputs that are logits alone ignore it.

    Returns:
        Scalars as they enter the total, which is their sum.

    Raises:
        OptionError: unknown head, or ``present`` differs from what the network was given.
    """
    if head not in ("classes", "regions"):
        raise OptionError(f"Unknown head '{head}' of a network. Choose 'classes' or 'regions'.")
    logits = output.logits.float() if output.logits.dtype.itemsize < 4 else output.logits
    with torch.autocast(logits.device.type, enabled=False):
        if any(name.startswith("regions/") for name in output.features):
            return _region_aware_loss(logits, output.features, target_classes, present, fused_weight)
        plain_terms = _class_terms if head == "classes" else _region_terms
        terms = plain_terms(logits, target_classes)
    return {**terms, "total": sum(terms.values())}


def _class_terms(logits: Tensor, classes: Tensor) -> dict[str, Tensor]:
    """Dice without background over the whole batch, and plain cross entropy."""
    target = one_hot(classes, logits.shape[1], logits.dtype)
    return {
        "dice": DiceLoss(include_background=False, softmax=True, batch=True)(logits, target),
        "ce": F.cross_entropy(logits, classes.long()),
    }


def _region_terms(logits: Tensor, classes: Tensor) -> dict[str, Tensor]:
    """Dice over the whole batch and binary cross entropy of the nested regions."""
    target = region_target(classes, logits.dtype)
    return {
        "dice": DiceLoss(sigmoid=True, batch=True)(logits, target),
        "bce": F.binary_cross_entropy_with_logits(logits, target),
    }


def _region_aware_loss(
    logits: Tensor, features: dict[str, Tensor], classes: Tensor, present: Tensor | None, fused_weight: float
) -> dict[str, Tensor]:
    """RFNet's total: fused + every modality's separate decoder + every level's region map, equal weights."""
    target = one_hot(classes, logits.shape[1], logits.dtype)
    fused = _pair(logits.softmax(1), target)
    separate = _separate_terms(features, target, present)
    maps = [_pair(maps, target) for name, maps in features.items() if name.startswith("regions/")]
    region = tuple(sum(terms) for terms in zip(*maps, strict=True))
    groups = {"fused": [fused_weight * term for term in fused], "separate": separate, "region": region}
    terms = {
        f"{group}_{kind}": value
        for group, pair in groups.items()
        for kind, value in zip(("ce", "dice"), pair, strict=True)
    }
    return {**terms, "total": sum(terms.values())}


def _pair(probabilities: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    return weighted_cross_entropy(probabilities, target), dice_loss(probabilities, target)


def _separate_terms(
    features: dict[str, Tensor], target: Tensor, present: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Sum over modalities; a modality that only some samples have weighs by its share of the batch."""
    total = target.new_zeros(2)
    for modality in MODALITIES:
        logits = features.get(f"separate/{modality.name}")
        rows = target if present is None or present[:, modality].all() else target[present[:, modality]]
        count = 0 if logits is None else len(logits)
        if count != len(rows) and not (present is None and logits is None):
            raise OptionError(
                f"The network decoded {count} samples of {modality.title} but 'present' names {len(rows)}. "
                "Give the loss the same 'present' as the network."
            )
        if logits is not None:
            pair = torch.stack(_pair(logits.to(target.dtype).softmax(1), rows))
            total = total + pair * (count / len(target))
    return total[0], total[1]
