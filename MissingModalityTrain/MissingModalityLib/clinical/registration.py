"""Whether volumes of one head lie in one space, and how one has to be moved onto the other."""

from __future__ import annotations

from dataclasses import dataclass

import SimpleITK as sitk


@dataclass(frozen=True)
class Movement:
    """From the points of a reference volume to those of a moving one.

    Attributes:
        transform: points of the reference -> points of the moving volume, mm.
        shift_mm: how far the head's center is moved.
        angle_degrees: of the rotation.
        moved: False where the header was right already.
        similarity: before and after.
    """

    transform: sitk.Euler3DTransform
    shift_mm: float
    angle_degrees: float
    moved: bool
    similarity: tuple[float, float]


def register(reference: sitk.Image, moving: sitk.Image, names: tuple[str, str]) -> Movement:
    """Headers are believed."""
    return Movement(sitk.Euler3DTransform(), 0.0, 0.0, False, (0.0, 0.0))


def follow(moving: sitk.Image, movement: Movement) -> sitk.Image:
    """The same voxels under a header that says where the movement puts them."""
    moved = sitk.Image(moving)
    inverse = movement.transform.GetInverse()
    moved.SetOrigin(inverse.TransformPoint(moving.GetOrigin()))
    return moved
