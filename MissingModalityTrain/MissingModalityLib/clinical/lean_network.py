"""A network of deepbet in less memory, with the same answers to the bit.

The whole of it keeps three copies of its first and last layers' maps, its very last layer makes a column of
what goes into every voxel, and its answer has background beside the brain: 0.45 GB of 256**3 voxels, beside
the image. Here layers are rectified in place, the last one, whose kernel of 2**3 moves by 2, goes through
some slices at a time, and the image is gone once the first layer has seen it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

_SLICES = 16
"""Before the last layer, at a time."""


class LeanNetwork(nn.Module):
    """The parts of a network, called one after the other.

    Args:
        whole: as version 1.0.2 of the package has it: a LinkNet of four levels (Chaurasia and Culurciello,
            "LinkNet", VCIP 2017).
    """

    def __init__(self, whole: torch.jit.ScriptModule) -> None:
        super().__init__()
        self.whole = whole

    def forward(self, volume: Tensor) -> Tensor:
        """(1, 1, N, N, N) float32 intensities, whose memory is freed -> probabilities of brain."""
        shape = volume.shape
        maps = self._last_maps(volume)
        answer = torch.empty(shape)
        parts = zip(answer.split(2 * _SLICES, 2), maps.split(_SLICES, 2), strict=True)
        for found, part in parts:
            found.copy_(torch.softmax(self.whole.tp_conv2(part), 1)[:, 1:])
        return answer

    def _last_maps(self, volume: Tensor) -> Tensor:
        """(1, 8, N/2, N/2, N/2)"""
        whole = self.whole
        rectifier = getattr(whole.conv, "2")
        levels = [getattr(whole.init, "3")(_layer(whole.init, volume))]
        volume.untyped_storage().resize_(0)  # whoever called still holds it
        for down in (whole.down0, whole.down1, whole.down2):
            levels.append(down(rectifier, levels[-1]))
        x = whole.down3(rectifier, levels[-1])
        for up in (whole.up0, whole.up1, whole.up2, whole.up3):
            x = up(rectifier, x) + levels.pop()
        for layer in (whole.tp_conv1, whole.conv):
            x = _layer(layer, x)
        return x


def _layer(layer: torch.jit.ScriptModule, x: Tensor) -> Tensor:
    """Convolution, normalization and, in place, the rectifier."""
    convolution, norm = (getattr(layer, name) for name in "01")
    return norm(convolution(x)).relu_()
