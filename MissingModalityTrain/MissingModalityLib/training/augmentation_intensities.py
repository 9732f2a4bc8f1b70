"""Intensities of a batch of volumes: bias field, blur, gamma and noise."""

from __future__ import annotations

import math

import torch
from torch import Tensor

_SPACE = (-3, -2, -1)
"""The axes z, y, x of any tensor of volumes."""

_BLUR_RADIUS = 4
"""Voxels after which blur of intensities is cut off: 4 standard deviations of the widest of "strong", and 2.7
of the widest of "nnunet", where that takes 1 percent of the brightness."""


_RAW_MEAN = 3.0
"""Mean of a brain's raw intensities in standard deviations: 2 to 6 in clinical volumes of BraTS 2021."""

_PRODUCTS = ("vij,vjhw->vihw", "vij,vdjw->vdiw", "vij,vdhj->vdhi")
"""Matrices times the lines along z, y, x."""


def brain_of(volumes: Tensor) -> Tensor:
    """1.0 where a volume is not 0, else 0.0; a CPU compares into floats far faster than into bools."""
    return torch.ne(volumes, 0, out=torch.empty_like(volumes))


def biased(volumes: Tensor, coefficients: Tensor) -> Tensor:
    """Z-scores times a bias field whose logarithm has these ``coefficients`` (V, 3, 3, 3)."""
    return volumes * _field(coefficients, volumes.shape[1:])


def shaded(volumes: Tensor, coefficients: Tensor) -> Tensor:
    """Z-scores of raw intensities times a bias field with these ``coefficients`` (V, 3, 3, 3).

    The field multiplies what a coil receives, so tissues at the mean, 0, become brighter and darker too.
    """
    field = _field(coefficients, volumes.shape[1:])
    return (volumes + _RAW_MEAN).mul_(field).sub_(_RAW_MEAN)


def _field(coefficients: Tensor, size: torch.Size) -> Tensor:
    """Exponential (V, D, H, W) of a sum of Legendre polynomials over -1 to 1 along each axis."""
    field = coefficients  # (V, 3, 3, 3) becomes (V, 3, 3, W), (V, 3, H, W), (V, D, H, W)
    for axis in (3, 2, 1):
        x = along(torch.linspace(-1, 1, size[axis - 1], device=coefficients.device), 3 - axis)
        constant, linear, square = field.split(1, dim=axis)
        field = constant + linear * x + square * (1.5 * x * x - 0.5)
    return field.exp()


def blurred(volumes: Tensor, sigmas: Tensor, radius: int = _BLUR_RADIUS) -> Tensor:
    """Convolved with Gaussians, voxel by voxel integrated, of ``sigmas`` (V, 3); beyond the crop lies 0.

    One banded matrix per axis: matrix products beat convolutions of one channel on CPU and GPU.
    """
    for axis in range(3):
        place = torch.arange(volumes.shape[axis + 1], device=volumes.device)
        distance = (place[:, None] - place).float()
        width = sigmas[:, axis, None, None] * math.sqrt(2)
        band = (torch.erf((distance + 0.5) / width) - torch.erf((distance - 0.5) / width)) / 2
        volumes = multiplied(volumes, band * (distance.abs() <= radius), axis)
    return volumes


def multiplied(volumes: Tensor, matrices: Tensor, axis: int) -> Tensor:
    """(V, n, n) matrices times every line along ``axis`` (0 for z, 2 for x) of ``volumes`` (V, D, H, W)."""
    return torch.einsum(_PRODUCTS[axis], matrices, volumes)


def with_gamma(volumes: Tensor, gamma: Tensor) -> Tensor:
    """Intensities stretched to 0 to 1, raised to ``gamma`` (V,) and stretched back."""
    low, high = volumes.amin(_SPACE, keepdim=True), volumes.amax(_SPACE, keepdim=True)
    extent = (high - low).clamp_min(1e-7)  # an all-zero (missing) volume stays 0 and not 0 / 0
    return ((volumes - low) / extent).pow(along(gamma, 3)) * extent + low


def with_inverted_gamma(volumes: Tensor, gamma: Tensor) -> Tensor:
    """The same with the brightest at 0 and the darkest at 1."""
    return -with_gamma(-volumes, gamma)


def stretched(volumes: Tensor, factors: Tensor) -> Tensor:
    """Times ``factors`` (V,), cut off at the lowest and the highest intensity of before."""
    low, high = volumes.amin(_SPACE, keepdim=True), volumes.amax(_SPACE, keepdim=True)
    return (volumes * along(factors, 3)).clamp(low, high)


def add_noise(volumes: Tensor, deviations: Tensor, seeds: Tensor) -> None:
    """Gaussian noise in place; a generator for each volume keeps it apart from the batch it is in."""
    generator = torch.Generator(volumes.device)
    for volume, deviation, seed in zip(volumes, deviations.tolist(), seeds.tolist(), strict=True):
        if deviation:
            generator.manual_seed(seed)
            volume.add_(torch.randn(volume.shape, generator=generator, device=volume.device) * deviation)


def along(values: Tensor, axes_after: int) -> Tensor:
    """A vector (N,) along an axis that so many others follow: (N, 1, ...)."""
    return values.view(-1, *(1,) * axes_after)
