"""The Dice of every subset and region as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ..core.files import atomic_write
from ..core.labels import CAVITY_REGION, REGIONS
from ..core.segments import segment_of
from ..core.words import counted
from .averages import tells_cavity

COLORS = "cividis"
"""Dark blue for 0 to yellow for 1; readable with any kind of color vision and in gray."""

_BRIGHT = 0.465
"""Above this value the color has a contrast of 4.5 or more with black text, below with white."""


def draw_heatmap(evaluation: Mapping[str, Any], path: Path) -> None:
    """Write a PNG: one line per subset in the papers' order, mean Dice of each region, colors from 0 to 1.

    Regions are WT, TC, ET and, where it was scored, RC.

    Each line tells how many patients it is the mean of, unless that is the same in all.

    Args:
        evaluation: a result of :func:`.evaluate.evaluate_folder`.
        path: the picture; an existing one is replaced when the new one is whole.
    """
    subsets = evaluation["subsets"]
    regions = (*REGIONS, *[CAVITY_REGION] * tells_cavity(evaluation))
    values = np.array([[entry["dice"][region] for region in regions] for entry in subsets])
    figure = Figure((2.6 + 1.2 * len(regions), 2.1 + 0.34 * len(subsets)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    picture = axes.imshow(values, cmap=COLORS, vmin=0, vmax=1, aspect="auto")
    for (row, column), value in np.ndenumerate(values):
        color = "black" if is_bright(value) else "white"
        axes.text(column, row, f"{value:.2f}", ha="center", va="center", color=color)
    axes.set_xticks(range(len(regions)), [_wrapped(region) for region in regions])
    axes.set_yticks(range(len(subsets)), line_names(subsets))
    axes.tick_params(length=0, top=False, labeltop=True, bottom=False, labelbottom=False)
    axes.spines[:].set_visible(False)
    for edge in np.arange(0.5, len(subsets) - 1):
        axes.axhline(edge, color="white", linewidth=1)
    for edge in np.arange(0.5, len(regions) - 1):
        axes.axvline(edge, color="white", linewidth=1)
    figure.colorbar(picture, ax=axes, label="mean Dice (1: the reference exactly, 0: nothing in common)")
    seen = "Agreement with the reference, by the sequences given"
    figure.suptitle(f"{seen}\n{evaluation['student']}\n{_patients(subsets)} of {evaluation['data']}")
    with atomic_write(path) as temporary:
        figure.savefig(temporary, dpi=120)


def _wrapped(region: str) -> str:
    first, second = segment_of(region).name.split()
    return f"{first}\n{second} ({region})"


def is_bright(value: float) -> bool:
    """Whether the color of a value, 0..1, needs dark text on it."""
    return value > _BRIGHT


def line_names(subsets: Sequence[Mapping[str, Any]]) -> list[str]:
    """What stands beside each line: its subset and, unless all have as many, of how many patients it is."""
    if _have_same_count(subsets):
        return [entry["subset"] for entry in subsets]
    return [f"{entry['subset']} (n = {entry['cases']})" for entry in subsets]


def _patients(subsets: Sequence[Mapping[str, Any]]) -> str:
    if not _have_same_count(subsets):
        return "n patients in each line, not the same in all,"
    return counted(subsets[0]["cases"], "patient")


def _have_same_count(subsets: Sequence[Mapping[str, Any]]) -> bool:
    return len({entry["cases"] for entry in subsets}) == 1
