"""Multi-scale Transformer distillation (MS-TKD): extreme values of attention, and decoded maps.

Zhu et al., "Bridging the gap in missing modalities", MICCAI 2025, Sec. 2.2, Eq. 2-4.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

EXTREMES = ("heads", "layers")
"""Over what the largest, smallest and mean weights are taken: the paper's axis 1, or, as in its public
code, the extracted layers."""


def extreme_values(attention: Sequence[Tensor], over: str = "heads") -> list[Tensor]:
    """Attention weighted by its own extremes (Eq. 2 and 3).

    Weights are counted in units of uniform attention (multiplied by the number of tokens N), so that the
    values neither vanish for long sequences nor need a factor of 1e8, as in the public code.

    Args:
        attention: (B, heads, N, N) of each extracted layer; every row sums to 1.
        over: one of :data:`EXTREMES`.

    Returns:
        Per layer (3, B, heads, N, N): times the largest, the smallest and the mean weight.
    """
    weights = torch.stack([layer.float() for layer in attention]) * attention[0].shape[-1]
    axis = 2 if over == "heads" else 0
    extremes = torch.stack(
        [weights.amax(axis, keepdim=True), weights.amin(axis, keepdim=True), weights.mean(axis, keepdim=True)]
    )
    return list((extremes * weights).unbind(1))


def attention_distance(student: Sequence[Tensor], teacher: Sequence[Tensor], over: str = "heads") -> Tensor:
    """Eq. 4, first part: mean square per extreme and layer, summed over both.

    Args:
        student, teacher: as for :func:`extreme_values`.
        over: one of :data:`EXTREMES`.
    """
    pairs = zip(extreme_values(student, over), extreme_values(teacher, over), strict=True)
    return sum(3 * F.mse_loss(x, target) for x, target in pairs)


def scale_distance(student: Sequence[Tensor], teacher: Sequence[Tensor]) -> Tensor:
    """Eq. 4, second part: mean square of the difference of each decoded map, summed over the maps."""
    pairs = zip(student, teacher, strict=True)
    return sum(F.mse_loss(x.float(), target.float()) for x, target in pairs)
