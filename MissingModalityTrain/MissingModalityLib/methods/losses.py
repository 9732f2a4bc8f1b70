"""What compares a network's output with the labels: the loss that it names."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor, nn

from ..core.errors import OptionError
from ..networks.output import Output
from .options import DEFAULTS, LossOptions
from .plain import plain_loss
from .region_aware import region_aware_loss
from .restoring import attentive_loss, disentangling_loss, variational_loss


def segmentation_loss(
    network: nn.Module,
    output: Output,
    classes: Tensor,
    present: Tensor | None = None,
    fused_weight: float = 1.0,
    options: LossOptions = DEFAULTS,
    image: Tensor | None = None,
) -> dict[str, Tensor]:
    """Named terms of the loss that a network names; ``"total"`` is the one to minimize.

    Args:
        network: which gave the output; its ``loss`` is one of :data:`LOSSES`.
        output: with the features ``network.loss_features``.
        classes: (B, D, H, W) uint8 or int64, 0..K-1.
        present: (B, 4) bool, the modalities each case really has, as given to the network; default all.
        fused_weight: factor of the fused terms in the total. RFNet trains its encoders and region maps first
            and fuses later: 0 until then, 1 afterwards. Losses without separate terms ignore it.
        options: of the plain loss; others do not read them.
        image: (B, 4, D, H, W), as given to the network; for losses of restored images alone.

    Returns:
        Scalars as they enter the total, which is their sum.

    Raises:
        OptionError: the network names no loss, or ``present`` differs from what the network was given.
    """
    if network.loss not in LOSSES:
        raise OptionError(
            f"Network {network.name} names the loss '{network.loss}'. Let it name one of {', '.join(LOSSES)}."
        )
    terms = LOSSES[network.loss](output, classes, network.head, present, fused_weight, options, image)
    return {**terms, "total": sum(terms.values())}


LOSSES: Mapping[str, Callable[..., dict[str, Tensor]]] = {
    "attentive": attentive_loss,
    "disentangling": disentangling_loss,
    "plain": plain_loss,
    "region_aware": region_aware_loss,
    "variational": variational_loss,
}
"""What :attr:`.Network.loss` names. Terms of other kinds are for methods, see :class:`.method.Method`."""
