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

from ..core.modalities import MODALITIES
from .adamm_adapters import CONTENT, Bank, Banks, Routes
from .adamm_graph import GraphRefinement
from .output import HEADS, LESIONS, Output, chosen, expect_background, visible
from .unet import LEVELS, Decoder, Encoder, ResidualBlock, common_features, normalization, set_recompute


class AdaMM(nn.Module):
    """All modalities enter together, a missing one as a zero channel; each subset has adapters of its own.

    ``Output.presence`` tells whether NCR/NET, ED and ET are in the image at all.

    If asked for, ``Output.features`` holds (C = 8 ``width``, sides an eighth of the image's):

    - ``style/encoder``, ``style/style``, ``style/content`` (B, C, d, h, w): what fused matrices are made of:
      the encoder's end, all levels fused, the content blocks' end; by the shared layers, each before the
      adapter that stands at its place; ``adversarial/style``, what the discriminator sees: the second again;
    - ``fused/4``, ``decoder/<level>``: content and decoder, group-normalized, for the distillation that all
      networks offer.

    Args:
        width: channels of the first level, a multiple of 8.
        adapters: channels within the adapters.
        nodes: of each graph.
        head: "sigmoids" as published, "classes" or "regions".
        garm: refine the bottleneck by a graph; without it, the mean of the subset's own and the general one.
        presence: tell what is there at all.
        dropout: of bottleneck and adapters.
        published: with the faults of the public code, which its weights need: see :class:`.GraphRefinement`;
            the content adapter reads the third of four blocks; the finest decoder adapter comes before the
            skip, and the presence head before the last block; batch normalization in the latter too.
        recompute: forget inner activations in training and compute them again for the gradient.
    """

    name = "adamm"
    divisor = 2 ** (LEVELS - 1)
    find_unused_parameters = True  # banks of subsets that no sample has

    def __init__(
        self,
        width: int = 16,
        adapters: int = 64,
        nodes: int = 8,
        head: str = "sigmoids",
        garm: bool = True,
        presence: bool = True,
        dropout: float = 0.2,
        published: bool = False,
        recompute: bool = False,
    ) -> None:
        super().__init__()
        if head not in HEADS:
            raise ValueError(f"head must be one of {', '.join(HEADS)}, not '{head}'")
        if adapters < 1 or nodes < 1:
            raise ValueError(f"adapters={adapters} and nodes={nodes} must be at least 1")
        self.options = {
            "width": width,
            "adapters": adapters,
            "nodes": nodes,
            "head": head,
            "garm": garm,
            "presence": presence,
            "dropout": dropout,
            "published": published,
            "recompute": recompute,
        }
        self.head = head
        self.published = published
        self.distilled = ("style", "adversarial", "presence")[: 3 if presence else 2]
        self.style_channels = deepest = width * 2 ** (LEVELS - 1)
        self.encoder = Encoder(len(MODALITIES), width)
        self.content = nn.Sequential(*(ResidualBlock(deepest) for _ in range(4)))
        self.style = nn.Conv3d(deepest // 2 + 2 * deepest, deepest, 1)
        self.bottleneck = nn.Conv3d(2 * deepest, deepest, 1)
        self.banks = Banks(width, adapters, dropout)
        self.garm = GraphRefinement(deepest, nodes, published) if garm else None
        self.dropout = nn.Dropout(dropout)
        self.decoder = Decoder(width)
        self.presence = _presence_head(width, "batch" if published else "group") if presence else None
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
            image: (B, 4, D, H, W), z-scored; sides multiples of 8.
            available: (B, 4) bool, the modalities to look at, at least one per sample.
            present: not read; networks that train on single modalities beside the subset need it.
            features: give features too, all or these kinds.

        Returns:
            Logits (B, 4 or 3, D, H, W), presence, features if asked for.

        Raises:
            ImageError: a sample without modality.
        """
        routes = self.banks.routes(available)
        skips, halved, adapted = self.encoder(visible(image, available), routes.adapt)
        earlier = self.content[:-1](adapted[-1])
        content = self.content[-1](earlier)
        style = self.style(_levels(halved[1:], content))
        own = routes.adapt(CONTENT, earlier if self.published else content)
        general = self.bottleneck(torch.cat([style, content], 1))
        fused = routes.through(self._refined, general, _levels(adapted[1:], own), own)
        decoded, seen = self._decoded(self.dropout(fused), skips, routes)
        found = {
            "style/encoder": halved[-1],
            "style/style": style,
            "style/content": content,
            "adversarial/style": style,
            **common_features(content, decoded, features),
        }
        output = Output(self.classify(decoded[-1]), chosen(found, features))
        if self.presence is not None:
            evidence = self.presence(seen)
            evidence = evidence.float() if evidence.dtype.itemsize < 4 else evidence
            output.presence = evidence.mean((2, 3, 4)).sigmoid()
        return output

    def _refined(self, bank: Bank, general: Tensor, levels: Tensor, content: Tensor) -> Tensor:
        """The bottleneck of samples of one subset, from the general one and from what its adapters made."""
        specific = bank.bottleneck(torch.cat([bank.style(levels), content], 1))
        return (general + specific) / 2 if self.garm is None else self.garm(specific, general)

    def _decoded(self, x: Tensor, skips: list[Tensor], routes: Routes) -> tuple[list[Tensor], Tensor]:
        """Features of the three levels, finest last, and the one that tells what is there."""
        features = []
        for number, skip in enumerate(reversed(skips)):
            x = self.decoder.step(number, x)
            place, finest = CONTENT + 1 + number, number + 1 == len(skips)
            if self.published and finest:
                before = routes.adapt(place, x) + skip
                return [*features, self.decoder.refine[number](before)], before
            x = routes.adapt(place, self.decoder.refine[number](x + skip))
            features.append(x)
        return features, x


def _levels(halved: list[Tensor], content: Tensor) -> Tensor:
    """The two lower encoder levels and the content side by side, on the grid of the latter."""
    return torch.cat([F.max_pool3d(halved[0], 2), halved[1], content], 1)


def _presence_head(width: int, norm: str) -> nn.Sequential:
    """Evidence of each lesion class per voxel."""
    return nn.Sequential(
        nn.Conv3d(width, width, 3, padding=1),
        normalization(width, norm),
        nn.ReLU(True),
        nn.Conv3d(width, len(LESIONS), 1),
    )
