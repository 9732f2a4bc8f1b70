"""Predictions as targets of other predictions: a teacher's, or the network's own of more modalities."""

from __future__ import annotations

import torch
from torch import Tensor

from ..networks.head import Head
from .voxel_losses import smooth_dice_loss


def distillation_loss(student: Tensor, teacher: Tensor, head: Head) -> tuple[Tensor, Tensor]:
    """Divergence and Dice distance of two predictions; both 0 exactly where they agree.

    Args:
        student, teacher: (B, K, D, H, W) logits.
        head: the network's; regions and sigmoids are K two-sided choices of their own.

    Returns:
        Scalars: Kullback-Leibler divergence in nats, mean over voxels (and regions); 1 - Dice with squares,
        mean over classes without background (or regions, or sigmoids), in 0..1.
    """
    student, teacher = student.float(), teacher.float()
    target, predicted = head.probabilities(teacher), head.probabilities(student)
    divergence = head.cross_entropy(student, target) - head.cross_entropy(teacher, target)
    scored = slice(head.first_scored, None)
    return divergence, smooth_dice_loss(predicted[:, scored], target[:, scored], squared=True)


@torch.no_grad()
def better_prediction(subset: Tensor, superset: Tensor, classes: Tensor, head: Head) -> Tensor:
    """Voxel by voxel the one of two predictions that is closer to the label.

    As a target of the former it asks for nothing where the latter is no better: a sequence of poor quality
    can mislead a superset, and what it says then is not worth learning.

    Args:
        subset, superset: (B, K, D, H, W) logits of fewer and of more modalities of the same crops.
        classes: (B, D, H, W) integer classes.
        head: the network's; of sigmoids each is chosen by itself.

    Returns:
        (B, K, D, H, W) single precision logits without gradient.
    """
    subset, superset = subset.float(), superset.float()
    target = head.target(classes, subset.dtype)
    entropies = [head.voxel_entropies(logits, classes, target) for logits in (subset, superset)]
    return torch.where(entropies[1] < entropies[0], superset, subset)
