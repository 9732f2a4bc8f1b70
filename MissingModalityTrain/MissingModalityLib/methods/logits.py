"""Dual-mode logit distillation (DMLD): logits, their standardized distributions, and probabilities.

Zhu et al., "Bridging the gap in missing modalities", MICCAI 2025, Sec. 2.3, Eq. 5-8; standardization: Sun et
al., "Logit standardization in knowledge distillation", CVPR 2024.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from ..networks.head import Head

TEMPERATURE = 7.0
"""As in the public code of MST-KDNet."""
STD_EPSILON = 1e-7
"""Keeps logits finite that are all alike, whose deviation is 0."""


def logit_distance(student: Tensor, teacher: Tensor) -> Tensor:
    """Eq. 5: mean square of the difference of logits (B, K, ...)."""
    return F.mse_loss(student.float(), teacher.float())


def probability_distance(student: Tensor, teacher: Tensor, head: Head) -> Tensor:
    """Consistency in the public codes of MST-KDNet and AdaMM (arXiv 2509.15017).

    Args:
        student, teacher: (B, K, ...) logits.
        head: the network's.

    Returns:
        Scalar: mean square of the difference of probabilities, summed over the channels but background's.
    """
    first = int(head.has_background)
    predicted, target = (head.probabilities(logits.float())[:, first:] for logits in (student, teacher))
    return F.mse_loss(predicted, target) * predicted.shape[1]


def standardized(logits: Tensor, axis: int = 1) -> Tensor:
    """Eq. 6 without the temperature: zero mean and unit (unbiased) deviation along an axis.

    Args:
        logits: (B, K, ...).
        axis: 1, the logits of each voxel as in the paper; the public code takes the last axis of space.
    """
    centered = logits - logits.mean(axis, keepdim=True)
    return centered / (logits.std(axis, keepdim=True) + STD_EPSILON)


def standardized_divergence(
    student: Tensor, teacher: Tensor, temperature: float = TEMPERATURE, axis: int = 1
) -> Tensor:
    """Eq. 7 times the square of the temperature, as it enters Eq. 8.

    Args:
        student, teacher: (B, K, ...) logits; softmax runs over K.
        temperature: softens both distributions; 7 in the public code.
        axis: as for :func:`standardized`.

    Returns:
        Scalar: Kullback-Leibler divergence of the student from the teacher in nats, mean over voxels.
    """
    logs, target = ((standardized(x.float(), axis) / temperature).log_softmax(1) for x in (student, teacher))
    divergence = F.kl_div(logs, target, reduction="none", log_target=True).sum(1).mean()
    # gradients of softened distributions shrink by its square (Hinton et al., 2015): so weights stay
    # comparable when the temperature changes
    return temperature**2 * divergence
