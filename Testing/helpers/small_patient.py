"""Small volumes of a brain."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK as sitk

from MissingModalityLib.clinical.steps import Steps

AS_GIVEN = Steps("never", "never", content_check=False)
"""For volumes of noise, in which no registration finds anything to go by."""


def brain_volume(
    seed: int = 0,
    size: tuple[int, int, int] = (26, 24, 22),
    spacing: tuple[float, float, float] = (2.0, 2.0, 2.0),
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0),
    direction: tuple[float, ...] = (1, 0, 0, 0, 1, 0, 0, 0, 1),
) -> sitk.Image:
    """A noisy ellipsoid on zeros, float32; size, spacing and origin along x, y, z."""
    axes = [np.linspace(-1, 1, count) for count in reversed(size)]
    z, y, x = np.meshgrid(*axes, indexing="ij")
    noise = np.random.default_rng(seed).normal(500, 60, z.shape)
    image = sitk.GetImageFromArray(np.where(x * x + y * y + z * z < 0.7, noise, 0).astype(np.float32))
    image.SetSpacing(spacing)
    image.SetOrigin(origin)
    image.SetDirection(direction)
    return image


def write_brain(path: Path, seed: int = 0, **geometry: tuple[float, ...]) -> Path:
    """:func:`brain_volume` as a file."""
    sitk.WriteImage(brain_volume(seed, **geometry), str(path))
    return path
