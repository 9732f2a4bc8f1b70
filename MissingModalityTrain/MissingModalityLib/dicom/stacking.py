"""Slices, each with its own place, made one volume with even distances; what was mended is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from ..core.errors import ImageError
from ..core.words import counted
from ..imaging.dicom_slices import check_slices
from ..imaging.grid import Grid, nearest_orthonormal
from ..imaging.plausibility import check_grid
from ..imaging.stated_geometry import AGREE_MM
from ..imaging.volumes import MIN_VOXELS
from .planes import Plane
from .slices import can_be_mended

_SAME_PLACE_MM = 0.05
"""Slices nearer than this show the same anatomy; the thinnest of MRI are ten times as far apart."""


@dataclass(frozen=True)
class Stack:
    """Slices of one direction, by depth.

    Attributes:
        pixels: (n, rows, columns).
        depths: (n,) mm along the normal, ascending.
        offsets: (n,) mm sideways of each first pixel from that of the first slice.
        grid: of a volume whose first slice is the first one and that has no gaps.
    """

    pixels: np.ndarray
    depths: np.ndarray
    offsets: np.ndarray
    grid: Grid

    @property
    def steps(self) -> np.ndarray:
        """(n - 1,) mm."""
        return np.diff(self.depths)


def stack_volume(
    name: str, planes: Sequence[Plane], pixels: Sequence[np.ndarray]
) -> tuple[sitk.Image, list[str]]:
    """The volume that slices make up, in the patient's space; its last axis runs along their normal.

    Where the slices lie as a volume claims, voxels are those of the slices. A few missing slices, and
    distances that vary mildly, are mended by linear interpolation.

    Args:
        name: of the series, for messages.
        planes: in any order.
        pixels: (rows, columns) of each, gray values.

    Returns:
        The volume, and a sentence for each thing that was left out or mended.

    Raises:
        ImageError: slices of different size or direction, several images at one place, fewer than 8, many
            missing, or displaced without order.
    """
    _require_one_kind(name, planes)
    check_slices(name, [], [_text(plane.orientation) for plane in planes], 0.0)
    planes, pixels, told = _without_copies(name, *_by_depth(planes, pixels))
    if len(planes) < MIN_VOXELS:
        raise ImageError(
            f"{name} has only {counted(len(planes), 'slice')}; at least {MIN_VOXELS} are "
            "needed. Choose the whole volume, not a localizer."
        )
    stack = _stacked(planes, pixels)
    try:
        check_slices(
            name,
            [_text(plane.position) for plane in planes],
            [_text(plane.orientation) for plane in planes],
            stack.grid.spacing[2],
        )
    except ImageError:
        if not can_be_mended(stack.steps, float(stack.offsets.max())):
            raise
        stack, mended = _mended(name, stack)
        told.append(mended)
    return stack.grid.to_image(stack.pixels), told + check_grid(stack.grid, name)


def _require_one_kind(name: str, planes: Sequence[Plane]) -> None:
    sizes = sorted({plane.shape for plane in planes})
    if len(sizes) > 1:
        listed = " and ".join(f"{columns} x {rows}" for rows, columns in sizes[:2])
        raise ImageError(
            f"{name}: its slices differ in size ({listed} pixels). Import the series again without the "
            "slices that do not belong to it, or choose another series."
        )
    spacings = np.array([plane.spacing for plane in planes])
    if (np.ptp(spacings, axis=0) * sizes[0][::-1] > AGREE_MM).any():
        raise ImageError(
            f"{name}: the pixels of its slices differ in size, from {spacings.min():.4g} to "
            f"{spacings.max():.4g} mm. Import the series again without the slices that do not belong to it, "
            "or choose another series."
        )


def _by_depth(planes: Sequence[Plane], pixels: Sequence[np.ndarray]) -> tuple[list[Plane], list[np.ndarray]]:
    normal = planes[0].axes[:, 2]
    order = np.argsort([np.dot(plane.position, normal) for plane in planes], kind="stable")
    return [planes[index] for index in order], [pixels[index] for index in order]


def _without_copies(
    name: str, planes: list[Plane], pixels: list[np.ndarray]
) -> tuple[list[Plane], list[np.ndarray], list[str]]:
    """Of slices at one place the first; they have to be the same."""
    kept: list[int] = []
    for index, plane in enumerate(planes):
        before = kept[-1] if kept else None
        if before is None or np.linalg.norm(np.subtract(plane.position, planes[before].position)) > (
            _SAME_PLACE_MM
        ):
            kept.append(index)
        elif not np.array_equal(pixels[index], pixels[before]):
            raise ImageError(
                f"{name} holds several different images of the same place, such as echoes, time points or "
                "magnitude and phase. Export the one that you mean as a series of its own, or choose another "
                "series."
            )
    copies = len(planes) - len(kept)
    told = [f"{name}: {_slices(copies)} there twice; the copies were left out."] if copies else []
    return [planes[index] for index in kept], [pixels[index] for index in kept], told


def _stacked(planes: list[Plane], pixels: list[np.ndarray]) -> Stack:
    axes = nearest_orthonormal(planes[0].axes)
    places = (np.array([plane.position for plane in planes]) - planes[0].position) @ axes
    depths = places[:, 2]
    rows, columns = planes[0].shape
    grid = Grid(
        (columns, rows, len(planes)),
        (*planes[0].spacing, float(depths[-1] / (len(planes) - 1))),
        planes[0].position,
        tuple(axes.ravel().tolist()),
    )
    return Stack(np.stack(pixels), depths, np.linalg.norm(places[:, :2], axis=1), grid)


def _mended(name: str, stack: Stack) -> tuple[Stack, str]:
    """The stack with even distances, as many slices as fit where the first and the last one stay."""
    usual = float(np.median(stack.steps))
    even = np.linspace(0.0, stack.depths[-1], round(stack.depths[-1] / usual) + 1)
    missing = len(even) - len(stack.depths)
    if missing > 0:
        told = f"{_slices(missing)} missing and made up from their neighbors. Do not rely on segments there."
    else:
        told = (
            f"its slices are {stack.steps.min():.3g} to {stack.steps.max():.3g} mm apart; they were "
            f"resampled to every {even[1]:.3g} mm."
        )
    return _evened(stack, even), f"{name}: {told}"


def _evened(stack: Stack, even: np.ndarray) -> Stack:
    """Slices at other depths, each interpolated between the two next to it."""
    after = np.clip(np.searchsorted(stack.depths, even), 1, len(stack.depths) - 1)
    # rounded: a slice where one was taken is that very slice
    share = np.round((even - stack.depths[after - 1]) / stack.steps[after - 1], 6)
    pixels = np.empty((len(even), *stack.pixels.shape[1:]), stack.pixels.dtype)
    whole = pixels.dtype.kind in "iu"
    for plane, index, weight in zip(pixels, after, share, strict=True):
        between = (1 - weight) * stack.pixels[index - 1] + weight * stack.pixels[index]
        plane[...] = np.rint(between) if whole else between
    grid = Grid(
        (*stack.grid.size[:2], len(even)),
        (*stack.grid.spacing[:2], float(even[1])),
        stack.grid.origin,
        stack.grid.direction,
    )
    return Stack(pixels, even, np.zeros_like(even), grid)


def _slices(count: int) -> str:
    return f"{count} slice{'s are' if count > 1 else ' is'}"


def _text(numbers: Sequence[float]) -> str:
    return "\\".join(map(repr, map(float, numbers)))
