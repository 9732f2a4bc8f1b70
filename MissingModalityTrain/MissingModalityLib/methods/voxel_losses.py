"""Dice and cross entropy over voxels, which losses are made of."""

from __future__ import annotations

import torch
from torch import Tensor

from ..runtime import distributed

CLAMP = 0.005
"""Least probability that weighted cross entropy tells apart, as in RFNet's public code."""
RFNET_DICE_EPSILON = 1e-7
"""In the denominator of RFNet's Dice, as in its code: an absent class that is not predicted costs 1."""
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
    return entropy_share(probabilities, target_onehot, len(target_onehot))


def entropy_share(probabilities: Tensor, target_onehot: Tensor, batch: int) -> Tensor:
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
    return dice_losses(distributed.total(overlaps(predicted, target, squared)), above, below).mean()


def overlaps(predicted: Tensor, target: Tensor, squared: bool = False) -> Tensor:
    """What Dice is made of, (2, K): overlap and common size of each channel, over batch and space."""
    return sample_overlaps(predicted, target, squared).sum(1)


def sample_overlaps(predicted: Tensor, target: Tensor, squared: bool = False) -> Tensor:
    """The same of each sample, (2, B, K)."""
    with torch.autocast(target.device.type, enabled=False):  # half precision cannot hold sums over voxels
        target = target.flatten(2)
        predicted = predicted.flatten(2).to(target.dtype)
        sizes = [_dot(x, x) if squared else x.sum(2) for x in (predicted, target)]
        return torch.stack((_dot(predicted, target), sum(sizes)))


def _dot(first: Tensor, second: Tensor) -> Tensor:
    """(B, K, n) twice -> (B, K), without storing a voxel-sized product."""
    return torch.einsum("bkn,bkn->bk", first, second)


def dice_losses(sums: Tensor, above: float, below: float) -> Tensor:
    """1 - Dice from sums (..., 2, K) -> (..., K)."""
    overlap, sizes = sums.unbind(-2)
    return 1 - (2 * overlap + above) / (sizes + below)


def at_least_single(logits: Tensor) -> Tensor:
    """Sums over voxels leave the range of half precision."""
    return logits.float() if logits.dtype.itemsize < 4 else logits
