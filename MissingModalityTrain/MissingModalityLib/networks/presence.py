"""A head that tells which tumor classes an image holds at all, for networks with a common bottleneck.

As AdaMM's ("No modality left behind", arXiv 2509.15017), but from the bottleneck, where a whole tumor fits
into a few voxels and a head costs next to nothing.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..core.labels import TUMOR_CLASSES
from .unet import normalization


class PresenceHead(nn.Module):
    """Largest and mean activation of each channel -> a probability per tumor class.

    The largest one, because the mean hardly notices a lesion of a few voxels.

    Args:
        channels: of the bottleneck.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = normalization(channels, "group")
        self.classify = nn.Linear(2 * channels, len(TUMOR_CLASSES))

    def forward(self, bottleneck: Tensor) -> Tensor:
        """(B, channels, d, h, w) -> (B, 3) for :attr:`.output.Output.presence`."""
        x = F.relu(self.norm(bottleneck)).flatten(2)
        evidence = self.classify(torch.cat([x.amax(2), x.mean(2)], 1))
        # the cross entropy of a half precision probability near 1 would be 0 or infinite
        return (evidence.float() if evidence.dtype.itemsize < 4 else evidence).sigmoid()
