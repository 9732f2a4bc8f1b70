"""U-HVED: modalities as experts on a common latent, at every resolution (Dorent et al., MICCAI 2019).

Dorent, Joutard, Modat, Ourselin, Vercauteren: "Hetero-modal variational encoder-decoder for joint modality
completion and segmentation". Each modality tells a Gaussian for every voxel of every level; those at hand,
and a standard normal prior, are multiplied. From the latent one decoder segments, and while training
four more restore the images. Its loss is "variational", see :mod:`..methods.restoring`.
"""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor, nn

from ..core.modalities import MODALITIES
from .encoder_options import UHVEDOptions
from .heads import HEADS
from .hved_blocks import HVED_LEVELS, Decoder, Encoder
from .output import Feature, Kind, asked
from .output import chosen as chosen_kinds
from .rfnet_blocks import gather_rows
from .separate_encoders import Chosen, Pyramid, SeparateEncoders

LOG_VARIANCE_LIMIT = 50.0
"""Log-variances are clipped to +-50, as in the authors' code: their exponentials stay finite."""
_PUBLIC_EPSILON = 1e-7


def gaussians(maps: Tensor, axis: int = 1) -> tuple[Tensor, Tensor]:
    """Means and log-variances, which an encoder gives side by side along an axis of 2C channels."""
    mean, log_variance = maps.chunk(2, axis)
    return mean, log_variance.clamp(-LOG_VARIANCE_LIMIT, LOG_VARIANCE_LIMIT)


def product(
    mean: Tensor, log_variance: Tensor, flags: Tensor, as_public_code: bool = False
) -> tuple[Tensor, Tensor]:
    """The product of Gaussians and the standard normal prior, again a Gaussian.

    Args:
        mean, log_variance: (B, A, C, d, h, w) of A experts.
        flags: (B, A) bool, experts to multiply.
        as_public_code: keep variances from 0 where the public PyTorch code does, in two ways.

    Returns:
        Mean and log-variance (B, C, d, h, w).
    """
    flags = flags[:, :, None, None, None, None]
    if as_public_code:
        variance = log_variance.exp()
        precision, weight = 1 / variance + _PUBLIC_EPSILON, 1 / (variance + _PUBLIC_EPSILON)
        prior = 1 + _PUBLIC_EPSILON
    else:
        precision = weight = (-log_variance).exp()
        prior = 1.0
    total = prior + torch.where(flags, precision, 0.0).sum(1)
    return torch.where(flags, weight * mean, 0.0).sum(1) / total, -total.log()


class UHVED(SeparateEncoders):
    """Hetero-modal variational encoder-decoder.

    If asked for, ``Output.features`` holds, with n_m the samples that have modality m, in batch order:

    - ``encoder`` of a level and a modality (n_m, 2C, d, h, w): mean and log-variance, see :func:`gaussians`;
    - ``fused`` of a level (B, C, d, h, w): mean of the product;
    - ``decoder`` of levels 1 to 3 (B, C, d, h, w): on the way to the segmentation;
    - ``restored`` of a modality (n_m, 1, D, H, W): its image, in training mode only.

    Level 1 is full resolution, where C is half of ``width``; each further one doubles it.
    """

    name = "uhved"
    Options = UHVEDOptions
    divisor = least_side = 2 ** (HVED_LEVELS - 1)
    loss = "variational"
    loss_features = (Kind.ENCODER, Kind.RESTORED)

    def __init__(self, options: UHVEDOptions) -> None:
        super().__init__(options)
        self.head = HEADS["classes"]
        self._as_public = options.as_public_code
        widths = [options.width * 2**level for level in range(HVED_LEVELS)]
        latent = [width // 2 for width in widths]
        self.encoders = nn.ModuleList(Encoder(widths, widths, self._as_public) for _ in MODALITIES)
        self.segment = Decoder(latent, widths[:-1], self.head.channels, self._as_public)
        self.restore = nn.ModuleList(Decoder(latent, widths[:-1], 1, self._as_public) for _ in MODALITIES)
        if not self._as_public:
            self.head.init_background_bias(self.segment.last.bias)

    def decode(
        self, chosen: Chosen, features: bool | Collection[str]
    ) -> tuple[Tensor, dict[Feature, Tensor]]:
        """See :meth:`.separate_encoders.SeparateEncoders.decode`."""
        # precisions leave the range of half precision
        with torch.autocast(chosen.stacks[0].device.type, enabled=False):
            fused = [
                product(*gaussians(_at_least_single(x), 2), chosen.flags, self._as_public)
                for x in chosen.stacks
            ]
            latent = [sample(*gaussian) if self.training else gaussian[0] for gaussian in fused]
        logits, decoded = self.segment(latent)
        found = {Feature(Kind.FUSED, level): mean for level, (mean, _) in enumerate(fused, 1)}
        found |= {Feature(Kind.DECODER, level): x for level, x in decoded.items() if level < HVED_LEVELS}
        found = chosen_kinds(found, features)
        if self.training and asked(features, Kind.RESTORED):
            found |= self._restored(latent, chosen.present)
        return logits, found

    def _restored(self, latent: Pyramid, present: Tensor) -> dict[Feature, Tensor]:
        """The image of each modality, of the samples that have it."""
        return {
            Feature(Kind.RESTORED, modality=modality): restore(
                [gather_rows(x, present[:, modality]) for x in latent]
            )[0]
            for modality, restore in zip(MODALITIES, self.restore, strict=True)
            if present[:, modality].any()
        }


def sample(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Of a Gaussian, by the reparametrization of Kingma and Welling (ICLR 2014)."""
    return mean + torch.randn_like(mean) * (0.5 * log_variance).exp()


def _at_least_single(x: Tensor) -> Tensor:
    return x.float() if x.dtype.itemsize < 4 else x
