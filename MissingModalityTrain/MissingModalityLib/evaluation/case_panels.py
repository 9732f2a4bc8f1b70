"""One slice of a case as panels: sequences, reference, predictions; a row for each subset or model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ..core.files import atomic_write
from ..core.labels import CAVITY_REGION, REGIONS, holds_cavity, region_mask
from ..core.modalities import Modality, Subset, subset_name
from ..core.segments import disjoint_segments
from ..imaging.boxes import tightest_box
from ..imaging.drawing import draw_scale, draw_segments, legend_entries, write_letters
from ..imaging.grid import ORIENTATION, Grid
from ..imaging.reading import Study
from .metrics import dice

MOST_COLUMNS = 4
"""Of models beside sequences and reference; of more, each has a row."""

_PANEL_INCHES = 1.7
_TEXT_INCHES = 0.22
_HEAD_INCHES, _FOOT_INCHES = 0.5, 0.45
_MARGIN_VOXELS = 6
_GRAY_PERCENTILES = 2.0, 99.5
"""Of the brain's voxels, drawn black and white: few dark ones at its border and few bright ones of vessels
leave the tissue its contrast."""

_OPACITY = 0.35
"""Of the tints: classes are told at a glance in panels of a thumb's size."""

_BACKGROUND, _TEXT, _FAINT = "black", "white", "0.6"

Predictions = Mapping[str, Mapping[Subset, np.ndarray]]
"""By model and subset the classes (z, y, x) on the grid of the case's first volume."""


@dataclass(frozen=True)
class Panel:
    """What one place of the picture shows.

    Attributes:
        gray: (rows, columns) of the slice; None for an empty place.
        classes: drawn over it.
        head: above it.
        text: below it.
        side: left of it.
        absent: the sequence was not given: no image, and these words in its place.
    """

    gray: np.ndarray | None = None
    classes: np.ndarray | None = None
    head: str = ""
    text: str = ""
    side: str = ""
    absent: str = ""


class CaseSlice:
    """The axial slice of a case with most tumor, cropped to the head.

    Args:
        study: its volumes.
        label: classes on any grid.
    """

    def __init__(self, study: Study, label: sitk.Image) -> None:
        image = study.images[study.reference]
        self.grid = Grid.from_image(image)
        self.truth = _upright(self.grid.resample(label, sitk.sitkNearestNeighbor, 0))
        self._volumes = {
            modality: _upright(self.grid.resample(image, sitk.sitkLinear, 0))
            for modality, image in sorted(study.images.items())
        }
        self.where = _section(self.truth, self._volumes[study.reference])
        self._spacing = Grid.from_image(sitk.DICOMOrient(image, ORIENTATION)).spacing

    @property
    def size(self) -> tuple[float, float]:
        """Width and height in mm."""
        _, rows, columns = self.where
        return (columns.stop - columns.start) * self._spacing[0], (rows.stop - rows.start) * self._spacing[1]

    @cached_property
    def sequences(self) -> dict[Modality, np.ndarray]:
        """(rows, columns) of each sequence of the case, in channel order."""
        return {modality: volume[self.where] for modality, volume in self._volumes.items()}

    def reference_panel(self, shown: Modality) -> Panel:
        """The label over a sequence."""
        return Panel(self.sequences[shown], self.truth[self.where], "reference")

    def found_panel(self, classes: np.ndarray, shown: Modality, head: str = "", side: str = "") -> Panel:
        """A prediction (z, y, x) on the case's grid over a sequence, with its Dice in the whole volume."""
        upright = _upright(self.grid.to_image(classes))
        # a label without one does not say that there is none: most conventions have no number for it
        regions = (*REGIONS, *[CAVITY_REGION] * holds_cavity(self.truth))
        scores = {
            region: dice(region_mask(upright, region), region_mask(self.truth, region)) for region in regions
        }
        text = "  ".join(f"{region} {100 * score:.1f}" for region, score in scores.items())
        return Panel(self.sequences[shown], upright[self.where], head, text, side)


def rows_of_subsets(
    case: CaseSlice, subsets: Sequence[Subset], predictions: Predictions
) -> list[list[Panel]]:
    """A row for each subset: its sequences, the reference, and what each model found from it."""
    rows = []
    for number, subset in enumerate(subsets):
        heads = number == 0
        given = [
            Panel(gray, head=modality.title if heads else "")
            if modality in subset
            else Panel(head=modality.title if heads else "", absent="not given")
            for modality, gray in case.sequences.items()
        ]
        reference = case.reference_panel(subset[0])
        found = [
            case.found_panel(of_model[subset], subset[0], name if heads else "")
            for name, of_model in predictions.items()
        ]
        rows.append([*given, reference if heads else Panel(reference.gray, reference.classes), *found])
    return rows


