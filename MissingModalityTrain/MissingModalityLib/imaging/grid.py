"""Where the voxels of a volume lie: its grid, the common grid of a study, and the way from one to another."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import SimpleITK as sitk

SPACING_MM = 1.0
ORIENTATION = "LPS"

_GEOMETRY_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Grid:
    """Geometry of a volume in ITK's terms (x, y, z; LPS; mm)."""

    size: tuple[int, ...]
    spacing: tuple[float, ...]
    origin: tuple[float, ...]
    direction: tuple[float, ...]

    @classmethod
    def from_image(cls, image: sitk.Image) -> Grid:
        return cls(image.GetSize(), image.GetSpacing(), image.GetOrigin(), image.GetDirection())

    def matches(self, other: Grid) -> bool:
        """Whether both describe the same voxels, float noise of headers apart (1/1000 of a voxel)."""
        if self.size != other.size:
            return False
        tolerance = _GEOMETRY_TOLERANCE * min(self.spacing)
        return all(
            np.allclose(mine, theirs, rtol=0, atol=atol)
            for mine, theirs, atol in (
                (self.spacing, other.spacing, tolerance / max(self.size)),
                (self.origin, other.origin, tolerance),
                (self.direction, other.direction, _GEOMETRY_TOLERANCE / max(self.size)),
            )
        )

    def to_image(self, array: np.ndarray) -> sitk.Image:
        """Array (z, y, x) -> image on this grid."""
        image = sitk.GetImageFromArray(array)
        image.SetSpacing(self.spacing)
        image.SetOrigin(self.origin)
        image.SetDirection(self.direction)
        return image

    def crop(self, start: tuple[int, ...], size: tuple[int, ...]) -> Grid:
        """The part that begins at voxel ``start`` (x, y, z) and has ``size`` voxels."""
        step = np.reshape(self.direction, (3, 3)) @ (np.asarray(self.spacing) * start)
        origin = tuple(float(value) for value in np.asarray(self.origin) + step)
        return replace(self, size=tuple(size), origin=origin)

    def resample(self, image: sitk.Image, interpolator: int, fill: float) -> sitk.Image:
        """``image`` on this grid; ``fill`` outside of it. No work when the grids agree."""
        if self.matches(Grid.from_image(image)):
            return image
        return sitk.Resample(
            image, self.size, sitk.Transform(), interpolator, self.origin, self.spacing, self.direction, fill
        )


def common_grid(reference: sitk.Image) -> Grid:
    """1 mm grid over the reference volume's extent and along its axes, permuted and flipped to near LPS."""
    oriented = Grid.from_image(sitk.DICOMOrient(reference, ORIENTATION))
    extent = np.array(oriented.size) * oriented.spacing
    size = tuple(int(max(1, round(length / SPACING_MM))) for length in extent)
    half_voxel = 0.5 * (SPACING_MM - np.array(oriented.spacing))
    direction = np.reshape(oriented.direction, (3, 3))
    origin = tuple(float(value) for value in np.array(oriented.origin) + direction @ half_voxel)
    grid = Grid(size, (SPACING_MM,) * 3, origin, oriented.direction)
    return oriented if grid.matches(oriented) else grid
