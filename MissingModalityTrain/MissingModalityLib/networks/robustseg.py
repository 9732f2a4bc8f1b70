"""RobustSeg: what an image shows apart from how it looks; the former is fused by gates.

Chen, Dou, Jin, Chen, Qin, Heng: "Robust multimodal brain tumor segmentation via feature disentanglement and
gated fusion", MICCAI 2019. Each modality has a content encoder; gates of places decide how much each one
tells. While training, images are restored from the fused content and a code of each modality's appearance, so
that content need not hold it. Its loss is "disentangling", see :mod:`..methods.restoring`.
"""

from __future__ import annotations

from collections.abc import Collection

from torch import Tensor, nn

from ..core.modalities import MODALITIES
from .appearance import AppearanceEncoder, ImageDecoder
from .encoder_options import RobustSegOptions
from .heads import HEADS
from .output import Feature, Kind, Output, asked
from .output import chosen as chosen_kinds
from .rfnet import RFNET_LEVELS, Encoder, SeparateDecoder
from .rfnet_blocks import ConvBlock, FusionBlock, gather_rows, with_absent
from .separate_encoders import Chosen, SeparateEncoders


class GatedSum(nn.Module):
    """One gate per modality and voxel, from all of them; a convolution of 1 voxel mixes what passes.

    Args:
        channels: of one modality.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gate = ConvBlock(len(MODALITIES) * channels, len(MODALITIES))
        self.mix = FusionBlock(channels, channels)

    def forward(self, chosen: Chosen, level: int) -> Tensor:
        """Modalities to fuse -> (B, C, d, h, w) of a level, counted from 0."""
        stack, used = chosen.stacks[level], list(chosen.used)
        # a gate's convolution reads all modalities, those that are missing as 0
        gates = self.gate(with_absent(stack, used).flatten(1, 2)).sigmoid()[:, used]
        return self.mix(stack * gates[:, :, None], used)


class RobustSeg(SeparateEncoders):
    """Feature disentanglement and gated fusion.

    If asked for, ``Output.features`` holds, with n_m the samples that have modality m, in batch order:

    - ``encoder`` of a level and a modality (n_m, C, d, h, w): content;
    - ``fused`` of a level (B, C, d, h, w): content after the gates;
    - ``decoder`` of levels 1 to 3 (B, C, d, h, w);
    - ``appearance`` of a modality (n_m, 2C): scales and shifts made from its code, in training mode only;
    - ``restored`` of a modality (n_m, 1, D, H, W): its image, in training mode only.

    Level 1 is full resolution and ``width`` channels wide; each further one halves the sides and doubles the
    width.
    """

    name = "robustseg"
    Options = RobustSegOptions
    divisor = 2 ** (RFNET_LEVELS - 1)
    least_side = 16  # reflect padding of the coarsest level needs two voxels
    loss = "disentangling"
    loss_features = (Kind.APPEARANCE, Kind.RESTORED)

    def __init__(self, options: RobustSegOptions) -> None:
        super().__init__(options)
        self.head = HEADS["classes"]
        widths = [options.width * 2**level for level in range(RFNET_LEVELS)]
        self.encoders = nn.ModuleList(Encoder(widths) for _ in MODALITIES)
        self.gates = nn.ModuleList(map(GatedSum, widths))
        self.segment = SeparateDecoder(widths, self.head.channels)
        self.appearance = nn.ModuleList(AppearanceEncoder(options.width) for _ in MODALITIES)
        self.restore = nn.ModuleList(ImageDecoder(options.width, options.voxel_norm_side) for _ in MODALITIES)
        self.head.init_background_bias(self.segment.head.bias)

    def forward(
        self,
        image: Tensor,
        available: Tensor,
        present: Tensor | None = None,
        features: bool | Collection[str] = False,
    ) -> Output:
        """See :meth:`.network.Network.forward`; images are restored of all modalities ``present``."""
        kinds = [kind for kind in (Kind.APPEARANCE, Kind.RESTORED) if asked(features, kind)]
        if not self.training or not kinds:
            return super().forward(image, available, present, features)
        wanted = features if isinstance(features, bool) else {*features, Kind.FUSED}
        output = super().forward(image, available, present, wanted)
        content = output.features[Feature(Kind.FUSED, RFNET_LEVELS)]
        found = self._looks(image, (available if present is None else present).cpu(), content)
        output.features = chosen_kinds({**output.features, **found}, features)
        return output

    def decode(
        self, chosen: Chosen, features: bool | Collection[str]
    ) -> tuple[Tensor, dict[Feature, Tensor]]:
        """See :meth:`.separate_encoders.SeparateEncoders.decode`."""
        fused = [gate(chosen, level) for level, gate in enumerate(self.gates)]
        logits, decoded = self.segment.decoded(fused)
        found = {Feature(Kind.FUSED, level): x for level, x in enumerate(fused, 1)}
        found |= {Feature(Kind.DECODER, level): x for level, x in decoded.items()}
        return logits, chosen_kinds(found, features)

    def _looks(self, image: Tensor, present: Tensor, content: Tensor) -> dict[Feature, Tensor]:
        """Appearance and restored image of each modality, of the samples that have it."""
        found = {}
        for m in MODALITIES:
            rows = present[:, m]
            if rows.any():
                looks = self.restore[m].looks(self.appearance[m](image[rows, m : m + 1]))
                found[Feature(Kind.APPEARANCE, modality=m)] = looks
                restored = self.restore[m](gather_rows(content, rows), looks)
                found[Feature(Kind.RESTORED, modality=m)] = restored
        return found
