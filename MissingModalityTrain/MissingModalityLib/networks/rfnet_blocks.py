"""Convolution blocks shared by networks that fuse one encoder per modality."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..core.modalities import MODALITIES

LEAKY_SLOPE = 0.2
"""Of LeakyReLU, as in RFNet's public code."""


class ConvBlock(nn.Module):
    """Convolution, instance normalization without parameters, LeakyReLU 0.2.

    Args:
        inputs: channels in.
        outputs: channels out.
        kernel: 3 (reflect padding, so each side needs at least 2 voxels) or 1.
        stride: 1, or 2 to halve each (even) side.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> None:
        super().__init__()
        # reflect mode copies its input even where there is nothing to pad
        mode = "reflect" if kernel > 1 else "zeros"
        self.conv = nn.Conv3d(inputs, outputs, kernel, stride, padding=kernel // 2, padding_mode=mode)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, D, H, W) -> (B, outputs, D', H', W')."""
        return activate(self.conv(x))


class FusionBlock(ConvBlock):
    """1x1x1 block over the channels of all modalities side by side; absent modalities are left out, not zero.

    Args:
        channels: of one modality.
        outputs: channels out.
    """

    def __init__(self, channels: int, outputs: int) -> None:
        super().__init__(len(MODALITIES) * channels, outputs, kernel=1)

    def forward(self, stack: Tensor, used: Sequence[int]) -> Tensor:
        """(B, A, channels, D, H, W) of the A modalities ``used`` -> (B, outputs, D, H, W)."""
        weight = self.conv.weight.unflatten(1, (len(MODALITIES), -1))[:, list(used)].flatten(1, 2)
        return activate(F.conv3d(stack.flatten(1, 2), weight, self.conv.bias))


def activate(x: Tensor) -> Tensor:
    """Instance normalization, then LeakyReLU in place of the normalized copy."""
    return F.leaky_relu(F.instance_norm(x), LEAKY_SLOPE, inplace=True)


def upsample(x: Tensor, factor: int = 2) -> Tensor:
    """Trilinear, corner voxels aligned: (B, C, D, H, W) -> (B, C, factor D, factor H, factor W)."""
    return F.interpolate(x, scale_factor=factor, mode="trilinear", align_corners=True)


def with_absent(stack: Tensor, used: Sequence[int]) -> Tensor:
    """(B, A, ...) of the A modalities ``used`` -> (B, 4, ...), 0 in the others."""
    if len(used) == len(MODALITIES):
        return stack
    whole = stack.new_zeros(len(stack), len(MODALITIES), *stack.shape[2:])
    return whole.index_copy(1, torch.tensor(used, device=stack.device), stack)


def gather_rows(rows: Tensor, chosen: Tensor) -> Tensor:
    """Rows where ``chosen`` (n,) is True; no copy where all are."""
    return rows if chosen.all() else rows[chosen]


def scatter_rows(rows: Tensor, chosen: Tensor) -> Tensor:
    """Rows of the chosen samples -> the whole batch, zero in the other samples.

    Args:
        rows: (n, ...), one per True in ``chosen``.
        chosen: (B,) bool.
    """
    if len(rows) == len(chosen):
        return rows
    whole = rows.new_zeros(len(chosen), *rows.shape[1:])
    return torch.index_put(whole, (chosen,), rows)
