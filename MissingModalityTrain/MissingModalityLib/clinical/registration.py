"""Volumes of one patient brought into one space: each rigidly onto the first, where headers do not do so.

Only headers change (:func:`follow`): voxels are interpolated once, later, on the way to the common grid.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import SimpleITK as sitk

from ..core.errors import ImageError
from ..core.modalities import Modality
from ..core.progress import Event, Progress, ProgressStage, reporter
from ..imaging.reading import Study
from ..runtime.side_by_side import side_by_side
from .alignment import align, align_again, rigid
from .heads import Head
from .mirrored import is_mirrored, mirror_sentence
from .similarity import overlap, shared_edges, similarity

_SMALLER = 0.9
"""Ratio of two heads' volumes below which the moving one is the smaller."""

_LEAST_GAIN = 0.12
"""Of similarity, as a share of the registered one, from which on a header is not believed.

Training cases, which others have registered, gain up to 0.10 by the search.
"""

_LEAST_MOVE_VOXELS = 0.5

_LEAST_OVERLAP = 0.3
"""Brains that share less are refused later, too."""

_AGREEMENT_MM, _AGREEMENT_DEGREES = 3.0, 3.0
"""Between two searches that started in different places."""

_UNLIKE, _DOUBTFUL = 0.03, 0.05
"""Of shared edges, measured on training cases. Of 44 pairs of two patients 42 lie below the first, the others
below the second (0.033, 0.044); of 49 pairs of one patient one lies between them (0.042), and one below: its
T2 fits none of the patient's other volumes.
"""

_EVERY_POINT = 5
"""One of so many points, 8 mm apart, suffices for the average way of a head."""


@dataclass(frozen=True)
class Movement:
    """How one volume lies relative to another.

    Attributes:
        transform: points of the reference's space -> points of the moving volume's space, mm, LPS.
        shift_mm: how far the head's center is moved.
        angle_degrees: of the turn.
        moved: False where the header was right already; ``transform`` is the identity then.
        similarity: of the heads as the headers lay them, and as the search does: 0 (none) to 1.
        doubt: what the user should look at, a sentence; empty where all is well.
    """

    transform: sitk.Euler3DTransform
    shift_mm: float
    angle_degrees: float
    moved: bool
    similarity: tuple[float, float]
    doubt: str = ""


def register(reference: sitk.Image, moving: sitk.Image, names: tuple[str, str]) -> Movement:
    """Find the rigid movement that lays the head of one volume over that of another.

    Args:
        reference: 3-D scalar, skull on or stripped, on any grid, of a part of a head at least.
        moving: likewise, of the same patient.
        names: of both, for messages.

    Raises:
        ImageError: no head in a volume, heads that do not fit each other, or no certain result.
    """
    return _register(_head(reference, names[0]), _head(moving, names[1]), moving, names)


def follow(moving: sitk.Image, movement: Movement) -> sitk.Image:
    """The same voxels under the header that lays them into the reference's space; nothing is resampled."""
    image = sitk.Image(moving)
    if not movement.moved:
        return image
    back = sitk.Euler3DTransform(movement.transform.GetInverse())
    axes = _turn(back) @ np.reshape(moving.GetDirection(), (3, 3))
    image.SetOrigin(back.TransformPoint(moving.GetOrigin()))
    image.SetDirection(axes.ravel().tolist())
    return image


def register_study(
    study: Study, on_progress: Progress | None = None
) -> tuple[Study, dict[Modality, Movement], tuple[str, ...]]:
    """All volumes of a study onto its first, each by itself, on as many cores as there are.

    Args:
        study: of one to four volumes.
        on_progress: called with the stage ``register``, for each volume that is begun.

    Returns:
        The study with headers that agree; the movement of each volume but the first; a sentence for each
        volume that was moved, and one for each doubt.

    Raises:
        ImageError: as of :func:`register`.
    """
    notify, first = reporter(on_progress), study.reference
    others = [modality for modality in study.images if modality is not first]
    images, movements, told = dict(study.images), {}, []
    head = _head(images[first], study.names[first]) if others else None

    def registered(modality: Modality) -> Movement:
        names = study.names[first], study.names[modality]
        return _register(head, _head(study.images[modality], names[1]), study.images[modality], names)

    results = side_by_side(registered, others)
    for number, modality in enumerate(others):
        notify(Event(ProgressStage.REGISTER, number, len(others), study.names[modality]))
        movements[modality] = found = next(results)
        if found.moved:
            images[modality] = follow(images[modality], found)
        told += [sentence for sentence in (_told(found, modality, first), found.doubt) if sentence]
    notify(Event(ProgressStage.REGISTER, len(others), len(others)))
    return replace(study, images=images), movements, tuple(told)


