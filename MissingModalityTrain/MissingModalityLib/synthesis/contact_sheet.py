"""A contact sheet of synthetic cases: what went in, what was taken over, what came out (AEM+KD, Fig. 4)."""

from __future__ import annotations

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
from .grown_case import GrownTumorCase
from .mixup import MixedCase
from .options import SynthesisOptions
from .synthetic_case import SyntheticCase
from .transplant import centered
from .transplanted_case import TransplantedCase
from .tumor_cache import CachedTumor

_COLUMNS = 5
_SIDE_INCHES, _HEAD_INCHES = 0.3, 0.55
# width and height of a block; an axial slice of a brain is higher than wide, about 1.85 to 1.5
_BLOCK_INCHES = (_SIDE_INCHES + _COLUMNS * 1.5, _HEAD_INCHES + len(MODALITIES) * 1.85)

_TITLES = {
    "absolute": "$D_B = |X_B - mirror(X_B)|$",
    "signed": "$D_B = X_B - mirror(X_B)$",
    "none": "$D_B = X_B$",
}
_COLORS = {segment.classes[0]: segment.unit_color for segment in SEGMENTS}


@dataclass(frozen=True)
class _Column:
    """One axial slice of every modality.

    Attributes:
        title: above the column.
        slices: (C, h, w), one of each modality.
        colors: "gray" for an image, "magma" for an amount, "RdBu_r" for one with a sign.
        classes: (h, w) labels to draw over the slices, or None.
    """

    title: str
    slices: np.ndarray
    colors: str = "gray"
    classes: np.ndarray | None = None

    def draw(self, axis: Axes, modality: Modality, window: tuple[float, float]) -> None:
        """Draw one slice; ``window``: values shown black and white where the column is an image."""
        picture = np.ma.masked_equal(self.slices[modality], 0)
        if self.colors != "gray":
            # a few voxels at the skull differ by far more than any tumor; they may saturate
            high = max(float(np.percentile(np.abs(picture.data), 99.8)), 1e-3)
            window = (0.0 if self.colors == "magma" else -high, high)
        axis.imshow(picture, cmap=self.colors, vmin=window[0], vmax=window[1])
        if self.classes is not None:
            tint = np.zeros((*self.classes.shape, len("RGBA")))
            for cls, color in _COLORS.items():
                tint[self.classes == cls] = (*color, 0.75)  # anatomy shows through
            axis.imshow(tint, interpolation="nearest")


def draw_contact_sheet(
    path: Path, cases: Sequence[SyntheticCase], options: SynthesisOptions | None = None
) -> None:
    """Write a PNG with a block for each case: a row per modality; columns X_A, D_B, T_B, X_AB, Y_AB.

    A block shows axial slices through the largest area of the (first) new tumor. D_B is a slice of the donor
    on his own grid; T_B is all that was added to the recipient. MixUp has the donor and his part instead, a
    grown tumor the healed recipient, the new image, its labels, and a training tumor to compare with.
    Modalities that the synthetic case lacks stay black.

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
            columns = _transplanted(case, options)
        else:
            columns = _grown(case) if isinstance(case, GrownTumorCase) else _mixed(case)
        _draw_block(block, case, columns)
    with atomic_write(path) as temporary:
        figure.savefig(temporary, dpi=100)


def _draw_block(block: SubFigure, case: SyntheticCase, columns: Sequence[_Column]) -> None:
    block.set_facecolor("black")
    facts = case.describe()
    block.suptitle(
        f"{case.name}: A = {facts['recipient']}, B = {', '.join(facts['donors'])}", color="white", fontsize=10
    )
    width, height = _BLOCK_INCHES
    edges = {"left": _SIDE_INCHES / width, "right": 1, "top": 1 - _HEAD_INCHES / height, "bottom": 0}
    axes = block.subplots(len(MODALITIES), _COLUMNS, gridspec_kw=edges | {"wspace": 0.02, "hspace": 0.02})
    for modality, row in zip(MODALITIES, axes, strict=True):
        window = _gray_range([column.slices[modality] for column in columns if column.colors == "gray"])
        row[0].set_ylabel(modality.title, color="white", fontsize=10)
        for axis, column in zip(row, columns, strict=True):
            axis.set(xticks=[], yticks=[], facecolor="black")
            axis.spines[:].set_visible(False)
            if row is axes[0]:
                axis.set_title(column.title, color="white", fontsize=9)
            if modality in case.subset:
                column.draw(axis, modality, window)


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
        _Column("$X_A$", before),
        _Column(_TITLES[options.difference], _donor_slice(graft.tumor, options), colors),
        _Column("$T_B = D_B\\,[Y_B > 0]$", after - before, colors),
        _Column("$X_{AB} = X_A + T_B$", after),
        _Column("$Y_{AB}$", after, classes=classes),
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
        _Column("$X_A$", before),
        _Column("$X_B$", donor[:, 0]),
        _Column(f"${1 - case.share:.2f}\\, X_B$", (1 - case.share) * donor[:, 0]),
        _Column(f"$X_{{AB}} = {case.share:.2f}\\, X_A + {1 - case.share:.2f}\\, X_B$", after),
        _Column("$Y_{AB} = Y_A$", after, classes=classes),
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
        _Column("$X_A$", before, classes=own),
        _Column("healed", healed[:, 0]),
        _Column("grown", after),
        _Column("its labels", after, classes=classes),
        _Column(f"real: {real.name}", compared),
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
