"""AdaMM: a U-Net with adapters for every subset, a graph at its bottom, and a head for what is there at all.

"No modality left behind: adapting to missing modalities via knowledge distillation for brain tumor
segmentation", arXiv 2509.15017. Teacher and student are two of these networks; a sample with all modalities
passes by adapters and graph, so a teacher needs its own for cases alone that were acquired without one.
"""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..core.labels import TUMOR_CLASSES
from ..core.modalities import MODALITIES
from .adamm_adapters import CONTENT, AllAdapters, SubsetAdapters, SubsetRouting
from .adamm_graph import GraphRefinement
from .heads import HEADS
from .network import Network
from .options import AdaMMOptions
from .output import PRESENCE, Feature, Kind, Output, chosen, mask_missing
from .unet import (
    CONTENT_BLOCKS,
    UNET_LEVELS,
    Decoder,
    Encoder,
    ResidualBlock,
    common_features,
    normalization,
    set_activation_checkpointing,
)


class AdaMM(Network):
    """All modalities enter together, a missing one as a zero channel; each subset has adapters of its own.

    ``Output.presence`` tells whether NCR/NET, ED and ET are in the image at all.

    If asked for, ``Output.features`` holds (C = 8 ``width``, sides an eighth of the image's):

    - ``style`` at ``encoder``, ``style`` and ``content`` (B, C, d, h, w): what fused matrices are made of:
      the encoder's end, all levels fused, the content blocks' end; by the shared layers, each before the
      adapter that stands at its place; ``adversarial``, what the discriminator sees: the second again;
      ``content``: the third again;
    - ``fused`` of level 4, ``decoder`` of levels 3 to 1: content and decoder, group-normalized, for the
      distillation that all networks offer.

    ``as_public_code`` brings the faults of the public code, which its weights need: see
    :class:`.GraphRefinement`; the content adapter reads the third of four blocks; the finest decoder adapter
    comes before the skip, and the presence head before the last block; batch normalization in the latter too.
    """

    name = "adamm"
    reads_present = False
    Options = AdaMMOptions
    divisor = 2 ** (UNET_LEVELS - 1)
    find_unused_parameters = True  # adapters of subsets that no sample has

    def __init__(self, options: AdaMMOptions) -> None:
        super().__init__(options)
        width, as_public_code = options.width, options.as_public_code
        self.head = HEADS[options.head]
        self.as_public_code = as_public_code
        kinds = (Kind.STYLE, Kind.ADVERSARIAL, Kind.CONTENT)
        self.distillable_features = (*kinds, *((PRESENCE,) if options.presence else ()))
        self.style_channels = deepest = width * 2 ** (UNET_LEVELS - 1)
        self.encoder = Encoder(len(MODALITIES), width)
        self.content = nn.Sequential(*(ResidualBlock(deepest) for _ in range(CONTENT_BLOCKS)))
        self.style = nn.Conv3d(deepest // 2 + 2 * deepest, deepest, 1)
        self.bottleneck = nn.Conv3d(2 * deepest, deepest, 1)
        # weights on disk have this name
        self.banks = AllAdapters(width, options.adapter_channels, options.dropout)
        graph = GraphRefinement(deepest, options.graph_nodes, as_public_code) if options.garm else None
        self.garm = graph
        self.dropout = nn.Dropout(options.dropout)
        self.decoder = Decoder(width)
        self.presence = (
            _presence_head(width, "batch" if as_public_code else "group") if options.presence else None
        )
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
        """See :meth:`.network.Network.forward`.

        Raises:
            ImageError: a sample without modality.
        """
        routing = self.banks.routing(available)
        skips, halved, adapted = self.encoder(mask_missing(image, available), routing.adapt)
        earlier = self.content[:-1](adapted[-1])
        content = self.content[-1](earlier)
        style = self.style(_levels(halved[1:], content))
        own = routing.adapt(CONTENT, earlier if self.as_public_code else content)
        general = self.bottleneck(torch.cat([style, content], 1))
        fused = routing.through(self._refined, general, _levels(adapted[1:], own), own)
        decoded, seen = self._decoded(self.dropout(fused), skips, routing)
        found = {
            Feature(Kind.STYLE, "encoder"): halved[-1],
            Feature(Kind.STYLE, "style"): style,
            Feature(Kind.STYLE, "content"): content,
            Feature(Kind.ADVERSARIAL, "style"): style,
            Feature(Kind.CONTENT): content,
            **common_features(content, decoded, features),
        }
        output = Output(self.classify(decoded[-1]), chosen(found, features))
        if self.presence is not None:
            evidence = self.presence(seen)
            # the mean over all voxels leaves the range of half precision
            evidence = evidence.float() if evidence.dtype.itemsize < 4 else evidence
            output.presence = evidence.mean((2, 3, 4)).sigmoid()
        return output

    def _refined(self, own: SubsetAdapters, general: Tensor, levels: Tensor, content: Tensor) -> Tensor:
        """The bottleneck of samples of one subset, from the general one and from what its adapters made."""
        specific = own.bottleneck(torch.cat([own.style(levels), content], 1))
        return (general + specific) / 2 if self.garm is None else self.garm(specific, general)

    def _decoded(self, x: Tensor, skips: list[Tensor], routing: SubsetRouting) -> tuple[list[Tensor], Tensor]:
        """Features of the three levels, finest last, and the presence head's input (B, width, D, H, W)."""
        features = []
        for number, skip in enumerate(reversed(skips)):
            x = self.decoder.step(number, x)
            place, finest = CONTENT + 1 + number, number + 1 == len(skips)
            if self.as_public_code and finest:
                before = routing.adapt(place, x) + skip
                return [*features, self.decoder.refine[number](before)], before
            x = routing.adapt(place, self.decoder.refine[number](x + skip))
            features.append(x)
        return features, x


def _levels(halved: list[Tensor], content: Tensor) -> Tensor:
    """The two lower encoder levels and the content side by side, on the grid of the latter."""
    return torch.cat([F.max_pool3d(halved[0], 2), halved[1], content], 1)


def _presence_head(width: int, norm: str) -> nn.Sequential:
    """Evidence of each tumor class per voxel."""
    return nn.Sequential(
        nn.Conv3d(width, width, 3, padding=1),
        normalization(width, norm),
        nn.ReLU(True),
        nn.Conv3d(width, len(TUMOR_CLASSES), 1),
    )
