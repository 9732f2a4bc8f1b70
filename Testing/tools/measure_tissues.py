"""Prints the tissue statistics behind MissingModalityLib/phantom/contrast.py.

    python Testing/tools/measure_tissues.py FOLDER_OF_CASES

For each labeled four-modality case: median intensity of cerebrospinal fluid, gray matter (k-means over FLAIR,
T1 and T2, away from the tumor; fluid eroded by a voxel against partial volume) and of the tumor classes,
relative to white matter. Then mean and standard deviation over the cases.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from scipy import ndimage
from scipy.cluster.vq import kmeans2

from MissingModalityLib.core.modalities import MODALITIES, Modality
from MissingModalityLib.datasets.case import Case
from MissingModalityLib.datasets.discovery import find_cases
from MissingModalityLib.imaging.reading import read_label, read_study

TISSUES = ("csf", "gray", "ncr", "ed", "et")
CLUSTERING = [Modality.T1, Modality.T2, Modality.FLAIR]
SEEDS = np.array([[8, 97, 5], [40, 65, 65], [80, 25, 35]])
"""Percentiles of T1, T2 and FLAIR that k-means starts from: fluid, gray matter, white matter."""


def measure(case: Case) -> dict[str, np.ndarray]:
    """Tissue -> median of FLAIR, T1ce, T1, T2 relative to white matter."""
    images = read_study(case).images
    volumes = np.stack([sitk.GetArrayFromImage(images[m]).astype(np.float32) for m in MODALITIES])
    label = sitk.GetArrayFromImage(read_label(case))
    brain = ndimage.binary_erosion((volumes > 0).all(axis=0), iterations=2)
    healthy = brain & ~ndimage.binary_dilation(label > 0, iterations=6)
    features = volumes[CLUSTERING][:, healthy].T
    features = features / features.std(axis=0)
    start = np.array([np.percentile(column, row) for column, row in zip(features.T, SEEDS.T, strict=True)]).T
    clusters = np.full(label.shape, -1)
    clusters[healthy] = kmeans2(features, start, minit="matrix")[1]
    white = np.median(volumes[:, clusters == 2], axis=1)
    masks = {
        "csf": ndimage.binary_erosion(clusters == 0),
        "gray": clusters == 1,
        **{name: label == cls for cls, name in ((1, "ncr"), (2, "ed"), (3, "et"))},
    }
    return {
        name: np.median(volumes[:, mask], axis=1) / white for name, mask in masks.items() if mask.sum() > 500
    }


def main(folder: Path) -> None:
    cases = [case for case in find_cases(folder).cases if case.label and len(case.images) == 4]
    measured = [measure(case) for case in cases]
    print(f"{len(cases)} cases; median / white matter in {', '.join(m.title for m in MODALITIES)}")
    for name in TISSUES:
        rows = np.array([result[name] for result in measured if name in result])
        print(f"{name:5s} mean {rows.mean(axis=0).round(2)}  standard deviation {rows.std(axis=0).round(2)}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
