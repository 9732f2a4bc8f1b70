"""Whether the slices of a DICOM series lie as a volume made of them claims: one direction, even distances.

Source of the attributes: DICOM PS3.3 C.7.6.2, Image Position (Patient), Image Orientation (Patient).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..core.errors import ImageError
from .stated_geometry import AGREE_MM

_NOISE = 1e-3
"""By which direction cosines may differ: rounded decimals."""

_REPAIR = "Import the series again without the slices that do not belong to it, or choose another series."


def check_slices(name: str, positions: Sequence[str], orientations: Sequence[str], spacing_mm: float) -> None:
    """Hold what each slice says of its place against one volume with evenly spaced slices.

    Args:
        name: of the volume, for messages.
        positions: Image Position (Patient) of each slice, ``x\\y\\z``; empty ones are not looked at.
        orientations: Image Orientation (Patient) of each slice, six direction cosines.
        spacing_mm: between slices of the volume.

    Raises:
        ImageError: slices in different directions, twice at one place, missing, unevenly spaced, displaced
            sideways, or at another distance than the volume has.
    """
    places, axes = _numbers(positions, 3), _numbers(orientations, 6)
    if not len(axes):
        return
    if np.abs(axes - axes[0]).max() > _NOISE:
        raise ImageError(f"{name}: its DICOM slices lie in different directions. {_REPAIR}")
    row, column = axes[0, :3], axes[0, 3:]
    normal = np.cross(row, column)
    if abs(np.linalg.norm(normal) - 1) > _NOISE or abs(row @ column) > _NOISE:
        raise ImageError(f"{name}: the directions in its DICOM slices are not at right angles. {_REPAIR}")
    if len(places) < 2:
        return
    depths = places @ normal
    order = np.argsort(depths)
    _check_distances(name, np.diff(depths[order]), spacing_mm)
    sideways = (places - places[0]) - np.outer(depths - depths[0], normal)
    if np.linalg.norm(sideways, axis=1).max() > AGREE_MM:
        raise ImageError(
            f"{name}: its DICOM slices are displaced sideways by up to "
            f"{np.linalg.norm(sideways, axis=1).max():.1f} mm (tilted scanner). Resample it onto a regular "
            "grid first, for instance with Slicer's 'Resample Scalar/Vector/DWI Volume'."
        )


def _check_distances(name: str, steps: np.ndarray, spacing_mm: float) -> None:
    middle = float(np.median(steps))
    # the place of the last slice is what counts; single steps may be rounded
    uneven = np.abs(np.concatenate([[0.0], np.cumsum(steps - middle)]))
    if uneven.max() > AGREE_MM or steps.min() <= 0:
        worst = int(np.abs(steps - middle).argmax())
        raise ImageError(
            f"{name}: its DICOM slices are unevenly spaced, mostly {middle:.4g} mm, but {steps[worst]:.4g} "
            f"mm between slices {worst + 1} and {worst + 2}. Slices are missing or doubled. {_REPAIR}"
        )
    if abs(middle - spacing_mm) * len(steps) > AGREE_MM:
        raise ImageError(
            f"{name}: its DICOM slices are {middle:.4g} mm apart, but the volume has {spacing_mm:.4g} mm. "
            "Correct the spacing in the Volumes module, or import the series again."
        )


def _numbers(texts: Sequence[str], count: int) -> np.ndarray:
    """(n, count) of those attributes that are there and whole."""
    rows = []
    for text in texts:
        try:
            row = [float(word) for word in text.split("\\")]
        except ValueError:
            continue
        if len(row) == count and np.isfinite(row).all():
            rows.append(row)
    return np.array(rows).reshape(-1, count)
