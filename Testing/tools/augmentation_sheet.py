"""A contact sheet of augmentation, to judge by eye whether a level looks like what clinics send.

    python Testing/tools/augmentation_sheet.py CASES --output sheet.png
    python Testing/tools/augmentation_sheet.py CASES --case NAME --levels clinical --draws 12 --plane sagittal

One case of a folder, its brain box: the first column as it is, the others drawn; a block of rows for each
level, a row for each modality. Slices run through the largest area of the tumor, outlined in the last row, as
the label has it. Gray levels are those of each slice, 0 is black.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor
from torch.utils.data import default_collate

from MissingModalityLib.core.modalities import MODALITIES
from MissingModalityLib.datasets.discovery import find_cases
from MissingModalityLib.imaging.cache import cache_case
from MissingModalityLib.training.augmentation import AUGMENTATIONS, apply, draw

_PLANES = {"axial": 0, "coronal": 1, "sagittal": 2}
"""Name of a plane -> the axis that it is perpendicular to."""
_INCHES = 1.7


def main(arguments: Sequence[str] | None = None) -> int:
    options = _options(arguments)
    image, label = _case(options.cases, options.case)
    columns = options.draws + 1
    figure = Figure(
        (columns * _INCHES, len(options.levels) * len(MODALITIES) * _INCHES),
        facecolor="black",
        layout="compressed",
    )
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(options.levels) * len(MODALITIES), columns, squeeze=False)
    for row, level in enumerate(options.levels):
        block = axes[row * len(MODALITIES) : (row + 1) * len(MODALITIES)].T
        for number, column in enumerate(block):
            drawn = _draw(level, options.seed, number) if number else {}
            title = f"{level} {number}" if number else "as it is"
            _show(column, *apply(image, label, drawn), _PLANES[options.plane], title)
    figure.savefig(options.output, dpi=80)
    print(options.output)
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("cases", type=Path, help="folder of cases")
    parser.add_argument("--case", help="name of the case; default the first one")
    parser.add_argument("--levels", nargs="+", choices=AUGMENTATIONS, default=["strong", "clinical"])
    parser.add_argument("--draws", type=int, default=9, help="of each level (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--plane", choices=_PLANES, default="axial")
    parser.add_argument("--output", type=Path, default=Path("augmentation.png"))
    return parser.parse_args(arguments)


def _case(folder: Path, name: str | None) -> tuple[Tensor, Tensor]:
    """Whole brain box, as a batch of one."""
    cases = find_cases(folder).cases
    chosen = next((case for case in cases if name in (None, case.name)), None)
    if chosen is None:
        sys.exit(f"{folder}: no case {name or ''}. There are: {', '.join(case.name for case in cases)}")
    with tempfile.TemporaryDirectory() as prepared:
        case = cache_case(chosen, Path(prepared))
        image, label = case.crop((0, 0, 0), case.shape)
    return torch.from_numpy(image)[None], torch.from_numpy(label)[None]


def _draw(level: str, seed: int, number: int) -> dict[str, Tensor]:
    return default_collate([draw(level, np.random.default_rng((seed, number)))])


def _show(column: Sequence, image: Tensor, label: Tensor, axis: int, title: str) -> None:
    tumor = (label[0] > 0).numpy()
    index = int(tumor.sum(axis=tuple({0, 1, 2} - {axis})).argmax())
    for modality, place in zip(MODALITIES, column, strict=True):
        picture = image[0, modality].numpy().take(index, axis)
        brain = picture[picture != 0]
        low, high = np.percentile(brain, (0.5, 99.5)) if len(brain) else (0, 1)
        place.imshow(np.where(picture == 0, low, picture), cmap="gray", vmin=low, vmax=high)
        place.invert_yaxis() if axis else None  # z grows to the top of the head
        place.axis("off")
    column[0].set_title(title, color="white", fontsize=8)
    column[-1].contour(tumor.take(index, axis), [0.5], colors="red", linewidths=0.6)


if __name__ == "__main__":
    sys.exit(main())
