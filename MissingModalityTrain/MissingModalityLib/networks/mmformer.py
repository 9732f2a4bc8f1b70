"""mmFormer: attention within each modality, and among all of them, at the coarsest level.

Zhang, He, Yang, Li, Wei, Huang, Zhang, He, Zheng: "mmFormer: multimodal medical Transformer for incomplete
multimodal learning of brain tumor segmentation", MICCAI 2022.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch
from torch import Tensor, nn

from ..core.modalities import MODALITIES
from .encoder_options import MMFormerOptions
from .heads import HEADS
from .mmformer_blocks import DecoderStep, Fusion, Layer, ModalityEncoder, mixed
from .output import Feature, Kind, asked
from .output import chosen as chosen_kinds
from .rfnet_blocks import upsample, with_absent
from .separate_encoders import Chosen, Pyramid, SeparatelyDecoded

LEVELS = 5
"""Resolutions of each encoder, each half the one before."""


class SeparateDecoder(nn.Module):
    """Segments one modality from its own encoder alone; its weights serve all modalities."""

    def __init__(self, widths: Sequence[int], classes: int) -> None:
        super().__init__()
        self.steps = nn.ModuleList(map(DecoderStep, widths[1:], widths[:-1]))
        self.head = nn.Conv3d(widths[0], classes, 1)

    def forward(self, pyramid: Pyramid) -> Tensor:
        """What :class:`.mmformer_blocks.ModalityEncoder` gives -> logits (n, classes, D, H, W)."""
        x = pyramid[-1]
        for i in reversed(range(len(self.steps))):
            x = self.steps[i](x, pyramid[i], skip_first=False)
        return self.head(x)


class FusedDecoder(nn.Module):
    """Fuses at every level, from coarse to fine, and segments at each."""

    def __init__(self, widths: Sequence[int], classes: int) -> None:
        super().__init__()
        self.fusions = nn.ModuleList(Fusion(width, width) for width in widths)
        self.steps = nn.ModuleList(map(DecoderStep, widths[1:], widths[:-1]))
        self.heads = nn.ModuleList(nn.Conv3d(width, classes, 1) for width in widths)

    def forward(
        self, bottleneck: Tensor, chosen: Chosen, features: bool | Collection[str]
    ) -> tuple[Tensor, dict[Feature, Tensor]]:
        """Coarsest maps of all modalities (B, 4 C, d, h, w) and finer ones -> logits, features asked for."""
        coarsest = len(self.steps)
        stack = bottleneck.unflatten(1, (len(MODALITIES), -1))
        x, found = self.fusions[coarsest](stack, tuple(MODALITIES)), {}
        for i in reversed(range(coarsest)):
            found |= self._segmented(x, i + 1, features)
            fused = self.fusions[i](chosen.stacks[i], chosen.used)
            x = self.steps[i](x, fused, skip_first=True)
            given = {Feature(Kind.FUSED, i + 1): fused, Feature(Kind.DECODER, i + 1): x}
            found |= chosen_kinds(given, features)
        return self.heads[0](x), found

    def _segmented(self, x: Tensor, level: int, features: bool | Collection[str]) -> dict[Feature, Tensor]:
        """Probabilities of the classes by a coarser level, at full resolution."""
        if not asked(features, Kind.REGIONS):
            return {}
        return {Feature(Kind.REGIONS, level + 1): upsample(self.heads[level](x).softmax(1), 2**level)}


class MMFormer(SeparatelyDecoded):
    """Multimodal Transformer.

    If asked for, ``Output.features`` holds, with n_m the samples that have modality m, in batch order:

    - ``separate`` of a modality (n_m, K, D, H, W): logits of the separate decoder, in training mode only;
    - ``regions`` of levels 2 to 5 (B, K, D, H, W): probabilities that coarser levels give;
    - ``encoder`` of a level and a modality (n_m, C, d, h, w): levels of convolutions;
    - ``fused`` and ``decoder`` of levels 1 to 4 (B, C, d, h, w).

    Level 1 is full resolution and ``width`` channels wide; each further one halves the sides and doubles the
    width. Tokens of absent modalities are not attended to, and each voxel of the fused tokens holds those of
    all modalities at its place; both are otherwise in the public code.
    """

    name = "mmformer"
    Options = MMFormerOptions
    divisor = 2 ** (LEVELS - 1)
    least_side = 2 * divisor  # reflect padding of the coarsest level needs two voxels
    single_kinds = (Kind.SEPARATE, Kind.ENCODER)
    fused_levels = LEVELS  # of what an encoder gives, tokens are the fifth; the last is for its own decoder
    loss = "region_aware"
    loss_features = (Kind.SEPARATE, Kind.REGIONS)

    def __init__(self, options: MMFormerOptions) -> None:
        super().__init__(options)
        self.head = HEADS["classes"]
        self._as_public = options.as_public_code
        widths = [options.width * 2**level for level in range(LEVELS)]
        tokens = (options.token_size, options.num_heads, options.mlp_size)
        self.encoders = nn.ModuleList(
            ModalityEncoder(widths, *tokens, options.position_side) for _ in MODALITIES
        )
        self.attend = Layer(*tokens)
        self.mix = nn.Conv3d(len(MODALITIES) * options.token_size, len(MODALITIES) * widths[-1], 1)
        self.separate = SeparateDecoder(widths, self.head.channels)
        self.fused = FusedDecoder(widths, self.head.channels)
        for module in self.modules():
            if isinstance(module, nn.Conv3d):
                nn.init.kaiming_normal_(module.weight)

    def decode(
        self, chosen: Chosen, features: bool | Collection[str]
    ) -> tuple[Tensor, dict[Feature, Tensor]]:
        """See :meth:`.separate_encoders.SeparateEncoders.decode`."""
        return self.fused(self._exchange(chosen), chosen, features)

    def encoder_levels(self, pyramid: Pyramid) -> Pyramid:
        """Maps before attention at all levels but the coarsest, which is the one after it."""
        return [*pyramid[: LEVELS - 1], pyramid[-1]]

    def _exchange(self, chosen: Chosen) -> Tensor:
        """Attention among the tokens of all modalities -> (B, 4 C, d, h, w)."""
        stack, used, flags = chosen.stacks[LEVELS - 1], list(chosen.used), chosen.flags
        if self._as_public:
            stack, used, flags = with_absent(stack, used), list(MODALITIES), None
        grid = tuple(stack.shape[3:])
        positions = torch.stack([self.encoders[m].positions(grid) for m in used], 1)
        tokens = stack.flatten(3).transpose(2, 3) + positions
        known = None if flags is None or flags.all() else flags.repeat_interleave(tokens.shape[2], 1)
        tokens = self.attend(tokens.flatten(1, 2), known)
        if self._as_public:
            # the public code lays four consecutive tokens of one modality side by side
            maps = tokens.reshape(len(stack), *grid, -1).permute(0, 4, 1, 2, 3)
            return self.mix(maps)
        maps = tokens.unflatten(1, (len(used), -1)).transpose(2, 3).unflatten(3, grid)
        if known is not None:
            maps = torch.where(flags[:, :, None, None, None, None], maps, 0.0)
        return mixed(self.mix, maps.flatten(1, 2), used)
