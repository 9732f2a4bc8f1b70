"""Global style matching (GSME; in AdaMM bi-bottleneck distillation): feature products, and a discriminator.

Zhu et al., "Bridging the gap in missing modalities", MICCAI 2025, Sec. 2.4, Eq. 9-11; "No modality left
behind" (AdaMM, arXiv 2509.15017) matches styles and aligns features alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations, pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

DISCRIMINATOR_SLOPE = 0.2
"""Of the discriminator's LeakyReLU below 0, as in the public code."""


def fused_matrix(first: Tensor, second: Tensor) -> Tensor:
    """Eq. 10: products of every channel of one feature with every channel of another, mean over elements.

    Args:
        first, second: (B, C, d, h, w).

    Returns:
        (B, C, C).
    """
    first, second = first.float().flatten(2), second.float().flatten(2)
    return first @ second.transpose(1, 2) / first[0].numel()


def style_distance(student: Sequence[Tensor], teacher: Sequence[Tensor]) -> Tensor:
    """Eq. 11, second part: squared distance of the fused matrices of all pairs, relative to the teacher's.

    Divided by their own size instead of by the number of elements squared, as printed and published: that
    makes it about 1e-11, whatever the features.

    Args:
        student, teacher: features of equal shape, (B, C, d, h, w) each: encoder, style, decoder. A lone one
            is paired with itself, as in SMU-Net (Azad et al., MIDL 2022).

    Returns:
        Scalar: 0 where all matrices agree, 1 where the student's are zero; mean over pairs and samples.
    """
    distances = []
    for i, j in combinations(range(len(teacher)), 2) if len(teacher) > 1 else [(0, 0)]:
        target = fused_matrix(teacher[i], teacher[j])
        difference = fused_matrix(student[i], student[j]) - target
        # a teacher whose matrix is all zero must not divide by zero
        size = target.square().sum((1, 2)).clamp(min=torch.finfo(target.dtype).tiny)
        distances.append((difference.square().sum((1, 2)) / size).mean())
    return torch.stack(distances).mean()


class Discriminator(nn.Module):
    """Tells styles of teacher (0) and student (1) apart, patch by patch; fully convolutional.

    Args:
        channels: of the style.
        width: channels of the first layer.
        as_public_code: as the public code has it, larger kernels, of which the last one fits styles of
            20x24x16 alone; otherwise a style of any size will do.
    """

    def __init__(self, channels: int, width: int = 64, as_public_code: bool = False) -> None:
        super().__init__()
        widths = [channels, width, 2 * width, 4 * width]
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise(widths):
            halving = nn.Conv3d(inputs, outputs, 4 if as_public_code else 3, stride=2, padding=1)
            layers += [halving, nn.LeakyReLU(DISCRIMINATOR_SLOPE, True)]
        last = nn.Conv3d(widths[-1], 1, (2, 3, 2)) if as_public_code else nn.Conv3d(widths[-1], 1, 1)
        self.layers = nn.Sequential(*layers, last)

    def forward(self, style: Tensor) -> Tensor:
        """(B, channels, d, h, w) -> logits (B, 1, d', h', w')."""
        return self.layers(style)

    def loss(self, student: Tensor, teacher: Tensor) -> Tensor:
        """What the discriminator itself minimizes: Eq. 9 with the sign turned, mean over both kinds."""
        return (self._entropy(teacher, 0.0) + self._entropy(student, 1.0)) / 2

    def generator_loss(self, student: Tensor) -> Tensor:
        """What the student minimizes: that its style is taken for a teacher's."""
        return self._entropy(student, 0.0)

    def _entropy(self, style: Tensor, label: float) -> Tensor:
        logits = self(style)
        return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, label))
