"""Drawings of segments: each in its own line inside its own border, with a scale and a legend."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from MissingModalityLib.core.segments import SEGMENTS
from MissingModalityLib.imaging.drawing import draw_scale, draw_segments, legend_entries

SIDE = 60


def drawn(classes: np.ndarray) -> np.ndarray:
    """A slice of ten pixels a voxel on black, in 0..1."""
    figure = Figure((6, 6), dpi=100, facecolor="black")
    canvas = FigureCanvasAgg(figure)
    axis = figure.add_axes((0, 0, 1, 1))
    axis.set_facecolor("black")
    draw_segments(axis, classes, (SIDE, SIDE), opacity=0)
    axis.set(xlim=(0, SIDE), ylim=(SIDE, 0))
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3] / 255


@pytest.fixture(scope="module")
def nested() -> tuple[np.ndarray, np.ndarray]:
    """Squares inside each other, edema around enhancing tumor around necrosis, and their drawing."""
    classes = np.zeros((SIDE, SIDE), np.uint8)
    for value, margin in ((2, 10), (3, 18), (1, 24)):
        classes[margin:-margin, margin:-margin] = value
    return classes, drawn(classes)


@pytest.mark.parametrize("segment", SEGMENTS, ids=lambda segment: segment.id)
def test_a_segment_is_outlined_inside_its_own_border(nested, segment) -> None:
    classes, picture = nested
    inside = np.repeat(np.repeat(np.isin(classes, segment.classes), 10, axis=0), 10, axis=1)
    colored = np.abs(picture - segment.unit_color).max(axis=-1) < 0.1
    assert colored.sum() > 100
    assert (colored & inside).sum() > 0.95 * colored.sum(), "a line of a neighbor would be covered"


def test_a_segment_of_one_voxel_is_outlined_too() -> None:
    classes = np.zeros((SIDE, SIDE), np.uint8)
    classes[30, 30] = 3
    assert drawn(classes).max() > 0.5


def test_the_scale_bar_is_five_centimeters_long() -> None:
    axis = Figure().add_subplot()
    draw_scale(axis, 200)
    (bar,) = axis.get_lines()
    assert np.ptp(bar.get_xdata()) == 50


def test_the_legend_shows_the_lines_that_are_drawn() -> None:
    entries = legend_entries(["a", "b", "c"], {"reference": ("white", "dashdot")})
    assert entries["labels"] == ["a", "b", "c", "reference"]
    lines = [handle[-1] if isinstance(handle, tuple) else handle for handle in entries["handles"]]
    assert len({line.get_color() for line in lines}) == 4
    assert [line.get_linestyle() for line in lines].count("-") == 1, "one is whole, all others are broken"
