"""Where the slices of a volume lie: plane, distance, missing ones, tilt.

Source of the attributes: DICOM PS3.3 C.7.6.2, Image Position (Patient), Image Orientation (Patient), Pixel
Spacing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..core.errors import ImageError
from ..imaging.dicom_slices import check_slices
from ..imaging.stated_geometry import AGREE_MM
from .headers import Frame
from .splitting import cosines, position

_PLANES = ("sagittal", "coronal", "axial")
"""By the axis of the patient (left, posterior, superior) that is nearest to the slice normal."""

_LEAST_COSINE = 0.7071
"""Of a normal with its axis, 45 degrees: scans along both commissures tilt by 20, and are called axial."""


@dataclass(frozen=True)
class Placement:
    """The grid of a volume.

    Attributes:
        spacing: mm along a row, along a column, from slice to slice (the usual step).
        plane: axial, coronal, sagittal or oblique.
        gap: missing or uneven slices, one sentence; None where all is even.
        problem: why the slices make no volume, as the rest of a sentence; None where they do.
    """

    spacing: tuple[float, float, float]
    plane: str
    gap: str | None = None
    problem: str | None = None


def placement(frames: Sequence[Frame]) -> Placement | None:
    """The grid of images in the order of their slices; None where they do not state where they lie."""
    axes, between = cosines(frames[0]), frames[0].numbers("PixelSpacing")
    places = [position(frame) for frame in frames]
    if axes is None or None in places or len(between) != 2 or min(between) <= 0:
        return None
    normal = np.cross(axes[:3], axes[3:])
    steps = np.diff(np.array(places) @ normal)
    step = float(np.median(steps)) if len(steps) else frames[0].number("SliceThickness") or 0.0
    if step <= 0:
        return None
    gap = _gap(steps, step)
    return Placement(
        (between[1], between[0], round(step, 4)), _plane(normal), gap, _problem(frames, places, step, gap)
    )


def _plane(normal: np.ndarray) -> str:
    axis = int(np.abs(normal).argmax())
    return _PLANES[axis] if abs(normal[axis]) >= _LEAST_COSINE else "oblique"


def _gap(steps: np.ndarray, step: float) -> str | None:
    drift = np.abs(np.cumsum(steps - step))
    if not len(steps) or drift.max() <= AGREE_MM:
        return None
    worst = int(np.abs(steps - step).argmax())
    missing = steps / step - 1
    if (missing > -AGREE_MM / step).all() and np.abs(missing - missing.round()).max() * step <= AGREE_MM:
        count = int(missing.round().sum())
        return (
            f"{count} slice{'s are' if count > 1 else ' is'} missing, at first "
            f"after slice {int((missing.round() > 0).argmax()) + 1} of {len(steps) + 1}."
        )
    return (
        f"Its slices are unevenly spaced, mostly {step:.4g} mm, but {steps[worst]:.4g} mm between slices "
        f"{worst + 1} and {worst + 2}."
    )


def _problem(frames: Sequence[Frame], places: Sequence, step: float, gap: str | None) -> str | None:
    """What :func:`check_slices` finds beside gaps: slices displaced sideways, or axes at no right angles."""
    # with gaps, the outermost slices alone still show whether all are displaced
    ends = [0, -1] if gap else range(len(frames))
    depth = float(np.linalg.norm(np.subtract(places[-1], places[0])))
    try:
        check_slices(
            "the series",
            ["\\".join(map(str, places[end])) for end in ends],
            [frames[end].text("ImageOrientationPatient") for end in ends],
            depth if gap else step,
        )
    except ImageError as error:
        return str(error).removeprefix("the series: ")
    return None
