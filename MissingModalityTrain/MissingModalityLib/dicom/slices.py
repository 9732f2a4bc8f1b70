"""Where the slices of a volume lie: plane, distance, and whether some are missing or displaced.

Source of the attributes: DICOM PS3.3 C.7.6.2, Image Position (Patient), Image Orientation (Patient), Pixel
Spacing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..imaging.plausibility import LARGEST_SPACING_MM
from ..imaging.stated_geometry import AGREE_MM
from .headers import Frame
from .splitting import cosines, position

_PLANES = ("sagittal", "coronal", "axial")
"""By the axis of the patient (left, posterior, superior) that is nearest to the slice normal."""

_LEAST_COSINE = 0.7071
"""Of a normal with its axis, 45 degrees: scans along both commissures tilt by 20, and are called axial."""

_OFF_STEP, _FEW = 0.25, 0.1
"""Share of the usual distance by which one may vary, and share of the distances that may vary more."""

_LONGEST_GAP = 3
"""Usual distances: at most two slices in a row are made up from their neighbors."""


@dataclass(frozen=True)
class Placement:
    """The grid of a volume.

    Attributes:
        spacing: mm along a row, along a column, from slice to slice (the usual step).
        plane: axial, coronal, sagittal or oblique.
        gap: missing, uneven or displaced slices, one sentence; None where all is even.
        mendable: whether slices between their neighbors mend the gap.
    """

    spacing: tuple[float, float, float]
    plane: str
    gap: str | None = None
    mendable: bool = True


def placement(frames: Sequence[Frame]) -> Placement | None:
    """The grid of images in the order of their slices; None where they do not state where they lie."""
    axes, between = cosines(frames[0]), frames[0].numbers("PixelSpacing")
    places = [position(frame) for frame in frames]
    if axes is None or None in places or len(between) != 2 or min(between) <= 0:
        return None
    normal = np.cross(axes[:3], axes[3:])
    moves = np.diff(np.array(places), axis=0)
    steps = moves @ normal
    step = float(np.median(steps)) if len(steps) else frames[0].number("SliceThickness") or 0.0
    if step <= 0:
        return None
    sideways = np.linalg.norm(np.cumsum(moves - np.outer(steps, normal), axis=0), axis=1).max(initial=0.0)
    gap = _gap(steps, step) or _tilt(float(sideways))
    mendable = gap is None or can_be_mended(steps, float(sideways))
    return Placement((between[1], between[0], round(step, 4)), plane_of(normal), gap, mendable)


def can_be_mended(steps: np.ndarray, sideways: float) -> bool:
    """Whether a few slices are missing or distances vary mildly, and nothing else is wrong.

    Args:
        steps: (n - 1,) mm from slice to slice.
        sideways: mm by which slices are displaced at most, at right angles to their normal.
    """
    usual = np.median(steps)
    off = np.abs(steps - usual) > _OFF_STEP * usual
    longest = min(_LONGEST_GAP * (1 + _OFF_STEP) * usual, LARGEST_SPACING_MM)
    if off.sum() > max(1, _FEW * len(off)) or steps.max() > longest:
        return False
    return sideways <= AGREE_MM


def plane_of(normal: np.ndarray) -> str:
    """The plane of slices with this normal, a unit vector in LPS."""
    axis = int(np.abs(normal).argmax())
    return _PLANES[axis] if abs(normal[axis]) >= _LEAST_COSINE else "oblique"


def _gap(steps: np.ndarray, step: float) -> str | None:
    drift = np.abs(np.cumsum(steps - step))
    if not len(steps) or drift.max() <= AGREE_MM:
        return None
    worst = int(np.abs(steps - step).argmax())
    missing = steps / step - 1
    count = int(missing.round().sum())
    if (
        count
        and (missing > -AGREE_MM / step).all()
        and np.abs(missing - missing.round()).max() * step <= AGREE_MM
    ):
        return (
            f"{count} slice{'s are' if count > 1 else ' is'} missing, at first "
            f"after slice {int((missing.round() > 0).argmax()) + 1} of {len(steps) + 1}."
        )
    return (
        f"Its slices are unevenly spaced, mostly {step:.4g} mm, but {steps[worst]:.4g} mm between slices "
        f"{worst + 1} and {worst + 2}."
    )


def _tilt(most: float) -> str | None:
    if most <= AGREE_MM:
        return None
    return f"Its slices are displaced sideways by up to {most:.1f} mm, as by a tilted scanner."
