"""RFNet's fusion of the modalities at one level: region maps, and weights of each modality within a region.

Ding, Yu and Yang, "RFNet: region-aware fusion network for incomplete multi-modal brain tumor segmentation",
ICCV 2021.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..core.modalities import MODALITIES
from .rfnet_blocks import LEAKY_SLOPE, ConvBlock, FusionBlock

# as the public code has them, whatever the width
HIDDEN = 128  # hidden units of a region's modality weighting
MAP_CHANNELS = 16  # channels before the region maps
REGION_EPSILON = 1e-7  # keeps the mean over an empty region finite


class RegionMaps(nn.Module):
    """Probability of every class at one level, from the modalities and the coarser decoder level."""

    def __init__(self, channels: int, classes: int, coarsest: bool) -> None:
        super().__init__()
        squeezed = channels // 4
        self.squeeze = FusionBlock(channels, squeezed)
        self.embed = nn.Sequential(ConvBlock(squeezed, squeezed), ConvBlock(squeezed, channels, kernel=1))
        inputs = channels if coarsest else 2 * channels
        self.classify = nn.Sequential(
            ConvBlock(inputs, MAP_CHANNELS, kernel=1), nn.Conv3d(MAP_CHANNELS, classes, 1)
        )

    def forward(self, stack: Tensor, used: Sequence[int], decoded: Tensor | None) -> Tensor:
        """(B, A, C, D, H, W) and (B, C, D, H, W) -> (B, R, D, H, W), summing to 1 over R."""
        x = self.embed(self.squeeze(stack, used))
        if decoded is not None:
            x = torch.cat((decoded, x), 1)
        return self.classify(x).softmax(1)


class RegionFusion(nn.Module):
    """Weighs modalities within each region and sums them; beside it, a short cut over all modalities.

    The region's copy of a feature f_m is P_r f_m (P_r its map). Copies are only ever averaged over space or
    summed over modalities with one weight w_rm each, and neither needs them: the averages are one matrix
    product of features and maps, and sum_m w_rm P_r f_m = P_r sum_m w_rm f_m. So modalities x regions copies
    shrink to one map per region, written once and multiplied in place.
    """

    def __init__(self, channels: int, regions: int) -> None:
        super().__init__()
        self.weigh = nn.ModuleList(_modality_weights(channels) for _ in range(regions))
        self.regions = nn.Sequential(
            ConvBlock(regions * channels, channels, kernel=1),
            ConvBlock(channels, channels),
            ConvBlock(channels, channels // 2, kernel=1),
        )
        self.squeeze = FusionBlock(channels, channels)
        self.shortcut = nn.Sequential(
            ConvBlock(channels, channels), ConvBlock(channels, channels // 2, kernel=1)
        )

    def forward(self, stack: Tensor, used: Sequence[int], maps: Tensor) -> Tensor:
        """(B, A, C, D, H, W) of the A modalities ``used`` and (B, R, D, H, W) -> (B, C, D, H, W)."""
        regions = self.regions(self._region_sums(stack, used, maps))
        return torch.cat((regions, self.shortcut(self.squeeze(stack, used))), 1)

    def _region_sums(self, stack: Tensor, used: Sequence[int], maps: Tensor) -> Tensor:
        """Weighted sum over modalities in every region, (B, R C, D, H, W)."""
        weights = self._weights(stack, used, maps).to(stack.dtype)
        mixed = torch.bmm(weights, stack.flatten(2)).unflatten(2, stack.shape[2:])
        # in place is safe for autograd: maps carry no gradient, so nothing needs the unmultiplied sum
        return mixed.mul_(maps.unsqueeze(2)).flatten(1, 2)

    def _weights(self, stack: Tensor, used: Sequence[int], maps: Tensor) -> Tensor:
        """Weight of every modality in every region, (B, R, A), in 0..1."""
        # sums over voxels leave the range of half precision
        with torch.autocast(stack.device.type, enabled=False):
            flat = maps.flatten(2).to(self.weigh[0][0].weight.dtype)
            share = flat.mean(2, keepdim=True)
            sums = torch.bmm(flat, stack.flatten(1, 2).flatten(2).to(flat.dtype).transpose(1, 2))
            means = (sums / flat.shape[2] / (share + REGION_EPSILON)).unflatten(2, stack.shape[1:3])
            # the layer has inputs for all modalities; absent ones are zeros to it
            whole = means.new_zeros(*means.shape[:2], len(MODALITIES), means.shape[3])
            whole[:, :, list(used)] = means
            described = torch.cat((whole.flatten(2), share), 2)
            weights = torch.stack([weigh(described[:, r]) for r, weigh in enumerate(self.weigh)], 1)
        return weights[:, :, list(used)]


def _modality_weights(channels: int) -> nn.Sequential:
    """Region means of every channel of every modality, and the region's share of the volume -> 4 weights."""
    modalities = len(MODALITIES)
    return nn.Sequential(
        nn.Linear(modalities * channels + 1, HIDDEN),
        nn.LeakyReLU(LEAKY_SLOPE),
        nn.Linear(HIDDEN, modalities),
        nn.Sigmoid(),
    )
