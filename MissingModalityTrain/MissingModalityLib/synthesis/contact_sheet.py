"""A contact sheet of synthetic cases: what went in, what was taken over, what came out (AEM+KD, Fig. 4)."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure, SubFigure

from ..core.files import atomic_write
from ..core.modalities import MODALITIES, Modality
from ..core.segments import SEGMENTS
from ..imaging.cache import CachedCase
from ..imaging.drawing import draw_scale, draw_segments, legend_entries, write_letters
from .grown_case import GrownTumorCase
from .mixup import MixedCase
from .options import SynthesisOptions
from .synthetic_case import SyntheticCase
from .transplant import centered
from .transplanted_case import TransplantedCase
from .tumor_cache import CachedTumor

_COLUMNS = 5
_SIDE_INCHES, _HEAD_INCHES = 0.3, 1.15
# width and height of a block; an axial slice of a brain is higher than wide, about 1.85 to 1.5
_BLOCK_INCHES = (_SIDE_INCHES + _COLUMNS * 1.5, _HEAD_INCHES + len(MODALITIES) * 1.85)

_TITLES = {
    "absolute": "patient B against\nits mirror image\n$D_B = |X_B - mirror(X_B)|$",
    "signed": "patient B minus\nits mirror image\n$D_B = X_B - mirror(X_B)$",
    "none": "donor B\n$D_B = X_B$",
}
_ENDS = {"magma": ("none", "strong"), "RdBu_r": ("darker", "brighter")}
"""What the ends of these colors stand for."""

_LEGEND_LETTERS = 16
"""Of a line, beside a swatch in one column."""

_LABEL_OPACITY = 0.5
"""Anatomy shows through."""


@dataclass(frozen=True)
class _Column:
    """One axial slice of every modality.

    Attributes:
        title: above the column.
        slices: (C, h, w), one of each modality.
        colors: "gray" for an image, "magma" for an amount, "RdBu_r" for one with a sign.
        classes: (h, w) labels to draw over the slice of the first modality, which are those of all; or None.
        once: whether there is nothing to see but that slice.
    """

    title: str
    slices: np.ndarray
    colors: str = "gray"
    classes: np.ndarray | None = None
    once: bool = False

    def draw(self, axis: Axes, modality: Modality, window: tuple[float, float], first: bool) -> None:
        """Draw one slice.

        Args:
            axis: an empty one.
            modality: of the slice.
            window: values shown black and white where the column is an image.
            first: whether it is the first row that has a slice.
        """
        if self.once and not first:
            return
        picture = np.ma.masked_equal(self.slices[modality], 0)
        if self.colors != "gray":
            # a few voxels at the skull differ by far more than any tumor; they may saturate
            high = max(float(np.percentile(np.abs(picture.data), 99.8)), 1e-3)
            window = (0.0 if self.colors == "magma" else -high, high)
        height, width = picture.shape
        extent = (0, width, height, 0)
        axis.imshow(picture, cmap=self.colors, vmin=window[0], vmax=window[1], extent=extent)
        if self.classes is not None and first:
            draw_segments(axis, self.classes, (width, height), _LABEL_OPACITY)


def draw_contact_sheet(
    path: Path, cases: Sequence[SyntheticCase], options: SynthesisOptions | None = None
) -> None:
    """Write a PNG with a block for each case: a row per modality; columns X_A, D_B, T_B, X_AB, Y_AB.

    A block shows axial slices through the largest area of the (first) new tumor. D_B is a slice of the donor
    on his own grid; T_B is all that was added to the recipient. MixUp has the donor and his part instead, a
    grown tumor the healed recipient, the new image, its labels, and a training tumor to compare with.
    Modalities that the synthetic case lacks stay black. Labels are drawn once, with a legend below them. The
    patient's left is on the right.

    Args:
        path: the picture; an existing one is replaced when the new one is whole.
        cases: one or a few.
        options: that the cases were made with.
    """
    options = options or SynthesisOptions()
    width, height = _BLOCK_INCHES
    figure = Figure((width, len(cases) * height), facecolor="black")
    FigureCanvasAgg(figure)
    blocks = figure.subfigures(len(cases), 1, squeeze=False)[:, 0]
    for block, case in zip(blocks, cases, strict=True):
        if isinstance(case, TransplantedCase):
            seen, columns = "A tumor of patient B in the brain of patient A", _transplanted(case, options)
        elif isinstance(case, GrownTumorCase):
            seen, columns = "A tumor grown in the brain of patient A", _grown(case)
        else:
            seen, columns = "Two patients, A and B, mixed into one", _mixed(case)
        _draw_block(block, case, seen, columns)
    with atomic_write(path) as temporary:
        figure.savefig(temporary, dpi=100)


def _draw_block(block: SubFigure, case: SyntheticCase, seen: str, columns: Sequence[_Column]) -> None:
    block.set_facecolor("black")
    width, height = _BLOCK_INCHES
    block.suptitle(seen, color="white", fontsize=13, weight="bold", y=1 - 0.1 / height)
    facts = case.describe()
    who = f"{case.name}: recipient A is {facts['recipient']}, donor B is {', '.join(facts['donors'])}"
    block.text(0.5, 1 - 0.35 / height, who, color="white", fontsize=10, ha="center", va="top")
    edges = {"left": _SIDE_INCHES / width, "right": 1, "top": 1 - _HEAD_INCHES / height, "bottom": 0}
    axes = block.subplots(len(MODALITIES), _COLUMNS, gridspec_kw=edges | {"wspace": 0.02, "hspace": 0.02})
    for modality, row in zip(MODALITIES, axes, strict=True):
        window = _gray_range([column.slices[modality] for column in columns if column.colors == "gray"])
        row[0].set_ylabel(modality.title, color="white", fontsize=10)
        for axis, column in zip(row, columns, strict=True):
            axis.set(xticks=[], yticks=[], facecolor="black", anchor="N")  # titles stand on one height
            axis.spines[:].set_visible(False)
            if modality == MODALITIES[0]:
                axis.set_title(column.title, color="white", fontsize=9)
            if modality in case.subset:
                column.draw(axis, modality, window, modality == case.subset[0])
        if modality in case.subset:
            write_letters(row[0], "R", "L")
    draw_scale(axes[case.subset[0], 0], columns[0].slices.shape[1])
    _explain(axes, case.subset[0], columns)


def _explain(axes: np.ndarray, first: Modality, columns: Sequence[_Column]) -> None:
    """Legends of labels and of colors, where the column that is drawn once leaves room."""
    number = next(number for number, column in enumerate(columns) if column.once)
    for_labels, for_colors, *_ = (axes[row, number] for row in MODALITIES if row != first)
    names = [textwrap.fill(segment.name, _LEGEND_LETTERS) for segment in SEGMENTS]
    for_labels.legend(
        **legend_entries(names), loc="upper left", frameon=False, labelcolor="white", fontsize=8
    )
    colors = next((column.colors for column in columns if column.colors != "gray"), None)
    if colors is not None:
        bar = for_colors.inset_axes((0.1, 0.75, 0.8, 0.07))
        ends = np.linspace(0, 1, 256)[np.newaxis]
        bar.imshow(ends, cmap=colors, aspect="auto", extent=(0, 1, 0, 1))
        bar.set_xticks((0.1, 0.85), _ENDS[colors], color="white", fontsize=8)
        bar.set_yticks(())
        bar.set_title("difference", color="white", fontsize=8)


def _transplanted(case: TransplantedCase, options: SynthesisOptions) -> list[_Column]:
    # a tumor may lie outside the grid altogether; the middle slice shows then that nothing was added
    index = case.shape[0] // 2
    graft = case.grafts[0]
    shared = graft.shared(tuple(slice(0, size) for size in case.shape))
    if shared:
        index = shared[0][0].start + _fullest(graft.label(shared[1]))
    before, _ = _slice(case.recipient, index)
    after, classes = _slice(case, index)
    before[np.isin(MODALITIES, case.subset, invert=True)] = 0
    colors = "magma" if options.difference == "absolute" else "RdBu_r"
    return [
        _Column("recipient A\n$X_A$", before),
        _Column(_TITLES[options.difference], _donor_slice(graft.tumor, options), colors),
        _Column("of that, what lies\nin B's tumor\n$T_B = D_B\\,[Y_B > 0]$", after - before, colors),
        _Column("synthetic image:\nA with B's tumor\n$X_{AB} = X_A + T_B$", after),
        _Column("its labels\n$Y_{AB}$", after, classes=classes, once=True),
    ]


def _mixed(case: MixedCase) -> list[_Column]:
    _, label = case.crop((0, 0, 0), case.shape)
    index = _fullest(torch.from_numpy(label))
    offset = centered(case.shape, case.donor.shape)
    place = (index - offset[0], -offset[1], -offset[2])
    donor, _ = case.donor.crop(place, (1, *case.shape[1:]))
    before, _ = _slice(case.recipient, index)
    after, classes = _slice(case, index)
    return [
        _Column("recipient A\n$X_A$", before),
        _Column("donor B\n$X_B$", donor[:, 0]),
        _Column(f"share of B\n${1 - case.share:.2f}\\, X_B$", (1 - case.share) * donor[:, 0]),
        _Column(f"synthetic image\n${case.share:.2f}\\, X_A + {1 - case.share:.2f}\\, X_B$", after),
        _Column("its labels\n$Y_{AB} = Y_A$", after, classes=classes, once=True),
    ]


def _grown(case: GrownTumorCase) -> list[_Column]:
    _, label = case.crop((0, 0, 0), case.shape)
    index = _fullest(torch.from_numpy(label))
    before, own = _slice(case.recipient, index)
    healed, _ = case.healed_crop((index, 0, 0), (1, *case.shape[1:]))
    after, classes = _slice(case, index)
    real = case.look
    _, theirs = real.crop((0, 0, 0), real.shape)
    compared, _ = _slice(real, _fullest(torch.from_numpy(theirs)))
    return [
        _Column("recipient A\n$X_A$", before, classes=own),
        _Column("A healed", healed[:, 0]),
        _Column("tumor grown in A", after),
        _Column("its labels", after, classes=classes, once=True),
        _Column(f"real, to compare:\n{real.name}", compared),
    ]


def _donor_slice(tumor: CachedTumor, options: SynthesisOptions) -> np.ndarray:
    """D_B (C, h, w) in the donor's slice with most tumor."""
    _, height, width = tumor.donor.shape
    index = tumor.start[0] + _fullest(tumor.label(tumor.box))
    box = (slice(index, index + 1), slice(0, height), slice(0, width))
    return tumor.donor_error_map(options.difference, box)[:, 0]


def _slice(case: CachedCase | SyntheticCase, index: int) -> tuple[np.ndarray, np.ndarray]:
    """Axial slice: image (C, h, w), label (h, w)."""
    image, label = case.crop((index, 0, 0), (1, *case.shape[1:]))
    return image[:, 0], label[0]


def _gray_range(slices: Sequence[np.ndarray]) -> tuple[float, float]:
    """Values shown black and white, the same for all images of a row."""
    inside = np.concatenate([picture[picture != 0] for picture in slices])  # 0 is background
    return tuple(np.percentile(inside, (0.5, 99.5)).tolist()) if len(inside) else (0.0, 1.0)


def _fullest(label: torch.Tensor) -> int:
    """The axial slice with most tumor."""
    return int((label > 0).sum(dim=(1, 2)).argmax())
