"""What every network returns."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor


@dataclass
class Output:
    """Result of ``network(image, available)``.

    Attributes:
        logits: (B, K, D, H, W); K classes (softmax) or regions WT, TC, ET (sigmoid): ``network.head``.
        features: named intermediate tensors; in training mode those that the network's own loss reads,
            all that can be distilled if asked for.
    """

    logits: Tensor
    features: dict[str, Tensor] = field(default_factory=dict)
