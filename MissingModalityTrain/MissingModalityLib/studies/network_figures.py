"""Pictures of a study's networks: size against score, score over a stage's length, likeness of adapters.

The first is Figure 9 of the AdaMM paper (arXiv 2509.15017), the last its Figure 10, the second Table 10 of
the AEM+KD paper as curves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle, pairwise
from operator import itemgetter
from pathlib import Path
from statistics import fmean, stdev

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from ..core.files import atomic_write
from ..core.labels import REGIONS
from ..core.segments import CURVE_COLORS, segment_of
from ..evaluation.measures import measure
from ..evaluation.table_picture import PicturedLine

COLORS = (*CURVE_COLORS.values(), "#cc66ff", "#996666", "#0000cc")
"""On white paper: they differ by 17 or more (CIEDE2000) with every kind of color vision, and have a contrast
of 3 or more with white."""

MARKERS = ("o", "^", "s", "P", "D", "v", "X")
LINES = ("-", "--", "-.", ":")

_LIKE = "PuOr"
"""From opposite (-1, orange) over unrelated (0, white) to alike (1, purple), for any kind of color vision."""

_BRIGHTNESS = (0.299, 0.587, 0.114)
_DARK = 0.46
"""Of a color's brightness (ITU-R BT.601): white text has a contrast of 4.5 or more with darker gray, black
text with brighter one."""


def draw_sizes(
    lines: Sequence[PicturedLine],
    networks: Mapping[str, tuple[str, int]],
    metric: str,
    title: str,
    path: Path,
) -> None:
    """Write a PNG: parameters across, mean score upwards, a point for each row with its spread.

    Args:
        lines: rows of the table; the score is the mean over subsets and over WT, TC and ET.
        networks: by name of each row its network and how many parameters that has.
        metric: a key of :data:`~..evaluation.measures.MEASURES`.
        title: above it.
        path: the picture; an existing one is replaced when the new one is whole.
    """
    figure = _figure((8.0, max(3.6, 1.2 + 0.24 * len(lines))))
    axes = figure.add_subplot()
    colors = dict(
        zip(dict.fromkeys(network for network, _ in networks.values()), cycle(COLORS), strict=False)
    )
    rows_of: dict[str, int] = dict.fromkeys(colors, 0)
    for line in lines:
        network, parameters = networks[line.name]
        scores = [fmean(of_regions) for of_regions in zip(*(line.means[r] for r in REGIONS), strict=True)]
        axes.errorbar(
            parameters / 1e6,
            fmean(scores),
            yerr=stdev(scores) if len(scores) > 1 else None,
            color=colors[network],
            marker=MARKERS[rows_of[network] % len(MARKERS)],
            linestyle="none",
            capsize=3,
            label=line.name,
        )
        rows_of[network] += 1
    sizes = [parameters / 1e6 for _, parameters in networks.values()]
    axes.set_xscale("log")
    axes.set_xlim(min(sizes) / 2, max(sizes) * 2)  # so that a number of the scale stands in it
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("parameters, million")
    axes.set_ylabel(f"{measure(metric).title}, {_unit(metric)}, mean of {', '.join(REGIONS)}")
    axes.grid(alpha=0.3)
    figure.legend(loc="outside right upper", frameon=False)
    _save(figure, title, path)


def draw_course(
    lines: Sequence[PicturedLine],
    places: Mapping[str, tuple[str, int]],
    stage: str,
    metric: str,
    title: str,
    path: Path,
) -> None:
    """Write a PNG: a panel for each region, a curve for each host over the epochs of a stage.

    Printed numbers are hollow, on a thinner line.

    Args:
        lines: rows of the table.
        places: by name of each row its curve and how many epochs of the stage it has.
        stage: whose epochs these are.
        metric, title, path: as in :func:`draw_sizes`.
    """
    figure = _figure((3.3 * len(REGIONS), 4.0))
    panels = figure.subplots(1, len(REGIONS))
    curves: dict[str, list[PicturedLine]] = {}
    for line in sorted(lines, key=lambda line: places[line.name][1]):
        curves.setdefault(places[line.name][0], []).append(line)
    for axes, region in zip(panels, REGIONS, strict=True):
        for number, (name, of_curve) in enumerate(curves.items()):
            epochs = [places[line.name][1] for line in of_curve]
            _draw_curve(axes, number, name, epochs, of_curve, region)
        axes.set_title(f"{segment_of(region).name} ({region})", fontsize=10)
        axes.set_xlabel(f"epochs of {stage}")
        axes.set_xticks(sorted({epochs for _, epochs in places.values()}))
        axes.grid(alpha=0.3)
    panels[0].set_ylabel(f"{measure(metric).title}, {_unit(metric)}, mean of all subsets")
    signs = sorted(zip(*reversed(panels[0].get_legend_handles_labels()), strict=True), key=itemgetter(0))
    names, handles = zip(*signs, strict=True)  # printed numbers behind their curve
    figure.legend(handles, names, loc="outside lower center", ncols=min(4, len(names)), frameon=False)
    _save(figure, title, path)


def _draw_curve(
    axes: Axes, number: int, name: str, epochs: Sequence[int], lines: Sequence[PicturedLine], region: str
) -> None:
    style = {"color": COLORS[number % len(COLORS)], "marker": MARKERS[number % len(MARKERS)]}
    numbers = [line.means[region] for line in lines]
    several = min(map(len, numbers)) > 1
    axes.errorbar(
        epochs,
        list(map(fmean, numbers)),
        yerr=list(map(stdev, numbers)) if several else None,
        linestyle=LINES[number % len(LINES)],
        capsize=3,
        label=name,
        **style,
    )
    beside = zip(epochs, lines, strict=True)
    printed = [(place, line.printed[region]) for place, line in beside if line.printed]
    if printed:
        how = {"linewidth": 0.7, "fillstyle": "none", "label": f"{name}, printed"}
        axes.plot(*zip(*printed, strict=True), linestyle=LINES[number % len(LINES)], **how, **style)


def draw_likeness(names: Sequence[str], likeness: np.ndarray, title: str, path: Path) -> None:
    """Write a PNG: how alike the adapters of every two subsets are, as colors with numbers.

    Args:
        names: of the subsets.
        likeness: (subsets, subsets), -1..1, see :meth:`~..networks.adamm_adapters.AllAdapters.likeness`.
        title, path: as in :func:`draw_sizes`.
    """
    figure = _figure((8.6, 7.4))
    axes = figure.add_subplot()
    image = axes.imshow(likeness, cmap=_LIKE, vmin=-1, vmax=1, aspect="auto")
    for (row, column), value in np.ndenumerate(likeness):
        color = "white" if np.dot(image.to_rgba(value)[:3], _BRIGHTNESS) < _DARK else "black"
        axes.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=7, color=color)
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(names)), names)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    # sequences given: one, two, three
    counts = [name.count("+") for name in names]
    for edge in (place + 0.5 for place, (one, next_one) in enumerate(pairwise(counts)) if one != next_one):
        axes.axhline(edge, color="black", linewidth=0.8)
        axes.axvline(edge, color="black", linewidth=0.8)
    label = "cosine similarity of what adapters add to random features (1: alike, 0: unrelated)"
    figure.colorbar(image, ax=axes, label=label, fraction=0.04)
    _save(figure, title, path)


def _figure(inches: tuple[float, float]) -> Figure:
    figure = Figure(inches, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _unit(metric: str) -> str:
    return "%" if measure(metric).factor == 100 else "mm"


def _save(figure: Figure, title: str, path: Path) -> None:
    figure.suptitle(title, fontsize=11)
    with atomic_write(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)
