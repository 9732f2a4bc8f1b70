"""MST-KDNet: a convolutional U-Net with a multi-scale Transformer at its bottom.

Zhu et al., "Bridging the gap in missing modalities: leveraging knowledge distillation and style matching for
brain tumor segmentation", MICCAI 2025. Teacher and student are two of these networks.
"""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..core.modalities import MODALITIES
from .heads import HEADS
from .mstkdnet_transformer import PATCH, MultiScaleDecoder, Transformer
from .network import Network
from .options import MSTKDNetOptions
from .output import Feature, Kind, Output, asked, chosen, mask_missing
from .unet import (
    CONTENT_BLOCKS,
    UNET_LEVELS,
    Decoder,
    Encoder,
    ResidualBlock,
    common_features,
    set_activation_checkpointing,
)

OUTPUT_LAYERS = ("3", "6", "9", "12")
"""Of the layers of the published network, the shallowest first."""


class MSTKDNet(Network):
    """All modalities enter together; a missing one is a zero channel.

    If asked for, ``Output.features`` holds (C = 8 ``width``, sides an eighth of the image's):

    - ``attention`` of each layer that comes out (B, heads, N, N): attention weights after each quarter of the
      layers;
    - ``scale`` of the same layers: the four decoded maps of the Transformer, coarse and fine;
    - ``style`` at ``encoder`` (B, C/2, d, h, w), ``transformer`` and ``content`` (B, C, d, h, w): what
      fused matrices are made of, Eq. 10: the encoder's last level but one, pooled; the Transformer's map; the
      decoder's first features;
    - ``adversarial`` (B, C, d, h, w): what the discriminator sees, Eq. 9: both fused;
    - ``content`` (B, C, d, h, w): the last of the above again;
    - ``fused`` of level 4, ``decoder`` of levels 3 to 1: content and decoder, group-normalized, for the
      distillation that all networks offer.
    """

    name = "mstkdnet"
    reads_present = False
    Options = MSTKDNetOptions
    divisor = 2 ** (UNET_LEVELS - 1) * PATCH
    distillable_features = (Kind.ATTENTION, Kind.SCALE, Kind.STYLE, Kind.ADVERSARIAL, Kind.CONTENT)

    def __init__(self, options: MSTKDNetOptions) -> None:
        super().__init__(options)
        width, size = options.width, options.embedding_size
        self.head = HEADS[options.head]
        self.style_channels = deepest = width * 2 ** (UNET_LEVELS - 1)
        self.encoder = Encoder(len(MODALITIES), width)
        self.transformer = Transformer(
            deepest,
            size,
            options.num_layers,
            options.num_heads,
            options.mlp_size,
            options.dropout / 2,
            options.position_grid,
        )
        self.multiscale = MultiScaleDecoder(deepest, size, options.decoder_channels, options.norm)
        self.content = nn.Sequential(*(ResidualBlock(deepest) for _ in range(CONTENT_BLOCKS)))
        self.style = nn.Conv3d(deepest // 2 + 2 * deepest, deepest, 1)
        self.bottleneck = nn.Conv3d(2 * deepest, deepest, 1)
        self.dropout = nn.Dropout(options.dropout)
        self.decoder = Decoder(width)
        self.classify = nn.Conv3d(width, self.head.channels, 1)
        self.head.init_background_bias(self.classify.bias)
        set_activation_checkpointing(self, options.activation_checkpointing)

    def forward(
        self,
        image: Tensor,
        available: Tensor,
        present: Tensor | None = None,
        features: bool | Collection[str] = False,
    ) -> Output:
        """See :meth:`.network.Network.forward`."""
        skips, (_, halved, deepest), _ = self.encoder(mask_missing(image, available))
        tokens, attention = self.transformer(deepest, weights=asked(features, Kind.ATTENTION))
        mixed, scales = self.multiscale(deepest, tokens)
        mixed = mixed + deepest
        content, pooled = self.content(mixed), F.max_pool3d(halved, 2)
        style = self.style(torch.cat([pooled, deepest, mixed], 1))
        decoded = self.decoder(self.dropout(self.bottleneck(torch.cat([style, content], 1))), skips)
        found = {
            # not strict: attention is empty unless it is asked for
            **{Feature(Kind.ATTENTION, name): x for name, x in zip(OUTPUT_LAYERS, attention, strict=False)},
            **{Feature(Kind.SCALE, name): x for name, x in zip(OUTPUT_LAYERS, scales, strict=True)},
            Feature(Kind.STYLE, "encoder"): pooled,
            Feature(Kind.STYLE, "transformer"): mixed,
            Feature(Kind.STYLE, "content"): content,
            Feature(Kind.ADVERSARIAL, "style"): style,
            Feature(Kind.CONTENT): content,
            **common_features(content, decoded, features),
        }
        return Output(self.classify(decoded[-1]), chosen(found, features))
