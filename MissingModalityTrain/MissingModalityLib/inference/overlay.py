"""Pictures for people: a tumor segmentation drawn over the volumes that it was made from."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ..core.files import atomic_write
from ..core.labels import CAVITY_REGION, class_volumes, region_mask
from ..core.segments import disjoint_segments, segment_of
from ..imaging.boxes import tightest_box
from ..imaging.drawing import OUTSIDE, draw_outline, draw_scale, draw_segments, legend_entries, write_letters
from ..imaging.grid import ORIENTATION, Grid
from ..imaging.reading import Study

_PANEL_INCHES = 3.4
_HEAD_INCHES = 0.85
_FOOT_INCHES = 0.85
_LINE_INCHES, _LETTERS_PER_INCH = 0.16, 16
"""Of the notes at the bottom, whose letters are 8 points high."""

_MARGIN_MM = 8.0
"""Of air around the head, so that no outline runs along the edge of the picture."""

_HEAD_SHARE = 0.02
"""Of the range of intensities: a voxel of the head differs by more from the corner, noise of air by less."""

_AIR_SHARE, _WHITE_PERCENTILE = 0.01, 99.5
"""Air has no part in the gray scale, and the few voxels above the percentile turn white."""

_NOTE = "Radiological view: the patient's left is on the right. Research use only, not a medical device."


@dataclass(frozen=True)
class _Plane:
    """One viewing direction of arrays (z, y, x) in LPS: axis across it and the letters at its four edges."""

    name: str
    axis: int
    left: str
    right: str
    top: str
    bottom: str
    upside_down: bool
    """Whether the first row of a slice is the lowest one (z grows upwards)."""

    def cut(self, volume: np.ndarray, index: int) -> np.ndarray:
        """The slice as it is looked at: first row on top, first column on the left."""
        rows = np.take(volume, index, self.axis)
        return rows[::-1] if self.upside_down else rows


_PLANES = (
    _Plane("Axial", 0, "R", "L", "A", "P", upside_down=False),
    _Plane("Sagittal", 2, "A", "P", "S", "I", upside_down=True),
    _Plane("Coronal", 1, "R", "L", "S", "I", upside_down=True),
)


def draw_overlay(
    path: Path,
    study: Study,
    classes: sitk.Image,
    title: str,
    subtitle: str = "",
    label: sitk.Image | None = None,
    notes: Sequence[str] = (),
) -> None:
    """Write a PNG: one row per volume, axial, sagittal and coronal slices through the middle of the tumor.

    Args:
        path: the picture; an existing one is replaced when the new one is whole.
        study: the volumes, in the order of the rows.
        classes: segmentation, uint8 classes 0..3, on the grid of the first volume.
        title: first line, large.
        subtitle: second line.
        label: reference classes on any grid; its whole tumor is drawn as a white line.
        notes: what the result is worth and what the user should know, each from a new line at the bottom.
    """
    oriented = sitk.DICOMOrient(classes, ORIENTATION)
    grid, array = Grid.from_image(oriented), sitk.GetArrayFromImage(oriented)
    volumes = [_on_grid(image, grid, sitk.sitkLinear) for image in study.images.values()]
    reference = None if label is None else region_mask(_on_grid(label, grid, sitk.sitkNearestNeighbor), "WT")
    box = _box(volumes[0], grid)
    place = [middle - part.start for middle, part in zip(_middle(array), box, strict=True)]
    views = [
        [
            _View(plane, place[plane.axis], grid, volume[box], array[box], _crop(reference, box))
            for plane in _PLANES
        ]
        for volume in volumes
    ]
    figure, axes = _canvas(views, _wrapped(notes, views))
    for modality, row, volume_views in zip(study.images, axes, views, strict=True):
        _draw_row(row, volume_views, modality.title)
    for axis, plane in zip(axes[0], _PLANES, strict=True):
        axis.set_title(plane.name, color="white", fontsize=12)
    _write_around(figure, title, subtitle, array, grid, reference is not None, _wrapped(notes, views))
    _save(figure, Path(path))


@dataclass(frozen=True)
class _View:
    """One panel: a slice of a volume with what was found in it."""

    plane: _Plane
    index: int
    grid: Grid
    volume: np.ndarray
    classes: np.ndarray
    reference: np.ndarray | None

    @property
    def size_mm(self) -> tuple[float, float]:
        """Height and width."""
        return tuple(
            count * spacing
            for axis, (count, spacing) in enumerate(
                zip(self.volume.shape, reversed(self.grid.spacing), strict=True)
            )
            if axis != self.plane.axis
        )

    def draw(self, axis: Axes) -> None:
        """Gray values, tinted and outlined segments, reference outline, letters at the edges."""
        height, width = self.size_mm
        low, high = _window(self.volume)
        extent = (0, width, height, 0)
        picture = self.plane.cut(self.volume, self.index)
        axis.imshow(picture, cmap="gray", vmin=low, vmax=high, extent=extent, interpolation="bilinear")
        draw_segments(axis, self.plane.cut(self.classes, self.index), (width, height))
        if self.reference is not None:
            outline = self.plane.cut(self.reference, self.index)
            if outline.any():
                draw_outline(axis, outline, (width, height), "white", "dashdot", OUTSIDE, 0.9)
        axis.set(xticks=[], yticks=[])
        axis.set_aspect("equal", adjustable="datalim")
        axis.spines[:].set_visible(False)
        write_letters(axis, self.plane.left, self.plane.right, self.plane.top, self.plane.bottom)


def _draw_row(axes: Sequence[Axes], views: Sequence[_View], title: str) -> None:
    """The views of one volume, with its name and a scale bar at the first."""
    for axis, view in zip(axes, views, strict=True):
        view.draw(axis)
    draw_scale(axes[0], views[0].size_mm[0])
    axes[0].set_ylabel(title, color="white", fontsize=13, labelpad=10)


def _width_inches(views: Sequence[Sequence[_View]]) -> float:
    scale = _PANEL_INCHES / max(view.size_mm[0] for view in views[0])
    return sum(view.size_mm[1] for view in views[0]) * scale + 0.6


def _wrapped(notes: Sequence[str], views: Sequence[Sequence[_View]]) -> list[str]:
    """Lines that fit into the picture."""
    letters = int(_LETTERS_PER_INCH * _width_inches(views))
    return [line for note in notes for line in textwrap.wrap(note, letters, subsequent_indent="   ")]


def _canvas(views: Sequence[Sequence[_View]], notes: Sequence[str]) -> tuple[Figure, list[list[Axes]]]:
    """A black figure with one panel per view, all on one scale."""
    widths = [view.size_mm[1] for view in views[0]]
    foot = _FOOT_INCHES + len(notes) * _LINE_INCHES
    size = (_width_inches(views), len(views) * _PANEL_INCHES + _HEAD_INCHES + foot)
    figure = Figure(size, facecolor="black")
    FigureCanvasAgg(figure)  # not pyplot, whose backend and current figure belong to the whole process
    layout = figure.add_gridspec(
        len(views),
        len(widths),
        width_ratios=widths,
        left=0.45 / size[0],
        right=1 - 0.1 / size[0],
        top=1 - _HEAD_INCHES / size[1],
        bottom=foot / size[1],
        wspace=0.03,
        hspace=0.03,
    )
    axes = [
        [figure.add_subplot(layout[row, column]) for column in range(len(widths))]
        for row in range(len(views))
    ]
    for axis in np.ravel(axes):
        axis.set_facecolor("black")
    return figure, axes


def _write_around(
    figure: Figure,
    title: str,
    subtitle: str,
    classes: np.ndarray,
    grid: Grid,
    with_reference: bool,
    notes: Sequence[str],
) -> None:
    """Title, legend with volumes, notes."""
    width, height = figure.get_size_inches()
    left = 0.15 / width
    figure.text(left, 1 - 0.12 / height, title, color="white", fontsize=15, weight="bold", va="top")
    figure.text(left, 1 - 0.42 / height, subtitle, color="0.8", fontsize=10, va="top")
    volumes = class_volumes(classes, float(np.prod(grid.spacing)))
    whole = segment_of("WT")
    further = {f"{whole.name}: {volumes[whole.id]:.1f} cm³": ("none", "solid")}
    if with_reference:
        further[f"{whole.name} in the reference label"] = ("white", "dashdot")
    segments = disjoint_segments(CAVITY_REGION in volumes)
    names = [f"{segment.name}: {volumes[segment.id]:.1f} cm³" for segment in segments]
    figure.legend(
        **legend_entries(names, further, segments),
        loc="lower left",
        bbox_to_anchor=(left, (0.26 + len(notes) * _LINE_INCHES) / height),
        ncols=2,
        frameon=False,
        labelcolor="white",
        fontsize=10,
        borderpad=0,
        columnspacing=2.0,
        handlelength=2.8,
        labelspacing=0.3,
    )
    for number, line in enumerate(reversed([*notes, _NOTE])):
        bottom = (0.1 + number * _LINE_INCHES) / height
        figure.text(left, bottom, line, color="0.8" if number else "0.6", fontsize=8, va="bottom")


def _on_grid(image: sitk.Image, grid: Grid, interpolator: int) -> np.ndarray:
    if interpolator == sitk.sitkLinear:
        image = sitk.Cast(image, sitk.sitkFloat32)
    return sitk.GetArrayFromImage(grid.resample(sitk.DICOMOrient(image, ORIENTATION), interpolator, 0))


def _middle(classes: np.ndarray) -> list[int]:
    """Slices through the tumor's center of mass, or through most of the tumor where they would miss it."""
    tumor = region_mask(classes, "WT")
    if not tumor.any():
        return [size // 2 for size in classes.shape]
    center = [round(float(positions.mean())) for positions in np.nonzero(tumor)]
    for axis, index in enumerate(center):
        areas = tumor.sum(axis=tuple(other for other in range(3) if other != axis))
        if not areas[index]:
            center[axis] = int(areas.argmax())
    return center


def _box(volume: np.ndarray, grid: Grid) -> tuple[slice, ...]:
    """Where the head is, with a margin: voxels that differ from the corner of the volume."""
    head = np.abs(volume - volume[0, 0, 0]) > _HEAD_SHARE * np.ptp(volume)
    margins = [round(_MARGIN_MM / spacing) for spacing in reversed(grid.spacing)]
    return tuple(
        slice(max(0, part.start - margin), part.stop + margin)
        for part, margin in zip(tightest_box(head), margins, strict=True)
    )


def _crop(mask: np.ndarray | None, box: tuple[slice, ...]) -> np.ndarray | None:
    return None if mask is None else mask[box]


def _window(volume: np.ndarray) -> tuple[float, float]:
    """Gray values shown black and white."""
    low = float(volume.min())
    inside = volume[volume > low + _AIR_SHARE * np.ptp(volume)]
    return low, float(np.percentile(inside, _WHITE_PERCENTILE))


def _save(figure: Figure, path: Path) -> None:
    with atomic_write(path) as temporary:
        figure.savefig(temporary, dpi=110)
