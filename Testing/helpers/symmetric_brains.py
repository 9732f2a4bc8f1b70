"""Symmetric brains of 5 cm with a tumor of three classes, to heal and to grow tumors in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK as sitk

from MissingModalityLib.core.labels import TumorClass, from_classes
from MissingModalityLib.datasets.discovery import find_cases
from MissingModalityLib.imaging.cache import CachedCase, cache_case

SHAPE = (44, 56, 50)
"""Of the volumes along z, y, x."""

CONTRAST = {
    TumorClass.NCR: (60, -90, -70, 130),
    TumorClass.ED: (110, -30, -30, 90),
    TumorClass.ET: (90, 190, 10, 80),
}
"""Of each class to normal tissue in FLAIR, T1ce, T1 and T2; the tissue varies by 20."""


def tumor_label(center: tuple[float, float, float], size: float = 1.0) -> np.ndarray:
    """Edema around a rim around necrosis; center (z, y, x) in voxels."""
    axes = np.indices(SHAPE, dtype=float)
    distance = np.sqrt(sum((axis - middle) ** 2 for axis, middle in zip(axes, center, strict=True))) / size
    classes = (TumorClass.NCR, TumorClass.ET, TumorClass.ED)
    return np.select([distance < 4, distance < 6, distance < 9], classes, 0).astype(np.uint8)


def write_brain(folder: Path, name: str, seed: int, label: np.ndarray, names: tuple[str, ...]) -> None:
    """A symmetric brain of noisy tissue with a fluid-filled ventricle on each side, and a tumor."""
    random = np.random.default_rng(seed)
    z, y, x = np.meshgrid(*(np.linspace(-1, 1, size) for size in SHAPE), indexing="ij")
    brain = x * x + y * y + z * z < 0.85
    # folds that differ from front to back and from top to bottom, the same on both sides
    folds = 25 * np.sin(7 * y + 9 * np.abs(x)) * np.cos(6 * z)
    fluid = (np.abs(x) - 0.16) ** 2 / 0.01 + y * y / 0.12 + z * z / 0.06 < 1
    (folder / name).mkdir(parents=True)
    for channel, file in enumerate(("flair", "t1ce", "t1", "t2")):
        if file not in names:
            continue
        volume = 500 + folds + random.normal(0, 20, SHAPE)
        volume[fluid] += 250 if file == "t2" else -250
        for cls, contrast in CONTRAST.items():
            volume[label == cls] = 500 + contrast[channel] + random.normal(0, 15, (label == cls).sum())
        image = sitk.GetImageFromArray(np.where(brain, volume, 0).astype(np.float32))
        sitk.WriteImage(image, str(folder / name / f"{name}_{file}.nii.gz"))
    values = from_classes(np.where(brain, label, 0).astype(np.uint8), "brats2021")
    sitk.WriteImage(sitk.GetImageFromArray(values), str(folder / name / f"{name}_seg.nii.gz"))


LEFT, RIGHT = (22, 28, 36), (24, 24, 13)
ALL = ("flair", "t1ce", "t1", "t2")
BRAINS: dict[str, tuple[np.ndarray, tuple[str, ...]]] = {
    "brain_a": (tumor_label(LEFT), ALL),
    "brain_b": (tumor_label(RIGHT, 0.9), ALL),
    "brain_c": (tumor_label((20, 34, 37)), ("flair", "t1ce")),
    "brain_d": (np.maximum(tumor_label(LEFT, 0.8), tumor_label((22, 28, 13), 0.8)), ALL),
    "brain_e": (np.zeros(SHAPE, np.uint8), ALL),
}
"""Labels and sequences; d has tumors on both sides, e none."""


def prepared_brains(folder: Path) -> list[CachedCase]:
    """All of :data:`BRAINS`, prepared in ``folder/prepared``, sorted by name."""
    for seed, (name, (label, names)) in enumerate(BRAINS.items()):
        write_brain(folder / "data", name, seed, label, names)
    return [cache_case(case, folder / "prepared") for case in find_cases(folder / "data").cases]


def write_archive(path: Path) -> Path:
    """Label maps of four patients in the volume of BraTS, at 4 mm, as a .npz."""
    coarse = np.zeros((4, 60, 60, 39), np.uint8)
    for number, center in enumerate(((38, 30, 20), (22, 34, 19), (37, 38, 16), (23, 24, 22))):
        axes = np.indices(coarse[0].shape)
        distance = np.sqrt(sum((axis - middle) ** 2 for axis, middle in zip(axes, center, strict=True)))
        coarse[number] = np.select([distance < 2, distance < 4, distance < 7], [1, 4, 2], 0)
    names = np.array([f"patient_{number}" for number in range(len(coarse))])
    np.savez_compressed(path, seg=coarse, patient=names, spacing=np.full(3, 4.0))
    return path
