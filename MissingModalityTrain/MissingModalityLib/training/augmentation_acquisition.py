"""What the acquisition of a sequence brings: thick slices, low resolution and partial coverage."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .augmentation_intensities import multiplied
from .augmentation_levels import THINNEST_SLICE

_FWHM = 2 * math.sqrt(2 * math.log(2))
"""Full width at half maximum of a Gaussian, in standard deviations."""


def in_thick_slices(volumes: Tensor, distances: Tensor, phases: Tensor, axis: int) -> Tensor:
    """Acquired in thick slices and interpolated linearly onto their own grid again.

    A slice is a Gaussian mean over neighbors, as wide at half its height as slices are apart (Zhao et al.,
    SMORE, IEEE Transactions on Medical Imaging 40, 2021). Acquisition and interpolation are one matrix.

    Args:
        volumes: (V, D, H, W).
        distances: (V,) of slices, voxels, 2 or more.
        phases: (V,) of 0 to 1, how far the first slice lies before the first voxel, in distances.
        axis: 0, 1 or 2 for slices along z, y or x.
    """
    size = volumes.shape[axis + 1]
    distances, phases = distances[:, None, None], phases[:, None, None]
    # as many for all, so that nobody waits for the distances on a GPU; those beyond the crop have no weight
    count = math.ceil(size / THINNEST_SLICE) + 2
    slices = torch.arange(count, device=volumes.device)[:, None] - phases
    offsets = torch.arange(size, device=volumes.device) / distances - slices  # (V, count, size), in distances
    profile = torch.exp(-0.5 * (offsets * _FWHM).square())
    profile = profile / profile.sum(dim=2, keepdim=True).clamp_min(1e-6)  # never 0 / 0
    return multiplied(volumes, (1 - offsets.abs()).clamp_min(0).mT @ profile, axis)


def coarser(volumes: Tensor, distances: Tensor) -> Tensor:
    """Reduced to the nearest voxels of a coarser grid and interpolated linearly from these again.

    nnU-Net interpolates cubically, which PyTorch does not have for volumes.

    Args:
        volumes: (V, D, H, W).
        distances: (V,) of the voxels of the coarser grid, 1 or more.
    """
    for axis in (1, 2, 3):
        size, shape = volumes.shape[axis], [-1, 1, 1, 1]
        shape[axis] = size
        place = torch.arange(size, device=volumes.device) / distances[:, None]
        before = place.floor()
        pair = ((before + step) * distances[:, None] for step in (0, 1))
        nearest = (x.round().clamp(max=size - 1).long().view(shape).expand_as(volumes) for x in pair)
        first, second = (volumes.gather(axis, index) for index in nearest)
        volumes = torch.lerp(first, second, (place - before).view(shape))
    return volumes


def cover(volumes: Tensor, coverage: Tensor) -> None:
    """Cut off, in place, what lies beyond the ends of a sequence.

    Args:
        volumes: (V, D, H, W).
        coverage: (V, 3, 2) on the host, begin and end along z, y, x as shares of the crop.
    """
    for row, axis, end in (coverage != torch.tensor([0.0, 1.0])).nonzero().tolist():
        size = volumes.shape[axis + 1]
        border = round(float(coverage[row, axis, end]) * size)
        beyond = (border, size - border) if end else (0, border)
        volumes[row].narrow(axis, *beyond).zero_()
