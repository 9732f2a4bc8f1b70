"""MST-KDNet: a convolutional U-Net with a multi-scale Transformer at its bottom.

Zhu et al., "Bridging the gap in missing modalities: leveraging knowledge distillation and style matching for
brain tumor segmentation", MICCAI 2025. Teacher and student are two of these networks.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..core.modalities import MODALITIES
from .mstkdnet_transformer import PATCH, MultiScaleDecoder, Transformer
from .output import HEADS, Output, asked, chosen, expect_background, visible
from .unet import LEVELS, Decoder, Encoder, ResidualBlock, common_features, set_recompute

SCALE_NAMES = ("3", "6", "9", "12")
"""Of the layers of the published network, the shallowest first."""


class MSTKDNet(nn.Module):
    """All modalities enter together; a missing one is a zero channel.

    If asked for, ``Output.features`` holds (C = 8 ``width``, sides an eighth of the image's):

    - ``attention/<layer>`` (B, heads, N, N): attention weights after each quarter of the layers;
    - ``scale/<layer>``: the four decoded maps of the Transformer, coarse and fine;
    - ``style/encoder`` (B, C/2, d, h, w), ``style/transformer``, ``style/content`` (B, C, d, h, w): what
      fused matrices are made of, Eq. 10: the encoder's last level but one, pooled; the Transformer's map; the
      decoder's first features;
    - ``adversarial/style`` (B, C, d, h, w): what the discriminator sees, Eq. 9: both fused;
    - ``fused/4``, ``decoder/<level>``: content and decoder, group-normalized, for the distillation that all
      networks offer.

    Args:
        width: channels of the first level, a multiple of 8.
        embedding, layers, heads, hidden: size of tokens, number of layers (a multiple of 4), attention heads
            (a divisor of ``embedding``), inner size of the layers.
        decoder: channels of the Transformer's coarsest decoded map, a multiple of 16.
        grid: tokens (of 32 voxels a side) per axis z, y, x that positions are learned for, others
            interpolated; default the paper's, 160x192x128 voxels (x, y, z).
        head: "sigmoids" as published, "classes" or "regions".
        norm: of the Transformer's decoder, "group", or "batch" as published.
        dropout: of the bottleneck; the Transformer has half of it.
        recompute: forget inner activations in training and compute them again for the gradient.
    """

    name = "mstkdnet"
    divisor = 2 ** (LEVELS - 1) * PATCH
    distilled = ("attention", "scale", "style", "adversarial")
    find_unused_parameters = False

    def __init__(
        self,
        width: int = 16,
        embedding: int = 768,
        layers: int = 12,
        heads: int = 12,
        hidden: int = 2048,
        decoder: int = 512,
        grid: Sequence[int] = (4, 6, 5),
        head: str = "sigmoids",
        norm: str = "group",
        dropout: float = 0.2,
        recompute: bool = False,
    ) -> None:
        super().__init__()
        if head not in HEADS:
            raise ValueError(f"head must be one of {', '.join(HEADS)}, not '{head}'")
        if not isinstance(grid, list | tuple):
            raise ValueError(f"grid={grid} must be three numbers, such as 4,6,5")
        self.options = {
            "width": width,
            "embedding": embedding,
            "layers": layers,
            "heads": heads,
            "hidden": hidden,
            "decoder": decoder,
            "grid": list(grid),
            "head": head,
            "norm": norm,
            "dropout": dropout,
            "recompute": recompute,
        }
        self.head = head
        self.style_channels = deepest = width * 2 ** (LEVELS - 1)
        self.encoder = Encoder(len(MODALITIES), width)
        self.transformer = Transformer(deepest, embedding, layers, heads, hidden, dropout / 2, grid)
        self.multiscale = MultiScaleDecoder(deepest, embedding, decoder, norm)
        self.content = nn.Sequential(*(ResidualBlock(deepest) for _ in range(4)))
        self.style = nn.Conv3d(deepest // 2 + 2 * deepest, deepest, 1)
        self.bottleneck = nn.Conv3d(2 * deepest, deepest, 1)
        self.dropout = nn.Dropout(dropout)
        self.decoder = Decoder(width)
        self.classify = nn.Conv3d(width, HEADS[head], 1)
        expect_background(self.classify.bias, head)
        set_recompute(self, recompute)

    def forward(
        self,
        image: Tensor,
        available: Tensor,
        present: Tensor | None = None,
        features: bool | Collection[str] = False,
    ) -> Output:
        """Segment; voxels of a missing channel are never read.

        Args:
            image: (B, 4, D, H, W), z-scored; sides multiples of 32.
            available: (B, 4) bool, the modalities to look at.
            present: not read; networks that train on single modalities beside the subset need it.
            features: give features too, all or these kinds.

        Returns:
            Logits (B, 4 or 3, D, H, W); features if asked for.
        """
        skips, (_, halved, deepest), _ = self.encoder(visible(image, available))
        tokens, attention = self.transformer(deepest, weights=asked(features, "attention"))
        mixed, scales = self.multiscale(deepest, tokens)
        mixed = mixed + deepest
        content, pooled = self.content(mixed), F.max_pool3d(halved, 2)
        style = self.style(torch.cat([pooled, deepest, mixed], 1))
        decoded = self.decoder(self.dropout(self.bottleneck(torch.cat([style, content], 1))), skips)
        found = {
            **{f"attention/{name}": x for name, x in zip(SCALE_NAMES, attention, strict=False)},
            **{f"scale/{name}": x for name, x in zip(SCALE_NAMES, scales, strict=True)},
            "style/encoder": pooled,
            "style/transformer": mixed,
            "style/content": content,
            "adversarial/style": style,
            **common_features(content, decoded, features),
        }
        return Output(self.classify(decoded[-1]), chosen(found, features))
