"""Geometry in MetaImage headers: spacing, matrix, origin, anatomical orientation and unit of length.

Source of the fields: the MetaIO documentation of Kitware.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ..core.errors import ImageError
from .metaimage_file import metaimage_fields
from .stated_geometry import (
    StatedGeometry,
    check_spacing,
    listed,
    millimeters,
    numbers,
    unoriented,
)

_MATRIX = ("TransformMatrix", "Rotation", "Orientation")
_ORIGIN = ("Offset", "Position", "Origin")
_SPACING = ("ElementSpacing", "ElementSize")
"""Fields that mean the same, as MetaIO reads them; ElementSize counts where there is no spacing."""

_UNIT_NOISE = 1e-3
"""Share by which a column of the matrix may miss the length 1: rounded decimals."""

_LETTERS = {"R": (0, 1), "L": (0, -1), "A": (1, 1), "P": (1, -1), "I": (2, 1), "S": (2, -1)}
"""Where an axis comes from -> patient axis (LPS) and sign of its direction."""

_FITTING = 0.5
"""Share of an axis' largest component that the stated direction has to reach; of oblique axes two do."""


def metaimage_facts(path: Path) -> StatedGeometry:
    """The geometry that a MetaImage file states.

    Raises:
        ImageError: no spacing, one that is not positive, a matrix whose columns are not of length 1, an
            orientation without the matrix that belongs to it, or one field twice with two values.
    """
    fields = metaimage_fields(path)
    axes = len(fields["DimSize"].split())
    size = tuple(int(word) for word in fields["DimSize"].split()[:3])
    unit = millimeters(path, fields.get("DistanceUnits", ""))
    spacing = _spacing(path, fields, axes) * unit
    check_spacing(path, "ElementSpacing", spacing)  # of a fourth axis too, without which MetaIO reads nothing
    spacing = spacing[:3]
    matrix, origin = _one_of(path, fields, _MATRIX, axes * axes), _one_of(path, fields, _ORIGIN, axes)
    place = None if origin is None else origin[:3] * unit
    stated = fields.get("AnatomicalOrientation", "").upper()
    if matrix is None:
        return _without_matrix(path, stated, spacing, place, size)
    directions = matrix.reshape(axes, axes).T[:3, :3]
    lengths = np.linalg.norm(directions, axis=0)
    if not (np.abs(lengths - 1) <= _UNIT_NOISE).all():
        raise ImageError(
            f"{path}: its header contradicts itself: the axes of TransformMatrix have the lengths "
            f"{listed(lengths)}, but directions have the length 1, and the voxel spacing is "
            f"{listed(spacing)} mm by ElementSpacing. Find out the true spacing and export the volume again."
        )
    warnings = [] if _fits(stated, directions) else [_contradiction(stated, directions)]
    warnings += _size_warning(path, fields, axes, spacing / unit)
    return StatedGeometry(directions / lengths * spacing, place, size, True, tuple(warnings))


def _spacing(path: Path, fields: Mapping[str, str], axes: int) -> np.ndarray:
    for key in _SPACING:
        if key in fields:
            return numbers(path, key, fields[key].split(), axes)
    raise ImageError(
        f"{path}: its header states no voxel spacing (ElementSpacing), so nothing can be measured. "
        "Export the volume again, or write the spacing into the header."
    )


def _size_warning(path: Path, fields: Mapping[str, str], axes: int, spacing: np.ndarray) -> list[str]:
    """Slices may be thinner than their distance; but in them, voxels have the size of their distance."""
    if "ElementSize" not in fields:
        return []
    sizes = numbers(path, "ElementSize", fields["ElementSize"].split(), axes)[:3]
    if (np.abs(sizes - spacing)[:2] <= _UNIT_NOISE * spacing[:2]).all():
        return []
    return [
        f"its header contradicts itself: ElementSize is {listed(sizes)}, but ElementSpacing is "
        f"{listed(spacing)}, which is followed. Check that it is right."
    ]


def _one_of(path: Path, fields: Mapping[str, str], keys: tuple[str, ...], count: int) -> np.ndarray | None:
    """The field under whichever of its names; None where it is absent."""
    found = {key: numbers(path, key, fields[key].split(), count) for key in keys if key in fields}
    for key, values in found.items():
        first = next(iter(found))
        if not np.array_equal(values, found[first]):
            raise ImageError(
                f"{path}: its header contradicts itself: {first} is {fields[first]}, but {key}, which means "
                f"the same, is {fields[key]}. Export the volume again."
            )
    return next(iter(found.values()), None)


def _without_matrix(
    path: Path, stated: str, spacing: np.ndarray, origin: np.ndarray | None, size: tuple[int, ...]
) -> StatedGeometry:
    """Readers take the axes as right to left, front to back, bottom to top; that is RAI."""
    if stated[:3] == "RAI":
        return StatedGeometry(np.diag(spacing), origin, size)
    if _known(stated):
        raise ImageError(
            f"{path}: its header states AnatomicalOrientation {stated}, but has no TransformMatrix, without "
            "which readers take the axes as RAI. Export the volume again with both."
        )
    return StatedGeometry(np.diag(spacing), origin, size, False, (unoriented("it has no TransformMatrix"),))


def _known(stated: str) -> bool:
    """Whether three letters name the three axes of the patient."""
    return len(stated) >= 3 and len({_LETTERS.get(letter, (None,))[0] for letter in stated[:3]} - {None}) == 3


def _fits(stated: str, directions: np.ndarray) -> bool:
    """Whether letters, where they are known, say of each axis what its direction says."""
    if not _known(stated):
        return True
    places = [_LETTERS[letter] for letter in stated[:3]]
    return all(
        sign * directions[row, axis] > _FITTING * np.abs(directions[:, axis]).max()
        for axis, (row, sign) in enumerate(places)
    )


def _contradiction(stated: str, directions: np.ndarray) -> str:
    letters = {place: letter for letter, place in _LETTERS.items()}
    rows = np.abs(directions).argmax(axis=0)
    found = "".join(letters[int(row), int(np.sign(directions[row, axis]))] for axis, row in enumerate(rows))
    return (
        f"its header contradicts itself: AnatomicalOrientation is {stated}, but TransformMatrix is {found}. "
        "The matrix is followed, as 3D Slicer does. Check left and right."
    )
