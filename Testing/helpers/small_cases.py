"""Cases of a few thousand voxels: a brain, mostly with a tumor, and some or all modalities."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from MissingModalityLib.datasets.discovery import find_cases
from MissingModalityLib.imaging.cache import CachedCase, cache_case
from small_patient import brain_volume

ALL = ("flair", "t1ce", "t1", "t2")
PATIENTS = {
    "patient_a": ((26, 24, 22), ALL, (6, 8, 4)),
    "patient_b": ((25, 29, 20), ALL, (9, 14, 13)),
    "patient_c": ((23, 24, 26), ("flair", "t1ce"), (12, 9, 12)),
    "patient_d": ((26, 22, 24), ALL, None),
}
"""Size (x, y, z), modalities, and first voxel (z, y, x) of the tumor."""


def write_patients(folder: Path, names: Iterable[str] = PATIENTS) -> Path:
    """Cases on disk in the layout of BraTS 2021."""
    for seed, name in enumerate(PATIENTS):
        if name not in names:
            continue
        size, modalities, tumor = PATIENTS[name]
        target = folder / name
        target.mkdir(parents=True)
        images = [
            brain_volume(10 * seed + number, size=size, spacing=(1.0, 1.0, 1.0))
            for number in range(len(modalities))
        ]
        for modality, image in zip(modalities, images, strict=True):
            sitk.WriteImage(image, str(target / f"{name}_{modality}.nii.gz"))
        array = np.zeros(tuple(reversed(size)), np.uint8)
        if tumor:
            z, y, x = tumor
            array[z : z + 6, y : y + 7, x : x + 5] = 2
            array[z + 1 : z + 5, y + 1 : y + 5, x + 1 : x + 4] = 4
            array[z + 2 : z + 4, y + 2 : y + 4, x + 2 : x + 3] = 1
        label = sitk.GetImageFromArray(array)
        label.CopyInformation(images[0])
        sitk.WriteImage(label, str(target / f"{name}_seg.nii.gz"))
    return folder


def prepared_patients(folder: Path, names: Iterable[str] = PATIENTS) -> list[CachedCase]:
    """:func:`write_patients`, prepared in ``folder/prepared``, sorted by name."""
    found = find_cases(write_patients(folder / "data", names))
    return [cache_case(case, folder / "prepared") for case in found.cases]
