"""Volumes of one patient brought into one space: each rigidly onto the first, where the headers do not do so already.

Only headers change (:func:`follow`): voxels are interpolated once, later, when a study is brought onto its common
grid.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import SimpleITK as sitk

from ..core.errors import ImageError
from ..core.modalities import Modality
from ..core.progress import Event, Progress, ProgressStage, reporter
from ..imaging.reading import Study
from .alignment import FINE, MIDDLE, movement, refine, search
from .heads import Head
from .similarity import similarity

_LEAST_GAIN = 0.02
_LEAST_SIMILARITY = 0.03
_AGREEMENT_MM = 3.0


@dataclass(frozen=True)
class Movement:
    """How one volume lies relative to another.

    Attributes:
        transform: points of the reference's space -> points of the moving volume's space, mm, LPS.
        shift_mm: length of the way that the head's center moves.
        angle_degrees: of the turn.
        moved: False where the header was right already; ``transform`` is the identity then.
        similarity: of the heads as the headers say, and as registered: 0 (none) to 1.
    """

    transform: sitk.Euler3DTransform
    shift_mm: float
    angle_degrees: float
    moved: bool
    similarity: tuple[float, float]


def register(reference: sitk.Image, moving: sitk.Image, names: tuple[str, str]) -> Movement:
    """Find the rigid movement that lays the head of one volume over that of another.

    Args:
        reference: 3-D scalar, skull on or stripped, of any grid that shows part of a head.
        moving: likewise, of the same patient.
        names: of both, for messages.

    Raises:
        ImageError: no head in a volume, heads that do not fit each other, or no certain result.
    """
    heads = _head(reference, names[0]), _head(moving, names[1])
    # samples are drawn from the smaller head: what a stripped brain or a slab lacks is not looked for
    swapped = heads[1].volume_mm3 < 0.9 * heads[0].volume_mm3
    fixed, other = heads[::-1] if swapped else heads
    header = movement(fixed.center)
    found = _found(fixed, other, names)
    before, after = (similarity(fixed, other, transform) for transform in (header, found))
    if after < _LEAST_SIMILARITY:
        raise ImageError(
            f"{names[1]} could not be laid over {names[0]}: the heads do not resemble each other. Check that both are "
            "of the same patient and show the head."
        )
    if after - before < _LEAST_GAIN * after or _tiny(found, fixed, moving):
        return Movement(header, 0.0, 0.0, False, (before, before))
    if swapped:
        found = sitk.Euler3DTransform(found.GetInverse())
    shift = np.linalg.norm(np.array(found.TransformPoint(heads[0].center.tolist())) - heads[0].center)
    return Movement(found, float(shift), _angle(found), True, (before, after))


def follow(moving: sitk.Image, movement: Movement) -> sitk.Image:
    """The same voxels with the header that lays the volume into the reference's space; nothing is resampled."""
    image = sitk.Image(moving)
    if not movement.moved:
        return image
    back = movement.transform.GetInverse()
    turn = np.reshape(sitk.Euler3DTransform(back).GetMatrix(), (3, 3))
    image.SetOrigin(back.TransformPoint(moving.GetOrigin()))
    image.SetDirection((turn @ np.reshape(moving.GetDirection(), (3, 3))).ravel().tolist())
    return image


def register_study(
    study: Study, on_progress: Progress | None = None
) -> tuple[Study, dict[Modality, Movement], tuple[str, ...]]:
    """All volumes of a study onto its first.

    Returns:
        The study with headers that agree, the movement of each volume but the first, and a sentence for each volume
        that was moved.

    Raises:
        ImageError: as of :func:`register`.
    """
    notify = reporter(on_progress)
    images, movements, warnings = dict(study.images), {}, []
    others = [modality for modality in images if modality is not study.reference]
    for number, modality in enumerate(others):
        notify(Event(ProgressStage.REGISTER, number, len(others), modality.title))
        names = study.names[study.reference], study.names[modality]
        found = movements[modality] = register(images[study.reference], images[modality], names)
        images[modality] = follow(images[modality], found)
        if found.moved:
            warnings.append(
                f"{modality.title} was moved by {found.shift_mm:.1f} mm and {found.angle_degrees:.0f} degrees onto "
                f"{study.reference.title}."
            )
    notify(Event(ProgressStage.REGISTER, len(others), len(others)))
    return replace(study, images=images), movements, tuple(warnings)


def _head(volume: sitk.Image, name: str) -> Head:
    head = Head(volume)
    if not len(head.points):
        raise ImageError(f"{name}: no head was found in it. Choose a volume that shows a head.")
    return head


def _found(fixed: Head, moving: Head, names: tuple[str, str]) -> sitk.Euler3DTransform:
    try:
        start = refine(fixed, moving, search(fixed, moving)[0][1], MIDDLE)[1]
        return refine(fixed, moving, start, FINE)[1]
    except RuntimeError as error:  # ITK: all samples lie outside of the other volume
        raise ImageError(
            f"{names[1]} could not be laid over {names[0]}: the heads do not overlap. Check that both show the head."
        ) from error


def _tiny(found: sitk.Euler3DTransform, fixed: Head, moving: sitk.Image) -> bool:
    """Whether the head's points stay within half a voxel of the moving volume, on average along each axis."""
    moves = (
        np.array([found.TransformPoint(point.tolist()) for point in fixed.points[::5]]) - fixed.points[::5]
    )
    along = np.abs(moves @ np.reshape(moving.GetDirection(), (3, 3))).mean(axis=0)
    return bool((along < 0.5 * np.array(moving.GetSpacing())).all())


def _angle(transform: sitk.Euler3DTransform) -> float:
    matrix = np.reshape(transform.GetMatrix(), (3, 3))
    return float(np.degrees(np.arccos(np.clip((np.trace(matrix) - 1) / 2, -1.0, 1.0))))
