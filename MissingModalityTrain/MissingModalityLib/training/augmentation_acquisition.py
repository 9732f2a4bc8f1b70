"""What acquisition and preparation do to sequences of a clinic: thick slices."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .augmentation_intensities import multiplied

_FWHM = 2 * math.sqrt(2 * math.log(2))
"""Full width at half maximum of a Gaussian, in standard deviations."""


def in_thick_slices(volumes: Tensor, distances: Tensor, phases: Tensor) -> None:
    """Acquired in thick slices and interpolated linearly onto their own grid again, in place.

    A slice is a Gaussian mean over neighbors, as wide at half its height as slices are apart (Zhao et al.,
    SMORE, IEEE Transactions on Medical Imaging 40, 2021). Acquisition and interpolation are one matrix.

    Args:
        volumes: (V, D, H, W).
        distances: (V, 3) of slices along z, y, x, voxels, on the host; 0 for axes that stay as they are.
        phases: (V,) of 0 to 1, on the host: distance of the first slice to the crop, in distances.
    """
    for axis in range(3):
        drawn = distances[:, axis] > 0
        if drawn.any():
            rows = drawn.nonzero()[:, 0].to(volumes.device)
            matrices = _slicing(volumes.shape[axis + 1], distances[drawn, axis], phases[drawn])
            volumes[rows] = multiplied(volumes[rows], matrices.to(volumes.device), axis)


def _slicing(size: int, distance: Tensor, phase: Tensor) -> Tensor:
    """(V, size, size): voxels to slices at ``distance`` (V,) and back to voxels."""
    count = math.ceil(size / float(distance.min())) + 2
    distance = distance[:, None, None]
    centers = distance * (torch.arange(count)[:, None] - phase[:, None, None])  # (V, count, 1)
    offsets = torch.arange(size) - centers
    profile = torch.exp(-0.5 * (offsets / distance * _FWHM).square())
    # slices beyond the crop are not needed and have no weight in it, which must not become 0 / 0
    profile = profile / profile.sum(dim=2, keepdim=True).clamp_min(1e-6)
    return (1 - (offsets / distance).abs()).clamp_min(0).mT @ profile