def _told(found: Movement, modality: Modality, onto: Modality) -> str:
    if not found.moved:
        return ""
    degrees = f"{found.angle_degrees:.0f} degree" + ("" if round(found.angle_degrees) == 1 else "s")
    return f"{modality.title} was moved by {found.shift_mm:.1f} mm and {degrees} onto {onto.title}."


def _register(reference: Head, other: Head, moving: sitk.Image, names: tuple[str, str]) -> Movement:
    # samples come from the smaller head: what a stripped brain or a slab lacks cannot be found in it
    swapped = other.volume_mm3 < _SMALLER * reference.volume_mm3
    heads = (other, reference) if swapped else (reference, other)
    try:
        found = align(*heads)
    except RuntimeError as error:  # ITK's word for samples that all lie outside of the other volume
        raise ImageError(f"{_failed(names)}: the heads do not overlap. {_LOOK}") from error
    header = rigid(heads[0].center)
    before, after = (similarity(*heads, transform) for transform in (header, found))
    if after - before < _LEAST_GAIN * after or _is_small(found, heads[0], moving):
        doubt = _check(heads, header, names, moved=False)
        return Movement(header, 0.0, 0.0, False, (before, after), doubt)
    doubt = _check(heads, found, names, moved=True)
    _check_agreement(heads, found, names)
    found = sitk.Euler3DTransform(found.GetInverse()) if swapped else found
    shift = np.subtract(found.TransformPoint(reference.center.tolist()), reference.center)
    return Movement(found, float(np.linalg.norm(shift)), _degrees(_turn(found)), True, (before, after), doubt)


def _head(volume: sitk.Image, name: str) -> Head:
    head = Head(volume)
    if not len(head.points):
        raise ImageError(f"{name}: no head was found in it. Choose a volume that shows a head.")
    return head


_LOOK = "Check that both show the head, and that they are of the same patient."


def _failed(names: tuple[str, str]) -> str:
    return f"{names[1]} could not be laid over {names[0]}"


def _check(
    heads: tuple[Head, Head], found: sitk.Euler3DTransform, names: tuple[str, str], moved: bool
) -> str:
    """A sentence where two heads may be of different patients.

    Raises:
        ImageError: they hardly meet, or do not fit each other where one was moved. Where none was moved, poor
            images of one patient lie as they did, so that a word suffices.
    """
    share = overlap(*heads, found)
    if share < _LEAST_OVERLAP:
        raise ImageError(f"{_failed(names)}: they share {share:.0%} of the smaller head. {_LOOK}")
    edge = shared_edges(*heads, found)
    if moved and edge < _UNLIKE:
        if is_mirrored(*heads, found):
            raise ImageError(f"{_failed(names)}. {mirror_sentence(names[1], names[0])}")
        raise ImageError(
            f"{_failed(names)}: they do not resemble each other wherever one is laid. {_LOOK} If they are, "
            "register them by hand or leave registration out."
        )
    if edge < (_DOUBTFUL if moved else _UNLIKE):
        return f"{names[1]} resembles {names[0]} little. {_LOOK}"
    return ""


def _check_agreement(heads: tuple[Head, Head], found: sitk.Euler3DTransform, names: tuple[str, str]) -> None:
    """Raises ImageError where a search that starts elsewhere ends elsewhere."""
    again, center = align_again(*heads, found), heads[0].center.tolist()
    apart = np.linalg.norm(np.subtract(found.TransformPoint(center), again.TransformPoint(center)))
    degrees = _degrees(_turn(again) @ _turn(found).T)
    if apart > _AGREEMENT_MM or degrees > _AGREEMENT_DEGREES:
        raise ImageError(
            f"{_failed(names)}: two searches ended {apart:.0f} mm and {degrees:.0f} degrees apart. "
            f"{_LOOK} Register them by hand, or leave one out."
        )


def _is_small(found: sitk.Euler3DTransform, fixed: Head, moving: sitk.Image) -> bool:
    """Whether points of the head move by less than half a voxel along each of its axes, on average."""
    points = fixed.points[::_EVERY_POINT]
    moves = np.array([found.TransformPoint(point.tolist()) for point in points]) - points
    along = np.abs(moves @ np.reshape(moving.GetDirection(), (3, 3))).mean(axis=0)
    return bool((along < _LEAST_MOVE_VOXELS * np.array(moving.GetSpacing())).all())


def _turn(transform: sitk.Euler3DTransform) -> np.ndarray:
    return np.reshape(transform.GetMatrix(), (3, 3))


def _degrees(turn: np.ndarray) -> float:
    """Angle of a rotation matrix (3, 3) about its own axis."""
    return float(np.degrees(np.arccos(np.clip((np.trace(turn) - 1) / 2, -1.0, 1.0))))
