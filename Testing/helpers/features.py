"""Features of a network under the names that fixtures and published numbers know."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from MissingModalityLib.networks.output import Feature


def named(features: Mapping[Feature, Tensor]) -> dict[str, Tensor]:
    """``kind/level/MODALITY`` -> tensor."""
    return {str(feature): tensor for feature, tensor in features.items()}
