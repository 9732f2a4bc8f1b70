"""Tables as pictures: scores by subset as colors, and means with their spread beside printed ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean, stdev

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ..core.files import atomic_write
from ..core.labels import CAVITY_REGION, REGIONS
from ..core.modalities import SUBSETS, subset_name
from ..core.segments import CURVE_COLORS, CURVE_MARKERS, segment_of
from .heatmap import COLORS, is_bright
from .measures import measure
from .tables import PRESENT, PRINTED_ORDER, dots

_LINE_INCHES, _CELL_INCHES, _HEAD_INCHES = 0.3, 0.46, 1.1
_LETTER_INCHES = 0.085
"""Of the names of lines, about."""

_MEANS_INCHES = 2.6
_MEAN = "mean"


@dataclass(frozen=True)
class PicturedLine:
    """A line of a table, in the units of the table: % or mm.

    Attributes:
        name: beside it.
        subsets: by subset and region the mean over cases, averaged over trainings; of RC where it was scored.
        means: by region the mean over all subsets, one for each training; likewise.
        printed: by region what the paper prints in place of the mean.
    """

    name: str
    subsets: Mapping[str, Mapping[str, float]]
    means: Mapping[str, Sequence[float]]
    printed: Mapping[str, float] = field(default_factory=dict)


def draw_subsets(lines: Sequence[PicturedLine], metric: str, title: str, path: Path) -> None:
    """Write a PNG: a panel for each region, a line for each method, a column for each subset and the mean.

    Subsets that all lines have stand in the papers' order, with a full dot for each sequence given and an
    empty one for each that is missing, as in the papers' tables; without such the means stand alone.

    Args:
        lines: at least one.
        metric: a key of :data:`.measures.MEASURES`.
        title: above it.
        path: the picture; an existing one is replaced when the new one is whole.
    """
    names = [name for name in map(subset_name, SUBSETS) if all(name in line.subsets for line in lines)]
    margin, regions = _LETTER_INCHES * max(len(line.name) for line in lines), _regions(lines)
    height = _HEAD_INCHES + len(regions) * (_LINE_INCHES * len(lines) + 0.35)
    figure = Figure((margin + _CELL_INCHES * (len(names) + 3), height), layout="constrained")
    FigureCanvasAgg(figure)
    heights = [len(PRINTED_ORDER) * 0.7, *[len(lines)] * len(regions)]
    head, *panels = figure.subplots(len(heights), sharex=True, height_ratios=heights)
    _draw_dots(head, names)
    tables = {region: _values(lines, names, region) for region in regions}
    highest = (
        100.0 if measure(metric).factor == 100 else max(1.0, *(np.nanmax(table) for table in tables.values()))
    )
    for axes, (region, values) in zip(panels, tables.items(), strict=True):
        image = _draw_cells(axes, values, highest, better_high=measure(metric).factor == 100)
        axes.set_yticks(range(len(lines)), [line.name for line in lines])
        axes.set_title(f"{segment_of(region).name} ({region})", fontsize=10, loc="left")
    unit = "%" if measure(metric).factor == 100 else "mm"
    figure.colorbar(image, ax=panels, label=f"{measure(metric).title}, {unit}", fraction=0.03, aspect=40)
    figure.suptitle(title, fontsize=11)
    _save(figure, path)


def draw_means(lines: Sequence[PicturedLine], metric: str, title: str, path: Path, source: str = "") -> None:
    """Write a PNG: a panel for each region, a line for each method with its mean over all subsets.

    A bar is the sample standard deviation over trainings, a hollow diamond what the paper prints.

    Args:
        lines, metric, title, path: as in :func:`draw_subsets`.
        source: of the printed numbers, for the legend.
    """
    margin = _LETTER_INCHES * max(len(line.name) for line in lines)
    regions = _regions(lines)
    size = margin + _MEANS_INCHES * len(regions), 1.3 + _LINE_INCHES * len(lines)
    figure = Figure(size, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(regions), sharey=True)
    unit = "%" if measure(metric).factor == 100 else "mm"
    for axes, region in zip(panels, regions, strict=True):
        for row, line in enumerate(lines):
            _draw_mean(axes, row, line, region)
        axes.set_title(f"{segment_of(region).name} ({region})", fontsize=10)
        axes.set_xlabel(f"{measure(metric).title}, {unit}")
        axes.set_xlim((0, 100) if unit == "%" else (0, None))
        axes.grid(axis="x", alpha=0.3)
    panels[0].set_yticks(range(len(lines)), [line.name for line in lines])
    panels[0].set_ylim(len(lines) - 0.5, -0.5)
    trainings = max(len(line.means["WT"]) for line in lines)
    legend = {f"printed: {source}": panels[0].plot([], [], **_PRINTED_STYLE)[0]} if source else {}
    if trainings > 1:
        spread = f"standard deviation over {trainings} trainings"
        legend[spread] = panels[0].plot([], [], marker="|", color="gray")[0]
    if legend:
        figure.legend(
            [*legend.values()], [*legend], loc="outside lower center", ncols=len(legend), frameon=False
        )
    figure.suptitle(title, fontsize=11)
    _save(figure, path)


_PRINTED_STYLE = {"marker": "D", "linestyle": "none", "color": "black", "fillstyle": "none"}


def _regions(lines: Sequence[PicturedLine]) -> tuple[str, ...]:
    """Those that have a panel: the resection cavity where any line has scored it."""
    return (*REGIONS, *[CAVITY_REGION] * any(CAVITY_REGION in line.means for line in lines))


def _values(lines: Sequence[PicturedLine], names: Sequence[str], region: str) -> np.ndarray:
    """(lines, subsets + 1), the mean last; NaN where a line has not scored the region."""
    nothing = [np.nan] * (len(names) + 1)
    return np.array(
        [
            [*(line.subsets[name][region] for name in names), fmean(line.means[region])]
            if region in line.means
            else nothing
            for line in lines
        ]
    )


def _draw_dots(axes: Axes, names: Sequence[str]) -> None:
    """Which sequences each column was given."""
    given = np.array([[dot == PRESENT for dot in dots(name)] for name in names], bool)
    given = given.reshape(len(names), len(PRINTED_ORDER))  # of no name too
    for places, inside, edge in ((given, "black", "black"), (~given, "none", "gray")):
        columns, rows = places.nonzero()
        axes.scatter(columns, rows, s=28, linewidth=0.8, facecolor=inside, edgecolor=edge)
    axes.text(len(names), 1.5, _MEAN, ha="center", va="center", fontsize=9)
    axes.set_ylim(len(PRINTED_ORDER) - 0.4, -0.6)
    axes.set_yticks(range(len(PRINTED_ORDER)), [modality.title for modality in PRINTED_ORDER])
    axes.tick_params(length=0, bottom=False, labelbottom=False)
    axes.spines[:].set_visible(False)


def _draw_cells(axes: Axes, values: np.ndarray, highest: float, better_high: bool):
    """Colors with numbers in the units of the table; bright is good."""
    colors = COLORS if better_high else f"{COLORS}_r"
    image = axes.imshow(values, cmap=colors, vmin=0, vmax=highest, aspect="auto")
    for row, column in np.argwhere(np.isfinite(values)):
        value = values[row, column]
        share = value / highest if better_high else 1 - value / highest
        axes.text(
            column,
            row,
            f"{value:.1f}",
            ha="center",
            va="center",
            fontsize=7.5,
            color="black" if is_bright(share) else "white",
        )
    axes.axvline(values.shape[1] - 1.5, color="white", linewidth=5)
    axes.tick_params(length=0, labelbottom=False, bottom=False)
    axes.spines[:].set_visible(False)
    return image


def _draw_mean(axes: Axes, row: int, line: PicturedLine, region: str) -> None:
    numbers = line.means.get(region)
    if not numbers:
        return
    axes.errorbar(
        fmean(numbers),
        row,
        xerr=stdev(numbers) if len(numbers) > 1 else None,
        marker=CURVE_MARKERS[region],
        color=CURVE_COLORS[region],
        capsize=3,
    )
    label = {"xytext": (0, 5), "textcoords": "offset points", "ha": "center", "fontsize": 7.5}
    axes.annotate(f"{fmean(numbers):.1f}", (fmean(numbers), row), **label)
    if region in line.printed:
        axes.plot(line.printed[region], row, **_PRINTED_STYLE)


def _save(figure: Figure, path: Path) -> None:
    with atomic_write(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)
