"""Where a file's header puts its voxels: decided from all that the header states, by one set of rules.

ITK takes one of several statements and is silent about the others. Here every statement is read, in the three
formats alike, and two that contradict each other are an error: nobody can tell which of them is right.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..core.errors import ImageError
from ..core.files import image_suffix
from .grid import Grid, corners, largest_cosine, straight_axes
from .metaimage_geometry import metaimage_facts
from .nifti_geometry import nifti_facts
from .nrrd_geometry import nrrd_facts
from .stated_geometry import StatedGeometry

STRAIGHT_NOISE = 1e-3
"""Cosine between voxel axes up to which a header is taken for rounded, such as decimals in text."""

_SAME_MM = 0.1
"""Distance of corners up to which ITK's reading of a header stands; its float32 has some 0.01 mm of noise."""

_FACTS = {
    ".nii": nifti_facts,
    ".nii.gz": nifti_facts,
    ".mha": metaimage_facts,
    ".mhd": metaimage_facts,
    ".nrrd": nrrd_facts,
    ".nhdr": nrrd_facts,
}

SHEARED = (
    "the axes in its header are not at right angles (sheared volume). Resample it onto a regular grid first, "
    "for instance with Slicer's 'Resample Scalar/Vector/DWI Volume'."
)


@dataclass(frozen=True)
class HeaderGeometry:
    """Where the voxels of a file lie.

    Attributes:
        spacing: mm along the three voxel axes.
        axes: (3, 3), orthonormal; columns are the voxel axes (LPS).
        origin: center of the first voxel (LPS, mm); None where the header does not tell.
        oriented: the header says which way the patient lies.
        warnings: what the user should know about the header, one sentence each.
    """

    spacing: tuple[float, ...]
    axes: np.ndarray
    origin: tuple[float, ...] | None
    oriented: bool
    warnings: tuple[str, ...]

    def place(self, grid: Grid) -> Grid:
        """The grid that a reader made of the header, corrected where it differs from what is stated."""
        origin = grid.origin if self.origin is None else self.origin
        stated = Grid(grid.size, self.spacing, origin, tuple(self.axes.ravel().tolist()))
        if np.abs(corners(stated) - corners(grid)).max() > _SAME_MM:
            return stated
        straight = straight_axes(np.reshape(grid.direction, (3, 3)))
        return stated if straight is None else grid.along(straight)


def file_geometry(path: Path) -> HeaderGeometry:
    """The geometry of a volume's file.

    Args:
        path: a volume's file by its name.

    Raises:
        ImageError: the header is damaged, contradicts itself, states no spacing, one that is not positive and
            finite or a unit of length that is not known, or its axes are sheared.
    """
    stated = _stated(path)
    spacing = np.linalg.norm(stated.matrix, axis=0)
    if not (np.isfinite(stated.matrix).all() and (spacing > 0).all()):
        raise ImageError(
            f"{path}: the voxel axes in its header have the lengths {_listed(spacing)} mm; each must be a "
            "positive number. Export the volume again."
        )
    if stated.origin is not None and not np.isfinite(stated.origin).all():
        raise ImageError(
            f"{path}: the origin in its header is {_listed(stated.origin)}, which is no place. Export the "
            "volume again."
        )
    axes = stated.matrix / spacing
    straight = straight_axes(axes)
    if straight is None:
        raise ImageError(f"{path}: {SHEARED}")
    return HeaderGeometry(
        tuple(spacing.tolist()),
        straight,
        None if stated.origin is None else tuple(np.asarray(stated.origin, float).tolist()),
        stated.oriented,
        tuple(
            f"{path}: {warning}"
            for warning in (*stated.warnings, *_place_warning(stated), *_shear_warning(axes, stated))
        ),
    )


def _stated(path: Path) -> StatedGeometry:
    try:
        return _FACTS[image_suffix(path)](path)
    except (OSError, EOFError, LookupError, ValueError, struct.error, zlib.error) as error:
        raise ImageError(
            f"{path} cannot be read: its header is damaged or cut off ({error}). Copy it again from its "
            "source."
        ) from error


def _place_warning(stated: StatedGeometry) -> list[str]:
    if stated.origin is not None or not stated.oriented:  # the warning about orientation says more
        return []
    return [
        "its header does not tell where the first voxel lies (no origin), which is taken as 0, 0, 0. The "
        "result fits this volume, but other programs may show it beside other volumes of the patient."
    ]


def _shear_warning(axes: np.ndarray, stated: StatedGeometry) -> list[str]:
    cosine = largest_cosine(axes)
    if cosine <= STRAIGHT_NOISE:
        return []
    # each of two axes is turned by half of the angle
    shift = 0.5 * cosine * float(np.max(np.linalg.norm(stated.matrix, axis=0) * stated.size))
    return [
        f"the axes in its header are {np.degrees(np.arcsin(cosine)):.2f} degrees off a right angle; they are "
        f"straightened, which moves voxels by up to {shift:.1f} mm. Resample the volume onto a regular grid "
        "for an exact result."
    ]


def _listed(numbers: np.ndarray | tuple[float, ...]) -> str:
    return ", ".join(f"{number:.6g}" for number in numbers)
