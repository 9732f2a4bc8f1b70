"""Cross entropy that counts some voxels more: focal, of the hardest ones alone, or by region.

Focal: Lin et al., "Focal loss for dense object detection", ICCV 2017, Eq. 4 without its weight alpha. Hardest
voxels: Wu et al., "Bridging category-level and instance-level semantic image segmentation", 2016.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..networks.head import Head
from .options import LossOptions


def hard_voxel_entropy(
    logits: Tensor, classes: Tensor, target: Tensor, head: Head, options: LossOptions, weights: Tensor | None
) -> Tensor:
    """Mean over crops of the mean cross entropy of the voxels that count.

    Args:
        logits: (B, K, D, H, W), at least single precision.
        classes: (B, D, H, W) integer classes.
        target: (B, K, D, H, W), the head's of ``classes``.
        head: the network's; K sigmoids of a voxel count as one, by their mean.
        options: ``focal_gamma`` and ``top_k_fraction`` are read.
        weights: (K,) of channels, or None where all weigh alike.

    Returns:
        Scalar in nats. The hardest voxels are sought in each crop, so that the result does not depend on how
        a batch is divided among processes.
    """
    entropies = head.voxel_entropies(logits, classes, target)
    if options.focal_gamma:
        entropies = focal(entropies, options.focal_gamma)
    if weights is not None:
        entropies = entropies * head.voxel_weights(weights, classes)
    if options.top_k_fraction == 1:
        return entropies.mean()
    of_voxels = entropies.mean(1).flatten(1)
    count = max(1, round(options.top_k_fraction * of_voxels.shape[1]))
    return of_voxels.topk(count, sorted=False).values.mean()


def focal(entropies: Tensor, gamma: float) -> Tensor:
    """Cross entropies of labels, weighted by (1 - p)^gamma, p the probability of the label.

    MONAI's ``FocalLoss`` has the same values. It is not used, because it takes one-hot targets alone,
    computes every channel of a softmax where the label's is enough, and turns double precision into single.

    Args:
        entropies: -ln p, any shape.
        gamma: 0 or more.
    """
    wrong = -torch.expm1(-entropies)
    # a power below 1 has no slope at 0, where the voxel has nothing left to learn
    return wrong.clamp(min=torch.finfo(wrong.dtype).eps) ** gamma * entropies
