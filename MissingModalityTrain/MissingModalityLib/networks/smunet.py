"""SMU-Net, a convolutional U-Net whose bottom is told apart into style and content, and ACN's, without style.

Azad, Khosravi, Merhof: "SMU-Net: style matching U-Net for brain tumor segmentation with missing modalities",
MIDL 2022. A teacher that sees all and a student that sees a subset are two of these networks; the method
"joint" makes the student's style and content the teacher's.

Wang et al.: "ACN: adversarial co-training network for brain tumor segmentation with missing modalities",
MICCAI 2021, has the same U-Net, and beside it a branch that restores the image of one crop size. Its public
code computes that and learns nothing from it, so it is left out.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..core.modalities import MODALITIES
from .heads import HEADS
from .network import Network
from .options import SMUNetOptions
from .output import Feature, Kind, Output, chosen, mask_missing
from .unet import CONTENT_BLOCKS, UNET_LEVELS, Decoder, Encoder, ResidualBlock, common_features


class SMUNet(Network):
    """All modalities enter together; a missing one is a zero channel.

    If asked for, ``Output.features`` holds (C = 8 ``width``, sides an eighth of the image's):

    - ``content`` (B, C, d, h, w): the encoder's end;
    - ``style`` and ``adversarial``, the same (B, C, d, h, w): levels of the encoder and content, fused;
    - ``fused`` of level 4, ``decoder`` of levels 3 to 1: content and decoder, group-normalized, for the
      distillation that all networks offer.
    """

    name = "smunet"
    reads_present = False
    Options = SMUNetOptions
    divisor = 2 ** (UNET_LEVELS - 1)
    distillable_features = (Kind.STYLE, Kind.ADVERSARIAL, Kind.CONTENT)
    styled: ClassVar[bool] = True

    def __init__(self, options: SMUNetOptions) -> None:
        super().__init__(options)
        width = options.width
        self.head = HEADS[options.head]
        self.style_channels = deepest = width * 2 ** (UNET_LEVELS - 1)
        self.encoder = Encoder(len(MODALITIES), width)
        self.content = nn.Sequential(*(ResidualBlock(deepest) for _ in range(CONTENT_BLOCKS)))
        if self.styled:
            self.style = nn.Conv3d(deepest // 2 + 2 * deepest, deepest, 1)
            self.bottleneck = nn.Conv3d(2 * deepest, deepest, 1)
        self.dropout = nn.Dropout(options.dropout)
        self.decoder = Decoder(width)
        self.classify = nn.Conv3d(width, self.head.channels, 1)
        self.head.init_background_bias(self.classify.bias)

    def forward(
        self,
        image: Tensor,
        available: Tensor,
        present: Tensor | None = None,
        features: bool | Collection[str] = False,
    ) -> Output:
        """See :meth:`.network.Network.forward`."""
        skips, (_, halved, deepest), _ = self.encoder(mask_missing(image, available))
        content = self.content(deepest)
        found = {Feature(Kind.CONTENT): content, Feature(Kind.ADVERSARIAL): content}
        bottom = content
        if self.styled:
            style = self.style(torch.cat([F.max_pool3d(halved, 2), deepest, content], 1))
            found |= {Feature(Kind.STYLE): style, Feature(Kind.ADVERSARIAL): style}
            bottom = self.bottleneck(torch.cat([style, content], 1))
        decoded = self.decoder(self.dropout(bottom), skips)
        found |= common_features(content, decoded, features)
        return Output(self.classify(decoded[-1]), chosen(found, features))


class ACN(SMUNet):
    """The U-Net of the adversarial co-training network.

    Features as of :class:`SMUNet`, without ``style``; ``adversarial`` is the content.
    """

    name = "acn"
    distillable_features = (Kind.ADVERSARIAL, Kind.CONTENT)
    styled = False
