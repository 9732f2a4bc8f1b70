"""Where the voxels of a volume lie: its grid, the common grid of a study, and the way from one to another."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:  # where images are made it is imported; a training from prepared cases makes none
    import SimpleITK as sitk

SPACING_MM = 1.0
ORIENTATION = "LPS"
"""The common grid of every study has the voxels of the BraTS data sets: 1 mm, axes in LPS order."""

RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0])
"""From the axes of NIfTI and 3D Slicer to those of ITK and DICOM, and back."""

SHEAR_TOLERANCE = 0.02
"""Largest cosine between two voxel axes that are taken for straight: 1.1 degrees off the right angle.

Straightening turns either axis by half of that, which moves the far end of a head (240 mm) by 2.4 mm. More
would move the anatomy visibly; the voxels have to be resampled instead.
"""

_STRAIGHT = 1e-4
"""Axes this near to right angles stay as they are; ITK draws the same line when it reads NIfTI files."""

_GEOMETRY_TOLERANCE = 1e-3
"""Share of a voxel by which headers of one grid may differ: rounded decimals, float32 against float64."""


@dataclass(frozen=True)
class Grid:
    """Geometry of a volume in ITK's terms (x, y, z; LPS; mm)."""

    size: tuple[int, ...]
    spacing: tuple[float, ...]
    origin: tuple[float, ...]
    direction: tuple[float, ...]

    @classmethod
    def from_image(cls, image: sitk.Image) -> Grid:
        """Where the voxels of an image lie."""
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
        import SimpleITK as sitk

        image = sitk.GetImageFromArray(array)
        image.SetSpacing(self.spacing)
        image.SetOrigin(self.origin)
        image.SetDirection(self.direction)
        return image

    def along(self, axes: np.ndarray) -> Grid:
        """The same with these voxel axes, unit columns (3, 3)."""
        return replace(self, direction=tuple(axes.ravel().tolist()))

    def crop(self, start: tuple[int, ...], size: tuple[int, ...]) -> Grid:
        """The part that begins at voxel ``start`` (x, y, z) and has ``size`` voxels."""
        step = np.reshape(self.direction, (3, 3)) @ (np.asarray(self.spacing) * start)
        origin = tuple(float(value) for value in np.asarray(self.origin) + step)
        return replace(self, size=tuple(size), origin=origin)

    def points(self, voxels: np.ndarray) -> np.ndarray:
        """(n, 3) voxels (x, y, z) -> their centers, LPS, mm."""
        return (voxels * self.spacing) @ np.reshape(self.direction, (3, 3)).T + self.origin

    def covers(self, points: np.ndarray) -> np.ndarray:
        """(n,) bool: whether points (n, 3), LPS, mm, lie in a voxel."""
        voxels = (points - self.origin) @ np.reshape(self.direction, (3, 3)) / self.spacing
        return ((voxels >= -0.5) & (voxels < np.array(self.size) - 0.5)).all(axis=1)

    def resample(self, image: sitk.Image, interpolator: int, fill: float) -> sitk.Image:
        """``image`` on this grid; ``fill`` outside of it. No work when the grids agree."""
        import SimpleITK as sitk

        if self.matches(Grid.from_image(image)):
            return image
        return sitk.Resample(
            image, self.size, sitk.Transform(), interpolator, self.origin, self.spacing, self.direction, fill
        )


def corners(grid: Grid) -> np.ndarray:
    """(8, 3) centers of the outermost voxels, LPS, mm."""
    return grid.points(np.array(list(np.ndindex(2, 2, 2))) * (np.array(grid.size) - 1))


def is_straight(axes: np.ndarray) -> bool:
    """Whether voxel axes, unit columns (3, 3), are at right angles up to the noise of headers."""
    return largest_cosine(axes) < _STRAIGHT


def straight_axes(axes: np.ndarray) -> np.ndarray | None:
    """Voxel axes at right angles, by one rule for files and nodes.

    Args:
        axes: (3, 3), unit columns.

    Returns:
        The axes themselves where they are straight, else the nearest orthonormal ones; None where they are
        sheared.
    """
    if is_straight(axes):
        return axes
    return nearest_orthonormal(axes) if largest_cosine(axes) < SHEAR_TOLERANCE else None


def nearest_orthonormal(matrix: np.ndarray) -> np.ndarray:
    """The orthonormal matrix nearest to a (3, 3) one (polar decomposition; Higham, SIAM J. SSC 7, 1986)."""
    left, _, right = np.linalg.svd(matrix)
    return left @ right


def largest_cosine(axes: np.ndarray) -> float:
    """Between any two of the unit columns (3, 3): 0 where all are at right angles."""
    return float(np.abs(axes.T @ axes - np.eye(3)).max())


def common_grid(reference: sitk.Image) -> Grid:
    """1 mm grid over the reference volume's extent and along its axes, permuted and flipped to near LPS."""
    import SimpleITK as sitk

    oriented = Grid.from_image(sitk.DICOMOrient(reference, ORIENTATION))
    extent = np.array(oriented.size) * oriented.spacing
    size = tuple(int(max(1, round(length / SPACING_MM))) for length in extent)
    # the outer borders stay in place, so the center of the first voxel moves
    half_voxel = 0.5 * (SPACING_MM - np.array(oriented.spacing))
    direction = np.reshape(oriented.direction, (3, 3))
    origin = tuple(float(value) for value in np.array(oriented.origin) + direction @ half_voxel)
    grid = Grid(size, (SPACING_MM,) * 3, origin, oriented.direction)
    return oriented if grid.matches(oriented) else grid
