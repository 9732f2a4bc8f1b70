"""Losses of networks that also restore images: U-HVED's, RobustSeg's and RA-HVED's, segmentation's beside.

Dorent et al., MICCAI 2019: what all modalities of a case tell about the latent teaches what each subset
tells, and every subset stays near the prior. Chen et al., MICCAI 2019: codes of appearance stay near it, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product as combinations

import torch
from torch import Tensor

from ..core.errors import OptionError
from ..core.modalities import MODALITIES
from ..networks.head import Head
from ..networks.output import Feature, Kind, Output, chosen
from ..networks.rfnet_blocks import scatter_rows
from ..networks.uhved import gaussians, product
from ..runtime import distributed
from .options import DEFAULTS, LossOptions
from .plain import plain_loss
from .voxel_losses import RFNET_DICE_EPSILON, at_least_single, dice_losses, entropy_share, overlaps

RESTORING_WEIGHT = DIVERGENCE_WEIGHT = 0.1
"""Of restored images and of divergences in the total, in both papers."""

ATTENTIVE_WEIGHT = 0.2
"""Of both in RA-HVED (Jeong et al., ACCV 2022)."""
ATTENTIVE_DICE_EPSILON = 1e-6
"""In the denominator of its Dice: a region that a batch lacks costs 1, whatever is predicted."""

_LEAST_VARIANCE = 1e-8
"""Added to squared scales, which pass through 0 on their way, where their logarithm has no bound."""


def variational_loss(
    output: Output,
    classes: Tensor,
    head: Head,
    present: Tensor | None = None,
    fused_weight: float = 1.0,
    options: LossOptions = DEFAULTS,
    image: Tensor | None = None,
) -> dict[str, Tensor]:
    """U-HVED's: Dice and cross entropy of the segmentation, divergence of latents, restored images.

    Args:
        output: with the features ``encoder`` and ``restored``.
        classes, head, present, fused_weight, options: as for :func:`.plain.plain_loss`.
        image: (B, 4, D, H, W), as given to the network.

    Returns:
        Terms of :func:`.plain.plain_loss`, ``latent`` and ``restored``.

    Raises:
        OptionError: no image.
    """
    terms = plain_loss(output, classes, head, present, fused_weight, options)
    with torch.autocast(output.logits.device.type, enabled=False):
        there = _presence(present, classes)
        terms["latent"] = DIVERGENCE_WEIGHT * latent_divergence(output.features, there)
        differences = _differences(output.features, image, there)
        squares = torch.stack([_share(x.square(), len(there)) for x in differences])
        terms["restored"] = RESTORING_WEIGHT * squares.mean()
    return terms


def disentangling_loss(
    output: Output,
    classes: Tensor,
    head: Head,
    present: Tensor | None = None,
    fused_weight: float = 1.0,
    options: LossOptions = DEFAULTS,
    image: Tensor | None = None,
) -> dict[str, Tensor]:
    """RobustSeg's: weighted cross entropy and Dice, divergence of appearances, restored images.

    Args:
        output: with the features ``appearance`` and ``restored``.
        classes, head, present, fused_weight, options, image: as for :func:`variational_loss`.

    Returns:
        ``ce``, ``dice``, ``appearance`` and ``restored``, the last two sums over the modalities.

    Raises:
        OptionError: no image.
    """
    logits = at_least_single(output.logits)
    with torch.autocast(logits.device.type, enabled=False):
        there = _presence(present, classes)
        target, predicted = head.target(classes, logits.dtype), head.probabilities(logits)
        sums = distributed.total(overlaps(predicted, target))
        looks = chosen(output.features, {Kind.APPEARANCE}).values()
        differences = _differences(output.features, image, there)
        return {
            "ce": entropy_share(predicted, target, len(target)),
            "dice": dice_losses(sums, 0.0, RFNET_DICE_EPSILON).mean(),
            "appearance": DIVERGENCE_WEIGHT
            * sum(appearance_divergence(at_least_single(x)).sum() / len(there) for x in looks),
            "restored": RESTORING_WEIGHT * sum(_share(x.abs(), len(there)) for x in differences),
        }


def attentive_loss(
    output: Output,
    classes: Tensor,
    head: Head,
    present: Tensor | None = None,
    fused_weight: float = 1.0,
    options: LossOptions = DEFAULTS,
    image: Tensor | None = None,
) -> dict[str, Tensor]:
    """RA-HVED's, of one subset: Dice with squares, the latent's divergence from the prior, restored images.

    Args:
        output: with the features ``latent`` and ``restored``.
        classes, head, present, fused_weight, options, image: as for :func:`variational_loss`.

    Returns:
        ``dice``, ``latent`` and ``restored``.

    Raises:
        OptionError: no image.
    """
    there = _presence(present, classes)
    with torch.autocast(output.logits.device.type, enabled=False):
        latents = [at_least_single(x).chunk(2, 1) for x in chosen(output.features, {Kind.LATENT}).values()]
        apart = [_divergence(latent, (torch.zeros_like(latent[0]),) * 2) for latent in latents]
        differences = _differences(output.features, image, there)
        squares = torch.stack([_share(x.square(), len(there)) for x in differences])
        return {
            "dice": attentive_dice(output.logits, classes, head),
            "latent": ATTENTIVE_WEIGHT * torch.stack(apart).mean(),
            "restored": ATTENTIVE_WEIGHT * squares.mean(),
        }


def attentive_dice(logits: Tensor, classes: Tensor, head: Head) -> Tensor:
    """Its Dice of the whole batch, the sizes squared (Milletari et al., 2016), mean over the channels."""
    logits = at_least_single(logits)
    sums = overlaps(head.probabilities(logits), head.target(classes, logits.dtype), squared=True)
    return dice_losses(distributed.total(sums), 0.0, ATTENTIVE_DICE_EPSILON).mean()


def appearance_divergence(looks: Tensor) -> Tensor:
    """From the standard normal, nats of each sample (n,): scales (n, 2C) as means, shifts as deviations."""
    mean, deviation = looks.chunk(2, 1)
    variance = deviation.square() + _LEAST_VARIANCE
    return 0.5 * (mean.square() + variance - variance.log() - 1).sum(1)


def latent_divergence(features: Mapping[Feature, Tensor], present: Tensor) -> Tensor:
    """Dorent et al., Eq. 6: subsets from all that a case has, and subsets from the prior, mean over levels.

    Args:
        features: with ``encoder`` of every modality that is present, see :func:`.uhved.gaussians`.
        present: (B, 4) bool on the CPU.

    Returns:
        Scalar in nats per number of the latent.
    """
    levels = sorted({feature.level for feature in chosen(features, {Kind.ENCODER})})
    return torch.stack([_level_divergence(features, present, level) for level in levels]).mean()


def _level_divergence(features: Mapping[Feature, Tensor], present: Tensor, level: int | str) -> Tensor:
    used = [m for m in MODALITIES if present[:, m].any()]
    maps = [at_least_single(features[Feature(Kind.ENCODER, level, m)]) for m in used]
    stack = torch.stack([scatter_rows(x, present[:, m]) for x, m in zip(maps, used, strict=True)], 1)
    sums = []
    for sample, flags in zip(stack, present[:, used], strict=True):
        mean, log_variance = gaussians(sample[flags].unsqueeze(0), 2)
        count = int(flags.sum())
        # flags of all subsets but the empty one, the last of them all there is
        subsets = [s for s in combinations((False, True), repeat=count) if any(s)]
        latents = [product(mean, log_variance, torch.tensor([s], device=mean.device)) for s in subsets]
        whole = latents[-1]
        near = [_divergence(whole, latent) for latent in latents[:-1]]
        prior = torch.zeros_like(whole[0])
        small = [_divergence(latent, (prior, prior)) for latent in latents]
        sums.append(sum(near) / max(len(near), 1) + sum(small) / len(small))
    return torch.stack(sums).mean()


def _divergence(first: tuple[Tensor, Tensor], second: tuple[Tensor, Tensor]) -> Tensor:
    """Kullback-Leibler divergence of Gaussians (means, log-variances), mean over their numbers."""
    (mean, log_variance), (other, other_log) = first, second
    apart = (mean - other).square() * (-other_log).exp()
    return 0.5 * (other_log - log_variance + (log_variance - other_log).exp() + apart - 1).mean()


def _differences(features: Mapping[Feature, Tensor], image: Tensor | None, present: Tensor) -> list[Tensor]:
    """Restored less given images (n, 1, D, H, W) of each modality."""
    if image is None:
        raise OptionError("The loss compares restored images with those the network was given. Give these.")
    return [
        at_least_single(restored) - image[present[:, feature.modality], feature.modality].unsqueeze(1)
        for feature, restored in chosen(features, {Kind.RESTORED}).items()
    ]


def _share(values: Tensor, batch: int) -> Tensor:
    """What the samples (n, ...) of one modality add to a mean over the whole batch."""
    return values.flatten(1).mean(1).sum() / batch


def _presence(present: Tensor | None, classes: Tensor) -> Tensor:
    if present is None:
        return torch.ones(len(classes), len(MODALITIES), dtype=torch.bool)
    return present.cpu()
