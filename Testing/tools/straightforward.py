"""RFNet's fused path and mmFormer's attention as the papers write them down, on the weights of our networks.

What the benchmarks compare with: every sum in the order and with the copies of its formula. All modalities
are encoded and absent ones set to 0 afterwards; a region's copy of every feature map is made, averaged and
weighed; attention makes its whole matrix. Written from Ding, Yu and Yang, "RFNet: region-aware fusion network
for incomplete multi-modal brain tumor segmentation", ICCV 2021, and Zhang et al., "mmFormer: multimodal
medical Transformer for incomplete multimodal learning of brain tumor segmentation", MICCAI 2022.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from MissingModalityLib.core.modalities import MODALITIES
from MissingModalityLib.networks.rfnet_blocks import LEAKY_SLOPE
from MissingModalityLib.networks.rfnet_fusion import REGION_EPSILON

if TYPE_CHECKING:
    from MissingModalityLib.networks.mmformer_blocks import Layer
    from MissingModalityLib.networks.rfnet import FusedDecoder, RFNet
    from MissingModalityLib.networks.rfnet_blocks import ConvBlock
    from MissingModalityLib.networks.rfnet_fusion import RegionFusion, RegionMaps


def rfnet_logits(network: RFNet, image: Tensor, available: Tensor) -> Tensor:
    """(B, 4, D, H, W) and (B, 4) bool -> logits (B, K, D, H, W)."""
    pyramids = rfnet_pyramids(network, image)
    return rfnet_fused(network.fused, pyramids, available)[0]


def rfnet_pyramids(network: RFNet, image: Tensor) -> list[list[Tensor]]:
    """Every modality's levels (B, C, d, h, w), those of absent ones too."""
    pyramids = []
    for m in MODALITIES:
        x, levels = image[:, m : m + 1], []
        for level in network.encoders[m].levels:
            x = block(level.entry, x)
            x = x + block(level.residual[1], block(level.residual[0], x))
            levels.append(x)
        pyramids.append(levels)
    return pyramids


def rfnet_fused(
    decoder: FusedDecoder, pyramids: list[list[Tensor]], available: Tensor
) -> tuple[Tensor, list[Tensor]]:
    """Logits, and the region maps (B, R, d, h, w) of all levels, from coarse to fine."""
    known = available.to(pyramids[0][0].dtype)[:, :, None, None, None, None]
    x, every = None, []
    for i in reversed(range(len(decoder.fusion))):
        stack = torch.stack([levels[i] for levels in pyramids], 1) * known
        step = None if x is None else decoder.steps[i]
        decoded = None if step is None else block(step.lifting, _upsampled(x))
        maps = _region_maps(decoder.maps[i], stack, decoded)
        every.append(maps)
        x = _region_fusion(decoder.fusion[i], stack, maps.detach())
        if step is not None:
            x = block(step.refining, block(step.merging, torch.cat((x, decoded), 1)))
    return decoder.head(x), every


def block(layer: ConvBlock, x: Tensor) -> Tensor:
    """Convolution, instance normalization, LeakyReLU, one after the other."""
    return F.leaky_relu(F.instance_norm(layer.conv(x)), LEAKY_SLOPE)


def _upsampled(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="trilinear", align_corners=True)


def _region_maps(layer: RegionMaps, stack: Tensor, decoded: Tensor | None) -> Tensor:
    x = block(layer.embed[1], block(layer.embed[0], block(layer.squeeze, stack.flatten(1, 2))))
    x = x if decoded is None else torch.cat((decoded, x), 1)
    return layer.classify[1](block(layer.classify[0], x)).softmax(1)


def _region_fusion(layer: RegionFusion, stack: Tensor, maps: Tensor) -> Tensor:
    found = []
    for region, weigh in enumerate(layer.weigh):
        chosen = maps[:, region, None, None]  # (B, 1, 1, D, H, W)
        copies = stack * chosen
        share = chosen.mean((3, 4, 5))  # (B, 1, 1)
        means = copies.mean((3, 4, 5)) / (share + REGION_EPSILON)
        weights = weigh(torch.cat((means.flatten(1), share[:, 0]), 1))
        found.append((copies * weights[..., None, None, None, None]).sum(1))
    x = torch.cat(found, 1)
    for part in layer.regions:
        x = block(part, x)
    short = block(layer.squeeze, stack.flatten(1, 2))
    for part in layer.shortcut:
        short = block(part, short)
    return torch.cat((x, short), 1)


def transformer_layer(layer: Layer, x: Tensor) -> Tensor:
    """A Transformer layer on tokens (B, N, size) -> the same shape; dropout as while predicting."""
    query, key, value = layer.attend(layer.norms[0](x)).unflatten(-1, (3, layer.heads, -1)).unbind(2)
    mixed = attention(*(part.transpose(1, 2) for part in (query, key, value)))
    x = x + layer.out(mixed.transpose(1, 2).flatten(2))
    return x + layer.outer(F.gelu(layer.inner(layer.norms[1](x))))


def attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Values by softmax(Q K^T / sqrt(d)), the whole matrix of it; each (B, heads, N, d)."""
    return (query @ key.transpose(-2, -1) / query.shape[-1] ** 0.5).softmax(-1) @ value
