"""The U-Net that MST-KDNet and AdaMM share: group-normalized residual blocks, strided convolutions, skips.

Zhu et al., "Bridging the gap in missing modalities", MICCAI 2025, Sec. 2.1, Fig. 1; the same skeleton as
SMU-Net (Azad et al., MIDL 2022) has.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from math import gcd
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from .options import NORM_GROUPS
from .output import Feature, Kind, chosen

CONTENT_BLOCKS = 4  # of the deepest level, as in both public codes
UNET_LEVELS = 4  # as in the papers of both networks


def unchanged(place: int, x: Tensor) -> Tensor:
    """(B, C, D, H, W), as it is: what happens to a feature where a network adds nothing of its own."""
    return x


def normalization(channels: int, norm: str) -> nn.Module:
    """Of volumes: "group", or "batch", whose statistics make samples depend on what they are trained with."""
    return nn.BatchNorm3d(channels) if norm == "batch" else nn.GroupNorm(gcd(NORM_GROUPS, channels), channels)


class ActivationCheckpointed(nn.Module):
    """A module that can forget its inner activations and compute them again for the gradient.

    Attributes:
        checkpointing: whether it does, in training.
    """

    checkpointing = False

    def forward(self, *inputs: Any) -> Any:
        """Tensors of any shape, as the subclass's ``compute`` takes and gives them."""
        if self.checkpointing and self.training and torch.is_grad_enabled():
            # the reentrant kind does not go with DistributedDataParallel's search for unused parameters
            return checkpoint(self.compute, *inputs, use_reentrant=False)
        return self.compute(*inputs)


class ResidualBlock(ActivationCheckpointed):
    """Twice group normalization, ReLU, 3x3x3 convolution, around an identity.

    Args:
        channels: in and out, a multiple of 8.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.GroupNorm(NORM_GROUPS, channels) for _ in range(2))
        self.convs = nn.ModuleList(nn.Conv3d(channels, channels, 3, padding=1) for _ in range(2))

    def compute(self, x: Tensor) -> Tensor:
        """(B, channels, D, H, W) -> the same shape."""
        y = x
        for norm, conv in zip(self.norms, self.convs, strict=True):
            y = conv(F.relu(norm(y), inplace=True))
        return x + y


class Encoder(nn.Module):
    """Four levels; each further one halves the sides and doubles the channels.

    Args:
        inputs: channels of the image.
        width: channels of the first level, a multiple of 8.
    """

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        widths = [width * 2**level for level in range(UNET_LEVELS)]
        self.entry = nn.Conv3d(inputs, width, 3, padding=1)
        self.refine = nn.ModuleList(
            nn.Sequential(*(ResidualBlock(channels) for _ in range(min(level, 1) + 1)))
            for level, channels in enumerate(widths[:-1])
        )
        self.down = nn.ModuleList(
            nn.Conv3d(channels, 2 * channels, 3, stride=2, padding=1) for channels in widths[:-1]
        )

    def forward(
        self, image: Tensor, adapt: Callable[[int, Tensor], Tensor] = unchanged
    ) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
        """Encode.

        Args:
            image: (B, inputs, D, H, W), sides multiples of 8.
            adapt: what happens to the output of each of the three strided convolutions before it goes on.

        Returns:
            Skips of the first three levels; the outputs of the three strided convolutions; the same after
            ``adapt``. Each finest first, the last one (B, 8 width, D/8, H/8, W/8).
        """
        x, skips, halved, adapted = self.entry(image), [], [], []
        for level, (refine, down) in enumerate(zip(self.refine, self.down, strict=True)):
            skips.append(refine(x))
            halved.append(down(skips[-1]))
            x = adapt(level, halved[-1])
            adapted.append(x)
        return skips, halved, adapted


class Decoder(nn.Module):
    """Back to full resolution: 1x1x1 convolution, nearest neighbor, skip added, residual block; per level.

    Args:
        width: channels of the first level.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        widths = [width * 2**level for level in reversed(range(UNET_LEVELS - 1))]
        # modules keep the names that stand in weights on disk
        self.lift = nn.ModuleList(nn.Conv3d(2 * channels, channels, 1) for channels in widths)
        self.refine = nn.ModuleList(ResidualBlock(channels) for channels in widths)

    def step(self, number: int, x: Tensor) -> Tensor:
        """Twice the sides, half the channels; ``number`` counts from 0 at the coarsest level."""
        return F.interpolate(self.lift[number](x), scale_factor=2, mode="nearest")

    def forward(self, x: Tensor, skips: Sequence[Tensor]) -> list[Tensor]:
        """(B, 8 width, d, h, w) and the encoder's skips -> features of the three levels, finest last."""
        features = []
        for number, skip in enumerate(reversed(skips)):
            x = self.refine[number](self.step(number, x) + skip)
            features.append(x)
        return features


def common_features(
    content: Tensor, decoded: Sequence[Tensor], features: bool | Collection[str]
) -> dict[Feature, Tensor]:
    """What any network of this U-Net offers for distillation, if wanted, on a scale of its own per group.

    Args:
        content: (B, 8 width, D/8, H/8, W/8).
        decoded: (B, 4 width, D/4, H/4, W/4) to (B, width, D, H, W), finest last.
        features: all, none, or kinds.
    """
    found = {Feature(Kind.FUSED, UNET_LEVELS): content}
    found |= {Feature(Kind.DECODER, UNET_LEVELS - 1 - number): x for number, x in enumerate(decoded)}
    return {feature: F.group_norm(x, NORM_GROUPS) for feature, x in chosen(found, features).items()}


def set_activation_checkpointing(network: nn.Module, wanted: bool) -> None:
    """Let all blocks of a network that can do so forget their activations in training, or keep them."""
    for module in network.modules():
        if isinstance(module, ActivationCheckpointed):
            module.checkpointing = wanted
