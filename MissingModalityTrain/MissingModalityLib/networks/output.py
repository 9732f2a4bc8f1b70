"""What every network returns."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor


@dataclass
class Output:
    """Result of ``network(image, available)``.

    Attributes:
        logits: (B, K, D, H, W); K classes (softmax) or regions WT, TC, ET (sigmoid): ``network.head``.
        features: named intermediate tensors; filled in training mode or if asked for, read by losses
            and distillation.
    """

    logits: Tensor
    features: dict[str, Tensor] = field(default_factory=dict)
