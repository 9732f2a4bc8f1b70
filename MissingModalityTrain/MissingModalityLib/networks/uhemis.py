"""U-HeMIS: the mean and the variance of the modalities at hand, at every resolution.

Havaei, Guizard, Chapados, Bengio: "HeMIS: hetero-modal image segmentation", MICCAI 2016; as the U-Net that
Dorent et al., MICCAI 2019, compare theirs with, and that later tables call HeMIS.
"""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor, nn

from ..core.modalities import MODALITIES
from .encoder_options import UHeMISOptions
from .heads import HEADS
from .hved_blocks import HVED_LEVELS, Decoder, Encoder
from .output import Feature, Kind
from .output import chosen as chosen_kinds
from .separate_encoders import Chosen, SeparateEncoders


def moments(stack: Tensor, flags: Tensor) -> Tensor:
    """Mean and population variance over the modalities a sample has; the variance of a single one is 0.

    Args:
        stack: (B, A, C, d, h, w), 0 where a sample lacks a modality.
        flags: (B, A) bool, those it has.

    Returns:
        (B, 2C, d, h, w).
    """
    count = flags.sum(1)[:, None, None, None, None]
    mean = stack.sum(1) / count
    away = torch.where(flags[:, :, None, None, None, None], stack - mean[:, None], 0.0)
    return torch.cat((mean, away.square().sum(1) / count), 1)


class UHeMIS(SeparateEncoders):
    """Hetero-modal U-Net.

    If asked for, ``Output.features`` holds, with n_m the samples that have modality m, in batch order:

    - ``encoder`` of a level and a modality (n_m, C, d, h, w);
    - ``fused`` of a level (B, 2C, d, h, w): mean and variance over the modalities;
    - ``decoder`` of levels 1 to 3 (B, C, d, h, w).

    Level 1 is full resolution, where C is half of ``width``; each further one doubles it.
    """

    name = "uhemis"
    Options = UHeMISOptions
    divisor = least_side = 2 ** (HVED_LEVELS - 1)

    def __init__(self, options: UHeMISOptions) -> None:
        super().__init__(options)
        self.head = HEADS["classes"]
        widths = [options.width * 2**level for level in range(HVED_LEVELS)]
        own = [width // 2 for width in widths]
        self.encoders = nn.ModuleList(Encoder(widths, own) for _ in MODALITIES)
        self.segment = Decoder(widths, widths[:-1], self.head.channels)
        self.head.init_background_bias(self.segment.last.bias)

    def decode(
        self, chosen: Chosen, features: bool | Collection[str]
    ) -> tuple[Tensor, dict[Feature, Tensor]]:
        """See :meth:`.separate_encoders.SeparateEncoders.decode`."""
        fused = [moments(stack, chosen.flags) for stack in chosen.stacks]
        logits, decoded = self.segment(fused)
        found = {Feature(Kind.FUSED, level): x for level, x in enumerate(fused, 1)}
        found |= {Feature(Kind.DECODER, level): x for level, x in decoded.items() if level < HVED_LEVELS}
        return logits, chosen_kinds(found, features)
