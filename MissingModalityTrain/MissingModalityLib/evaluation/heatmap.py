"""The Dice of every subset and region as a picture."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ..core.files import atomic_write
from ..core.labels import REGIONS
from ..core.segments import segment_of

COLORS = "cividis"
"""Dark blue for 0 to yellow for 1; readable with any kind of color vision and in gray."""

_BRIGHT = 0.5
"""Above this value the colormap is lighter than a middle gray, so cells need dark text."""


def draw_heatmap(evaluation: Mapping[str, Any], path: Path) -> None:
    """Write a PNG: a line per subset in the papers' order with its cases, mean Dice of WT, TC and ET, 0 to 1.

    Args:
        evaluation: a result of :func:`.evaluate.evaluate_folder`.
        path: the picture; an existing one is replaced when the new one is whole.
    """
    subsets = evaluation["subsets"]
    values = np.array([[entry["dice"][region] for region in REGIONS] for entry in subsets])
    figure = Figure((5.6, 1.6 + 0.34 * len(subsets)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    picture = axes.imshow(values, cmap=COLORS, vmin=0, vmax=1, aspect="auto")
    for (row, column), value in np.ndenumerate(values):
        color = "black" if value > _BRIGHT else "white"
        axes.text(column, row, f"{value:.2f}", ha="center", va="center", color=color)
    axes.set_xticks(range(len(REGIONS)), [_in_words(region) for region in REGIONS])
    axes.set_yticks(range(len(subsets)), [f"{entry['subset']} ({entry['cases']})" for entry in subsets])
    axes.tick_params(length=0, top=False, labeltop=True, bottom=False, labelbottom=False)
    axes.spines[:].set_visible(False)
    for edge in np.arange(0.5, len(subsets) - 1):
        axes.axhline(edge, color="white", linewidth=1)
    for edge in np.arange(0.5, len(REGIONS) - 1):
        axes.axvline(edge, color="white", linewidth=1)
    figure.colorbar(picture, ax=axes, label="mean Dice")
    figure.suptitle(f"{evaluation['student']}\n{evaluation['data']}; in brackets the number of cases")
    with atomic_write(path) as temporary:
        figure.savefig(temporary, dpi=120)


def _in_words(region: str) -> str:
    """On three lines, as wide as a column: ``"Enhancing\\ntumor\\nET"``."""
    return "\n".join([*segment_of(region).name.split(), region])
