"""What drawings of slices share: segments that are told apart without color too, letters and a scale bar."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.legend_handler import HandlerTuple
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke
from scipy.ndimage import distance_transform_edt

from ..core.labels import holds_cavity
from ..core.segments import SEGMENTS, Segment, disjoint_segments

_FILL_OPACITY = 0.2
"""The texture of the tissue stays visible under the tint."""

INSIDE, OUTSIDE = 0.95, 0.05
"""Distances from the nearest voxel outside, in voxels, at which outlines run: within the border voxels of
what they surround, or within the next ones, so that none covers that of a neighbor. A voxel next to the
outside has a distance of 1."""

_LINE_POINTS = 1.3

_EDGE = (withStroke(linewidth=2.4, foreground="black", alpha=0.6),)
"""Dark rim of outlines, which keeps light colors visible on bright tissue."""

LINES: Mapping[str, Any] = {
    "solid": "solid",
    "dashed": (0.0, (4.0, 1.6)),
    "dotted": (0.0, (1.0, 1.1)),
    "dashdot": (0.0, (4.0, 1.6, 1.0, 1.6)),
}
"""Tighter than matplotlib's own, whose gaps are as long as a lesion of a few voxels."""

_SCALE_MM = 50.0


def draw_segments(
    axis: Axes, classes: np.ndarray, size: tuple[float, float], opacity: float = _FILL_OPACITY
) -> None:
    """Tint segments and outline each inside its own border, in its own style of line.

    Args:
        axis: where the slice is drawn, from (0, 0) at the top left to ``size``.
        classes: (rows, columns) uint8 classes 0..4, first row on top.
        size: width and height of the slice, in the units of the axis.
        opacity: of the tint, 0..1.
    """
    for segment in disjoint_segments(holds_cavity(classes)):
        mask = np.isin(classes, segment.classes)
        if mask.any():
            tint = np.zeros((*mask.shape, len("RGBA")))
            tint[mask] = (*segment.unit_color, opacity)
            axis.imshow(tint, extent=_extent(size), interpolation="nearest")
            draw_outline(axis, mask, size, segment.unit_color, segment.line)


def draw_outline(
    axis: Axes,
    mask: np.ndarray,
    size: tuple[float, float],
    color: object,
    line: str,
    distance: float = INSIDE,
    points: float = _LINE_POINTS,
) -> None:
    """Outline a mask (rows, columns) in a style of :data:`LINES`; ``size`` as in :func:`draw_segments`.

    Args:
        distance: from the nearest voxel outside, where the line runs: :data:`INSIDE` or :data:`OUTSIDE`.
        points: width of the line.
    """
    rows, columns = mask.shape
    # voxel centers lie half a voxel inside the edges
    x = (np.arange(columns) + 0.5) * size[0] / columns
    y = (np.arange(rows) + 0.5) * size[1] / rows
    style = {"colors": [color], "linewidths": points, "linestyles": [LINES[line]]}
    axis.contour(x, y, distance_transform_edt(mask), [distance], **style).set(path_effects=_EDGE)


def write_letters(axis: Axes, left: str, right: str, top: str = "", bottom: str = "") -> None:
    """Letters of the patient's sides at the edges of a slice."""
    for text, x, y in ((left, 0.03, 0.5), (right, 0.97, 0.5), (top, 0.5, 0.97), (bottom, 0.5, 0.03)):
        axis.text(x, y, text, transform=axis.transAxes, color="white", fontsize=9, ha="center", va="center")


def draw_scale(axis: Axes, height: float) -> None:
    """A bar of 5 cm in the lower left corner of a slice ``height`` mm high."""
    left, bottom = 6.0, height - 5.0
    axis.plot([left, left + _SCALE_MM], [bottom, bottom], color="white", linewidth=2.5, solid_capstyle="butt")
    axis.text(
        left + _SCALE_MM / 2, bottom - 3.0, f"{_SCALE_MM / 10:.0f} cm", color="white", fontsize=9, ha="center"
    )


def legend_entries(
    names: Sequence[str],
    further: Mapping[str, tuple[object, str]] = MappingProxyType({}),
    segments: Sequence[Segment] = SEGMENTS,
) -> dict[str, Any]:
    """Arguments ``handles``, ``labels`` and ``handler_map`` of a legend: tint and line of each segment.

    Args:
        names: what is said of each of ``segments``.
        further: color and style of other lines, by what is said of them.
    """
    handles: list[Any] = [(_swatch(segment), _line(segment.unit_color, segment.line)) for segment in segments]
    return {
        "handles": handles + [_line(color, line) for color, line in further.values()],
        "labels": [*names, *further],
        "handler_map": {tuple: HandlerTuple(ndivide=1)},
    }


def _swatch(segment: Segment) -> Patch:
    return Patch(facecolor=(*segment.unit_color, 2 * _FILL_OPACITY), edgecolor="none")


def _line(color: object, line: str) -> Line2D:
    return Line2D([], [], color=color, linestyle=LINES[line], linewidth=1.5 * _LINE_POINTS)


def _extent(size: tuple[float, float]) -> tuple[float, float, float, float]:
    return 0.0, size[0], size[1], 0.0
