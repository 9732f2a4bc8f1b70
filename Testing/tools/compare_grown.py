"""Figures of real tumors beside grown ones: `compare_grown.py REAL GROWN --prepared FOLDER`.

REAL holds cases, GROWN what `synthesize --method grown` wrote of them. For each class and
sequence three figures, as mean and standard deviation over patients: the mean z-score, the spread of z-scores
inside a tumor, and the steepness of the class's border in z-scores per voxel.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy import ndimage

from MissingModalityLib.core.labels import TUMOR_CLASSES
from MissingModalityLib.core.modalities import MODALITIES
from MissingModalityLib.datasets.discovery import find_cases
from MissingModalityLib.imaging.cache import CachedCase, cache_case

LEAST_VOXELS = 300
"""Of a class in a patient that counts."""

FIGURES = ("mean", "spread", "border")
Figures = dict[tuple[str, str], np.ndarray]


def figures(case: CachedCase) -> Figures:
    """(class, sequence) -> the three of :data:`FIGURES`."""
    image, label = case.crop((0, 0, 0), case.shape)
    found = {}
    for cls in TUMOR_CLASSES:
        mask = label == cls
        if mask.sum() < LEAST_VOXELS:
            continue
        border = mask & ~ndimage.binary_erosion(mask)
        for modality in case.subset:
            volume = image[modality]
            steepness = np.mean(
                [np.abs(np.diff(volume, axis=axis, append=0))[border].mean() for axis in range(3)]
            )
            found[cls.name, modality.title] = np.array([volume[mask].mean(), volume[mask].std(), steepness])
    return found


def rows(real: list[Figures], grown: list[Figures]) -> Iterator[str]:
    """Lines of a table."""
    yield f"{'':12}" + "".join(f"{name:>30}" for name in FIGURES)
    for cls in TUMOR_CLASSES:
        for modality in MODALITIES:
            key = (cls.name, modality.title)
            cells = []
            for index in range(len(FIGURES)):
                parts = []
                for cases in (real, grown):
                    values = [found[key][index] for found in cases if key in found]
                    parts.append(f"{np.mean(values):.2f} ± {np.std(values):.2f}" if values else "-")
                cells.append(f"{parts[0]} | {parts[1]}".rjust(30))
            yield f"{key[0]:4} {key[1]:7}" + "".join(cells)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("real", type=Path, help="folder of labeled cases")
    parser.add_argument("grown", type=Path, help="folder that synthesize wrote")
    parser.add_argument("--prepared", type=Path, required=True, help="folder to keep prepared cases in")
    options = parser.parse_args()
    real, grown = (
        [
            figures(cache_case(case, options.prepared / folder.name))
            for case in find_cases(folder).labeled()[0]
        ]
        for folder in (options.real, options.grown)
    )
    print(f"real (n = {len(real)}) | grown (n = {len(grown)})")
    print("\n".join(rows(real, grown)))


if __name__ == "__main__":
    main()
