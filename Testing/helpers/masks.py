"""Subsets of modalities as tests write them: one bit per channel."""

from __future__ import annotations

import torch
from torch import Tensor


def flags(*masks: str) -> Tensor:
    """One text per sample, its bits in the order of the channels: "1000", "0101" -> (2, 4) bool."""
    return torch.tensor([[bit == "1" for bit in mask] for mask in masks])
