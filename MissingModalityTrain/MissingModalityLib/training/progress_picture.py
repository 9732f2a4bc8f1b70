"""The course of a training as a picture: loss and validation Dice of every epoch, stage after stage."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from statistics import fmean

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ..core.files import atomic_write
from ..core.labels import CAVITY_REGION, REGIONS
from ..core.segments import CURVE_COLORS, CURVE_MARKERS, segment_of
from .log import LogLine


def draw_progress(lines: Sequence[LogLine], path: Path, title: str) -> None:
    """Write a PNG.

    Args:
        lines: of the log of a run, at least one.
        path: the picture; an existing one is replaced when the new one is whole.
        title: above it.
    """
    figure = Figure((8, 6), layout="constrained")
    FigureCanvasAgg(figure)
    loss, dice = figure.subplots(2, sharex=True)
    _draw_loss(loss, lines)
    _draw_dice(dice, lines)
    _mark_stages((loss, dice), lines)
    dice.set_xlabel("epoch, counted over all stages")
    dice.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.suptitle(title)
    with atomic_write(path) as temporary:
        figure.savefig(temporary, format="png", dpi=100)


def region_dice(line: LogLine, region: str) -> float | None:
    """Mean over the subsets that were validated after an epoch; None where none was."""
    scores = [score for name, score in (line.dice or {}).items() if name.endswith(f" {region}")]
    return fmean(scores) if scores else None


def _draw_loss(axes: Axes, lines: Sequence[LogLine]) -> None:
    """A line for each stage: what a loss is differs between them."""
    for _, numbered in groupby(enumerate(lines, 1), key=lambda pair: pair[1].stage):
        epochs, of_stage = zip(*numbered, strict=True)
        axes.plot(
            epochs,
            [line.loss["total"] for line in of_stage],
            color="black",
            marker=".",
            markersize=3,
            linewidth=1,
        )
    axes.set_ylabel("loss")
    axes.grid(alpha=0.3)


def _draw_dice(axes: Axes, lines: Sequence[LogLine]) -> None:
    """A line for each region, over the epochs that were validated; of the cavity where it is learned."""
    drawn = 0
    for region in (*REGIONS, CAVITY_REGION):
        color, marker = CURVE_COLORS[region], CURVE_MARKERS[region]
        scored = [(epoch, region_dice(line, region)) for epoch, line in enumerate(lines, 1)]
        known = [(epoch, score) for epoch, score in scored if score is not None]
        if region == CAVITY_REGION and not known:
            continue
        drawn += 1
        label = f"{segment_of(region).name} ({region})"
        axes.plot(*zip(*known, strict=True) if known else ((), ()), color=color, marker=marker, label=label)
    axes.set_ylim(0, 1)
    axes.set_ylabel("mean Dice of validation")
    axes.grid(alpha=0.3)
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=drawn, frameon=False)


def _mark_stages(both: Sequence[Axes], lines: Sequence[LogLine]) -> None:
    """A dashed line where a stage begins, with its name above the upper curves."""
    for number, line in enumerate(lines):
        if number and line.stage == lines[number - 1].stage:
            continue
        above = {"xycoords": ("data", "axes fraction"), "xytext": (2, 3), "textcoords": "offset points"}
        both[0].annotate(line.stage, (number + 0.5, 1), **above)
        for axes in both:
            axes.axvline(number + 0.5, color="gray", linestyle="--", linewidth=1)