def rows_of_models(case: CaseSlice, subsets: Sequence[Subset], predictions: Predictions) -> list[list[Panel]]:
    """A row of the sequences and the reference, then one for each model, a column for each subset.

    All is drawn over the case's first sequence, so that shapes can be compared; FLAIR in most papers.
    """
    shown = next(iter(case.sequences))
    first = [Panel(gray, head=modality.title) for modality, gray in case.sequences.items()]
    rows = [[*first, case.reference_panel(shown)]]
    for number, (name, of_model) in enumerate(predictions.items()):
        rows.append(
            [
                case.found_panel(
                    of_model[subset],
                    shown,
                    "" if number else f"from {subset_name(subset)}",
                    "" if place else name,
                )
                for place, subset in enumerate(subsets)
            ]
        )
    return rows


def draw_panels(rows: Sequence[Sequence[Panel]], size: tuple[float, float], title: str, path: Path) -> None:
    """Write a PNG.

    Args:
        rows: of panels; shorter ones end earlier.
        size: width and height of a slice in mm.
        title: above all.
        path: the picture; an existing one is replaced when the new one is whole.
    """
    columns = max(map(len, rows))
    height = _PANEL_INCHES * size[1] / size[0] + _TEXT_INCHES
    side = 0.3 if any(panel.side for row in rows for panel in row) else 0.0
    inches = _PANEL_INCHES * columns + side, height * len(rows) + _HEAD_INCHES + _FOOT_INCHES
    figure = Figure(inches, facecolor=_BACKGROUND, layout="constrained")
    FigureCanvasAgg(figure)
    figure.get_layout_engine().set(w_pad=0.01, h_pad=0.01, wspace=0.01, hspace=0.01)
    places = figure.subplots(len(rows), columns, squeeze=False)
    for axes, row in zip(places, rows, strict=True):
        for axis, panel in zip(axes, _filled(row, columns), strict=True):
            _draw(axis, panel, size)
    marked = next(axis for axis, panel in zip(places[0], rows[0], strict=False) if panel.gray is not None)
    write_letters(marked, "R", "L")
    draw_scale(marked, size[1])
    drawn = (panel.classes for row in rows for panel in row if panel.classes is not None)
    segments = disjoint_segments(any(map(holds_cavity, drawn)))
    names = [segment.name for segment in segments]
    figure.legend(
        **legend_entries(names, segments=segments),
        loc="outside lower center",
        ncols=len(names),
        frameon=False,
        labelcolor=_TEXT,
        fontsize=9,
    )
    figure.suptitle(title, color=_TEXT, fontsize=10)
    with atomic_write(path) as temporary:
        figure.savefig(temporary, format="png", dpi=130)


def _filled(row: Sequence[Panel], columns: int) -> Iterable[Panel]:
    return (*row, *[Panel()] * (columns - len(row)))


def _draw(axis: Axes, panel: Panel, size: tuple[float, float]) -> None:
    """One slice in gray with what was found, and words around it."""
    axis.set(xticks=[], yticks=[], xlim=(0, size[0]), ylim=(size[1], 0), facecolor=_BACKGROUND, aspect=1)
    axis.spines[:].set_visible(False)
    axis.set_title(panel.head, color=_TEXT, fontsize=9, pad=3)
    axis.set_xlabel(panel.text, color=_TEXT, fontsize=7.5, labelpad=2)
    axis.set_ylabel(panel.side, color=_TEXT, fontsize=8.5)
    if panel.absent:
        middle = size[0] / 2, size[1] / 2
        axis.text(*middle, panel.absent, color=_FAINT, fontsize=8, ha="center", va="center")
    if panel.gray is None:
        return
    inside = panel.gray[panel.gray > 0]
    low, high = np.percentile(inside, _GRAY_PERCENTILES) if inside.size else (0.0, 1.0)
    style = {"cmap": "gray", "vmin": low, "vmax": high, "interpolation": "bilinear"}
    axis.imshow(panel.gray, extent=(0, size[0], size[1], 0), **style)
    if panel.classes is not None:
        draw_segments(axis, panel.classes, size, _OPACITY)


def _upright(image: sitk.Image) -> np.ndarray:
    """(z, y, x) in LPS: the first row in front, the first column on the patient's right."""
    return sitk.GetArrayFromImage(sitk.DICOMOrient(image, ORIENTATION))


def _section(truth: np.ndarray, volume: np.ndarray) -> tuple[int, slice, slice]:
    """The slice with most tumor, or that in the middle, cropped to the head."""
    sizes = np.count_nonzero(truth, axis=(1, 2))
    place = int(sizes.argmax()) if sizes.any() else len(sizes) // 2
    box = tightest_box((volume[place] > 0) | (truth[place] > 0)) or (slice(0, 1), slice(0, 1))
    limits = volume.shape[1:]
    rows, columns = (
        slice(max(0, part.start - _MARGIN_VOXELS), min(limit, part.stop + _MARGIN_VOXELS))
        for part, limit in zip(box, limits, strict=True)
    )
    return place, rows, columns
