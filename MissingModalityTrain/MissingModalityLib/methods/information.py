"""ACN's terms: how doubtful predictions are by place, and what a student's features tell of a teacher's.

Wang, Zhang, Liu, Lin, Tian, Zhong, Shi, Fan, He: "ACN: adversarial co-training network for brain tumor
segmentation with missing modalities", MICCAI 2021. Entropy maps: Vu et al., "ADVENT", CVPR 2019; information:
Ahn et al., "Variational information distillation for knowledge transfer", CVPR 2019. Where the public code
differs the papers are followed: probabilities enter the maps as they are, where the code takes a softmax of
sigmoids, and the student's features tell the teacher's, where in the code they tell themselves.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..networks.head import Head
from ..networks.output import Feature

FIRST_VARIANCE = 5.0
LEAST_VARIANCE = 1e-5
MEAN, VARIANCE = Feature("information", "mean"), Feature("information", "variance")


def entropy_map(logits: Tensor, head: Head) -> Tensor:
    """-p log p of each channel (B, K, D, H, W), divided by the logarithm of their number."""
    probabilities = head.probabilities(logits.float())
    return torch.special.entr(probabilities) / math.log(head.channels)


class Regressor(nn.Module):
    """Gaussians of a teacher's features, told by a student's of the same place; one variance per channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        convs = [nn.Conv3d(channels, channels, 1, bias=False) for _ in range(3)]
        self.layers = nn.Sequential(convs[0], nn.ReLU(), convs[1], nn.ReLU(), convs[2])
        first = math.log(math.expm1(FIRST_VARIANCE - LEAST_VARIANCE))  # softplus undoes it
        self.scale = nn.Parameter(torch.full((channels,), first))

    def forward(self, student: Tensor) -> dict[Feature, Tensor]:
        """(B, C, d, h, w) -> means of that shape, variances (B, C, 1, 1, 1)."""
        variance = F.softplus(self.scale) + LEAST_VARIANCE
        return {
            MEAN: self.layers(student),
            VARIANCE: variance.view(1, -1, 1, 1, 1).expand(len(student), -1, 1, 1, 1),
        }


def information_distance(told: dict[Feature, Tensor], teacher: Tensor) -> Tensor:
    """Mean negative logarithm of the density of the teacher's features (B, C, d, h, w), less a constant."""
    variance = told[VARIANCE].float()
    return 0.5 * ((told[MEAN].float() - teacher.float()).square() / variance + variance.log()).mean()
