"""Voxels kept in half precision, as prepared cases have them, made into single precision."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def write_single(
    image: np.ndarray, channels: Sequence[int], box: tuple[slice, ...], half: np.ndarray
) -> None:
    """Write float16 ``half`` (n, d, h, w) into the ``box`` of n ``channels`` of a float32 ``image``."""
    import torch  # here, as cases are prepared without it; NumPy takes ten times as long for this

    target = torch.from_numpy(image)
    for channel, part in zip(channels, torch.from_numpy(half), strict=True):
        target[(channel, *box)] = part
