"""Intensities of a batch of volumes: bias field, blur, gamma and noise."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

_SPACE = (-3, -2, -1)
"""The axes z, y, x of any tensor of volumes."""

_BLUR_RADIUS = 4
"""Voxels after which the widest blur is cut off, 4 standard deviations."""


_PRODUCTS = ("vij,vjhw->vihw", "vij,vdjw->vdiw", "vij,vdhj->vdhi")
"""Matrices times the lines along z, y, x."""


def brain_of(volumes: Tensor) -> Tensor:
    """1.0 where a volume is not 0, else 0.0; a CPU compares into floats far faster than into bools."""
    return torch.ne(volumes, 0, out=torch.empty_like(volumes))


def change_drawn(
    volumes: Tensor, parameters: Tensor, neutral: float | Tensor, change: Callable[[Tensor, Tensor], Tensor]
) -> None:
    """Change those of ``volumes`` (V, D, H, W), in place, whose ``parameters`` (V, ...) are not neutral."""
    drawn = (parameters != neutral).reshape(len(parameters), -1).any(dim=1)
    if drawn.any():
        rows = drawn.nonzero()[:, 0].to(volumes.device)
        volumes[rows] = change(volumes[rows], parameters[drawn].to(volumes.device))


def biased(volumes: Tensor, coefficients: Tensor) -> Tensor:
    """Times the exponential of a sum of Legendre polynomials over -1 to 1 along each axis."""
    field = coefficients  # (V, 3, 3, 3) becomes (V, 3, 3, W), (V, 3, H, W), (V, D, H, W)
    for axis in (3, 2, 1):
        x = along(torch.linspace(-1, 1, volumes.shape[axis], device=volumes.device), 3 - axis)
        constant, linear, square = field.split(1, dim=axis)
        field = constant + linear * x + square * (1.5 * x * x - 0.5)
    return volumes * field.exp()


def blurred(volumes: Tensor, sigmas: Tensor) -> Tensor:
    """Convolved with Gaussians, voxel by voxel integrated, of ``sigmas`` (V, 3); beyond the crop lies 0.

    One banded matrix per axis: matrix products beat convolutions of one channel on CPU and GPU.
    """
    for axis in range(3):
        place = torch.arange(volumes.shape[axis + 1], device=volumes.device)
        distance = (place[:, None] - place).float()
        width = sigmas[:, axis, None, None] * math.sqrt(2)
        band = (torch.erf((distance + 0.5) / width) - torch.erf((distance - 0.5) / width)) / 2
        volumes = multiplied(volumes, band * (distance.abs() <= _BLUR_RADIUS), axis)
    return volumes


def multiplied(volumes: Tensor, matrices: Tensor, axis: int) -> Tensor:
    """(V, n, n) matrices times every line along ``axis`` (0 for z, 2 for x) of ``volumes`` (V, D, H, W)."""
    return torch.einsum(_PRODUCTS[axis], matrices, volumes)


def with_gamma(volumes: Tensor, gamma: Tensor) -> Tensor:
    """Intensities stretched to 0 to 1, raised to ``gamma`` (V,) and stretched back."""
    low, high = volumes.amin(_SPACE, keepdim=True), volumes.amax(_SPACE, keepdim=True)
    extent = (high - low).clamp_min(1e-7)  # an all-zero (missing) volume stays 0 and not 0 / 0
    return ((volumes - low) / extent).pow(along(gamma, 3)) * extent + low


def add_noise(volumes: Tensor, deviations: Tensor, seeds: Tensor) -> None:
    """Gaussian noise in place; a generator for each volume keeps it apart from the batch it is in."""
    generator = torch.Generator(volumes.device)
    for volume, deviation, seed in zip(volumes, deviations.tolist(), seeds.tolist(), strict=True):
        if deviation:
            generator.manual_seed(seed)
            volume.add_(torch.randn(volume.shape, generator=generator, device=volume.device) * deviation)


def like(values: Tensor, volumes: Tensor) -> Tensor:
    """One value for each of ``volumes`` (V, D, H, W), beside them: (V, 1, 1, 1)."""
    return along(values, 3).to(volumes.device)


def along(values: Tensor, axes_after: int) -> Tensor:
    """A vector (N,) along an axis that so many others follow: (N, 1, ...)."""
    return values.view(-1, *(1,) * axes_after)
