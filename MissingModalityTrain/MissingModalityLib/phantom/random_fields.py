"""Smooth random fields of physical position, so that a patient is the same on every grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

Points = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Coordinates x, y, z in mm, arrays that broadcast against each other."""


def lattice(size: Sequence[int], spacing: Sequence[float]) -> Points:
    """Coordinates of voxels, mm from the first one; both arguments along x, y, z."""
    axes = [np.arange(n, dtype=np.float32) * np.float32(step) for n, step in zip(size, spacing, strict=True)]
    z, y, x = np.meshgrid(*reversed(axes), indexing="ij", sparse=True)
    return x, y, z


@dataclass(frozen=True)
class Field:
    """A sum of plane waves with random directions and phases: mean 0, standard deviation 1.

    Attributes:
        waves: (K, 3) wave vectors in rad/mm.
        phases: (K,) in rad.
    """

    waves: np.ndarray
    phases: np.ndarray

    @classmethod
    def sample(
        cls, random: np.random.Generator, wavelength: float, spread: float = 0.25, count: int = 24
    ) -> Field:
        """Draw a field.

        Args:
            random: source of directions and phases.
            wavelength: mean distance between crests, mm.
            spread: relative standard deviation of the wavelength; small values give stripes and labyrinths.
            count: number of waves.
        """
        directions = random.normal(size=(count, 3))
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        lengths = wavelength * np.exp(spread * random.normal(size=(count, 1)))
        waves = 2 * np.pi / lengths * directions
        return cls(waves.astype(np.float32), random.uniform(0, 2 * np.pi, count).astype(np.float32))

    def __call__(self, points: Points) -> np.ndarray:
        """Values at ``points``, float32."""
        x, y, z = points
        total = np.zeros(np.broadcast_shapes(x.shape, y.shape, z.shape), np.float32)
        for (kx, ky, kz), phase in zip(self.waves, self.phases, strict=True):
            total += np.cos(kx * x + ky * y + (kz * z + phase))
        # a cosine of random phase has variance 1/2
        return total * np.float32(np.sqrt(2 / len(self.phases)))


def smoothstep(distance: np.ndarray, width: float) -> np.ndarray:
    """0 below -width, 1 above +width, smooth between: a voxel's share on the positive side of a border."""
    t = np.clip(distance / (2 * width) + 0.5, 0, 1)
    return t * t * (3 - 2 * t)


def ellipsoid(points: Points, center: tuple[float, ...], radii: tuple[float, ...]) -> np.ndarray:
    """Signed distance in mm to an ellipsoid along the axes, positive inside; first order at the border."""
    scaled = [(p - np.float32(c)) / np.float32(r) for p, c, r in zip(points, center, radii, strict=True)]
    # 1e-6 keeps the center, where the slope is 0, from dividing 0 by 0
    norm = np.sqrt(sum(value * value for value in scaled)) + np.float32(1e-6)
    slope = np.sqrt(sum((value / np.float32(r)) ** 2 for value, r in zip(scaled, radii, strict=True)))
    return (1 - norm) * norm / (slope + np.float32(1e-6))


def tube(points: Points, path: np.ndarray, radii: np.ndarray) -> np.ndarray:
    """Signed distance in mm to a tube along straight pieces, positive inside.

    Args:
        points: where.
        path: (n, 3) mm.
        radii: (n,) mm, linear between the points of the path.
    """
    best = None
    for start, end, first, last in zip(path[:-1], path[1:], radii[:-1], radii[1:], strict=True):
        axis = end - start
        along = sum((p - s) * a for p, s, a in zip(points, start, axis, strict=True)) / float(axis @ axis)
        t = np.clip(along, 0, 1)
        gap = sum((p - s - t * a) ** 2 for p, s, a in zip(points, start, axis, strict=True))
        inside = first + t * (last - first) - np.sqrt(gap)
        best = inside if best is None else np.maximum(best, inside)
    return best.astype(np.float32)


def soft_union(*distances: np.ndarray, blend: float = 4.0) -> np.ndarray:
    """Union of shapes whose seams are rounded over about ``blend`` mm."""
    total = distances[0]
    for other in distances[1:]:
        gap = np.clip(0.5 + 0.5 * (other - total) / blend, 0, 1)
        total = total * (1 - gap) + other * gap + blend * gap * (1 - gap)
    return total
