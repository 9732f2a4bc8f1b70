"""Volumes of a head with its skull on, and of its brain alone, of a person's size."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk

from MissingModalityLib.imaging.grid import Grid

BRAIN_MM, SCALP_MM = (64.0, 80.0, 58.0), (78.0, 96.0, 74.0)
"""Half axes, x y z; the skull is dark and reaches 6 mm under the surface of the scalp."""

_SKIN_MM = 6.0

GRID = Grid((42, 50, 40), (4.0, 4.0, 4.0), (-82.0, -98.0, -78.0), tuple(np.eye(3).ravel().tolist()))
"""With the middle of the head at the origin."""


def ball(radii: tuple[float, ...], grid: Grid = GRID, center: tuple[float, ...] = (0, 0, 0)) -> np.ndarray:
    """(D, H, W) bool: voxels inside an ellipsoid in the patient's space."""
    index = np.stack(np.meshgrid(*map(np.arange, reversed(grid.size)), indexing="ij"), -1)[..., ::-1]
    points = index * grid.spacing @ np.reshape(grid.direction, (3, 3)).T + grid.origin
    return (((points - np.array(center)) / radii) ** 2).sum(-1) < 1


def brain_mask(grid: Grid = GRID, grow_mm: float = 0.0, center: tuple[float, ...] = (0, 0, 0)) -> sitk.Image:
    """The brain of :func:`head`, larger by so much."""
    inside = ball(tuple(radius + grow_mm for radius in BRAIN_MM), grid, center)
    return grid.to_image(inside.astype(np.uint8))


def head(grid: Grid = GRID, air: float = 15.0, seed: int = 0) -> sitk.Image:
    """Brain at 500, dark bone, scalp at 900, and the noise of air, 0 for air that was set to 0; float32."""
    random = np.random.default_rng(seed)
    scalp = ball(SCALP_MM, grid)
    bone = ball(tuple(radius - _SKIN_MM for radius in SCALP_MM), grid)
    tissue = np.where(ball(BRAIN_MM, grid), 500.0, np.where(bone, 60.0, 900.0))
    tissue += random.normal(0, 20, scalp.shape)
    noise = np.abs(random.normal(0, 1, scalp.shape)) * air
    return grid.to_image(np.where(scalp, tissue, noise).astype(np.float32))


def brain(grid: Grid = GRID, seed: int = 0) -> sitk.Image:
    """The same, skull-stripped: zeros around the brain."""
    return sitk.Mask(head(grid, seed=seed), brain_mask(grid))
