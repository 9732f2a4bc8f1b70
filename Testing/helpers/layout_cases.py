"""Small cases as the layouts of data sets name their files, and what is read of them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from MissingModalityLib.core.modalities import MODALITIES, Modality
from MissingModalityLib.datasets.case import Case, CaseListing
from MissingModalityLib.datasets.discovery import find_cases

FLAIR, T1CE, T1, T2 = MODALITIES


SHAPE = (9, 10, 11)  # z, y, x


LEVEL = {FLAIR: 1000, T1CE: 2000, T1: 3000, T2: 4000}


NAMES_2021 = {FLAIR: "flair", T1CE: "t1ce", T1: "t1", T2: "t2"}


NAMES_2023 = {FLAIR: "t2f", T1CE: "t1c", T1: "t1n", T2: "t2w"}


def volume(modality: Modality) -> np.ndarray:
    """Noise around a level that tells the modality."""
    return (np.random.default_rng(modality).integers(0, 500, SHAPE) + LEVEL[modality]).astype(np.int16)


def label(*values: float) -> np.ndarray:
    """A map that holds 0 and each of the values in one plane of its own."""
    array = np.zeros(SHAPE, np.float32 if any(value % 1 for value in values) else np.uint8)
    for plane, value in enumerate(values):
        array[plane + 1] = value
    return array


def save(path: Path, array: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = sitk.GetImageFromArray(array)
    image.SetSpacing((1, 1, 2))
    sitk.WriteImage(image, str(path))
    return path


def save_case(
    folder: Path,
    names: dict[Modality, str],
    pattern: str,
    values: Iterable[float] = (),
    subset: Iterable[Modality] = MODALITIES,
) -> None:
    for modality in subset:
        save(folder / pattern.format(names[modality]), volume(modality))
    if values:
        save(folder / pattern.format("seg"), label(*values))


def save_decathlon(root: Path, order: tuple[Modality, ...] = (FLAIR, T1, T1CE, T2)) -> None:
    titles = {FLAIR: "FLAIR", T1: "T1w", T1CE: "t1gd", T2: "T2w"}
    for folder, name in (("imagesTr", "BRATS_001"), ("imagesTr", "BRATS_002"), ("imagesTs", "BRATS_485")):
        parts = [sitk.GetImageFromArray(volume(modality)) for modality in order]
        (root / folder).mkdir(parents=True, exist_ok=True)
        sitk.WriteImage(sitk.JoinSeries(parts), str(root / folder / f"{name}.nii.gz"))
    save(root / "labelsTr" / "BRATS_001.nii.gz", label(1, 2, 3))
    description = {
        "modality": {str(index): titles[modality] for index, modality in enumerate(order)},
        "labels": {"0": "background", "1": "edema", "2": "non-enhancing tumor", "3": "enhancing tumour"},
    }
    (root / "dataset.json").write_text(json.dumps(description))


def only_case(folder: Path, convention: str | None = None) -> Case:
    (case,) = find_cases(folder, convention).cases
    return case


def reasons(listing: CaseListing) -> dict[str, str]:
    return {entry.path.name: entry.reason for entry in listing.skipped}
