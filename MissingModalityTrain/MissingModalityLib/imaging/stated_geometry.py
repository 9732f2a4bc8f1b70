"""What the header of one format states about geometry, and the rules for numbers and units in it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..core.errors import ImageError

AGREE_MM = 0.5
"""Distance up to which two statements about one voxel agree: half a voxel of the common grid.

Rounded decimals and quaternions in float32 come to less than 0.1 mm over a head.
"""

_MM = {
    "": 1.0,
    "?": 1.0,
    "mm": 1.0,
    "millimeter": 1.0,
    "millimetre": 1.0,
    "cm": 10.0,
    "centimeter": 10.0,
    "centimetre": 10.0,
    "m": 1000.0,
    "meter": 1000.0,
    "metre": 1000.0,
    "um": 1e-3,
    "µm": 1e-3,  # micro sign
    "μm": 1e-3,  # Greek mu
    "âµm": 1e-3,  # the micro sign in UTF-8, for headers are read as Latin-1
    "micron": 1e-3,
    "micrometer": 1e-3,
    "micrometre": 1e-3,
}
"""Millimeters of units as headers name them; a header without unit means millimeters."""


@dataclass(frozen=True)
class StatedGeometry:
    """Geometry as a header states it.

    Attributes:
        matrix: (3, 3), columns are the voxel axes with their spacing (LPS, mm).
        origin: center of the first voxel (LPS, mm), or None where the header does not tell.
        size: voxels along the three axes.
        oriented: the header says which way the patient lies.
        warnings: what the user should know, one sentence each, without the file's name.
    """

    matrix: np.ndarray
    origin: np.ndarray | None
    size: tuple[int, ...]
    oriented: bool = True
    warnings: tuple[str, ...] = ()


def unoriented(how: str) -> str:
    """The warning about a header that does not say which way the patient lies.

    Args:
        how: what the header lacks, as the beginning of a sentence.
    """
    return (
        f"{how}, so its header does not tell left from right. Its axes are taken as right to left, front to "
        "back and bottom to top, as 3D Slicer does; other programs may show the result elsewhere. Check the "
        "sides, or export the volume again with its orientation."
    )


def millimeters(path: Path | str, unit: str) -> float:
    """Length of a unit in mm.

    Raises:
        ImageError: the unit is not known.
    """
    word = unit.strip().strip('"').strip().lower()
    factor = _MM.get(word, _MM.get(word.removesuffix("s")))
    if factor is None:
        raise ImageError(
            f"{path}: its header gives lengths in '{unit.strip()[:40]}', which is no unit that is read. Save "
            "the volume in millimeters."
        )
    return factor


def numbers(path: Path, field: str, words: Iterable[str], count: int | None = None) -> np.ndarray:
    """The numbers of a header's field, NaN where it says so.

    Raises:
        ImageError: words that are no numbers, or not ``count`` of them.
    """
    words = list(words)
    try:
        values = np.array([float(word) for word in words])
    except ValueError:
        values = np.empty(0)
    if not len(values) or (count is not None and len(values) != count):
        amount = "numbers" if count is None else f"{count} numbers"
        raise ImageError(
            f"{path} cannot be read: the field '{field}' of its header is '{' '.join(words)[:60]}', not "
            f"{amount}. Export the volume again."
        )
    return values


def check_spacing(path: Path, field: str, spacing: np.ndarray) -> None:
    """Refuse distances between voxels that are none.

    Args:
        path: for the message.
        field: that states them.
        spacing: along the three axes.

    Raises:
        ImageError: one is zero, negative, NaN or infinite.
    """
    if not (np.isfinite(spacing).all() and (spacing > 0).all()):
        raise ImageError(
            f"{path}: its header states a voxel spacing of {listed(spacing)} mm ({field}); each must be a "
            "positive number. Export the volume again, or write the true spacing into its header."
        )


def check_agreement(
    path: Path, size: tuple[int, ...], first: tuple[str, np.ndarray], second: tuple[str, np.ndarray]
) -> None:
    """Refuse two statements of the spacing that move the last voxel against each other.

    Args:
        path: for the message.
        size: voxels along the three axes.
        first: name of the field and spacing in mm along the three axes.
        second: the same of the other field.

    Raises:
        ImageError: they differ by more than 0.5 mm over the volume.
    """
    if (np.abs(first[1] - second[1]) * size > AGREE_MM).any():
        raise ImageError(
            f"{path}: its header contradicts itself: the voxel spacing is {listed(first[1])} mm by "
            f"{first[0]}, but {listed(second[1])} mm by {second[0]}. Find out which is true and export the "
            "volume again with that one."
        )


def listed(values: np.ndarray) -> str:
    """Numbers for a message: ``3, 3, 4.5``."""
    return ", ".join(f"{value:.5g}" for value in values)
