"""Cases of a few thousand voxels on disk: a brain, mostly with a tumor, and some or all modalities."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from MissingModalityLib.core.modalities import MODALITIES, Modality
from MissingModalityLib.datasets.discovery import find_cases
from MissingModalityLib.imaging.cache import CachedCase, cache_case
from small_patient import brain_volume

ALL = ("flair", "t1ce", "t1", "t2")
BOTH = (Modality.FLAIR, Modality.T1CE)
PATIENTS = {
    "patient_a": ((26, 24, 22), ALL, (6, 8, 4)),
    "patient_b": ((25, 29, 20), ALL, (9, 14, 13)),
    "patient_c": ((23, 24, 26), ("flair", "t1ce"), (12, 9, 12)),
    "patient_d": ((26, 22, 24), ALL, None),
}
"""Size (x, y, z), modalities, and first voxel (z, y, x) of the tumor."""

SHELL_SHAPE = (16, 34, 38)
"""Of a case of :func:`write_shell_case`, along z, y, x."""


def write_block_case(
    folder: Path, names: Iterable[str] = ("flair", "t1ce"), label: bool = True, patient: int = 0
) -> Path:
    """A case with a block of each class in the middle of its brain, voxels of 1 mm; patients differ."""
    images = {
        name: brain_volume(10 * patient + seed, spacing=(1.0, 1.0, 1.0)) for seed, name in enumerate(names)
    }
    array = np.zeros(sitk.GetArrayViewFromImage(next(iter(images.values()))).shape, np.uint8)
    array[8:14, 8:14, 8:14] = 2
    array[9:12, 9:12, 9:12] = 1
    array[10, 10, 10] = 4
    return _write_case(folder, images, array if label else None)


def write_shell_case(
    folder: Path,
    modalities: Iterable[Modality] = MODALITIES,
    seed: int = 0,
    enhancing: bool = True,
    orientation: str = "LPS",
    label: bool = True,
) -> Path:
    """A ball-shaped brain with a tumor of three shells, voxels of 1 x 1 x 2 mm.

    Args:
        folder: to make.
        modalities: that the case has.
        seed: of the noise.
        enhancing: whether the innermost shell is enhancing tumor; else it is necrosis, as the next one.
        orientation: of the label map as it is stored.
        label: whether there is a label map.
    """
    rng = np.random.default_rng(seed)
    z, y, x = np.indices(SHELL_SHAPE)
    distance = np.hypot(np.hypot((z - 8) * 2, y - 17), x - 19)
    tumor = np.hypot(np.hypot((z - 9) * 2, y - 14), x - 23)
    shells = np.select([tumor < 3, tumor < 5, tumor < 8], [1, 4 if enhancing else 1, 2]).astype(np.uint8)
    images = {}
    for modality in modalities:
        signal = 300 + 40 * int(modality) * (shells > 0) + 30 * shells + rng.normal(0, 10, SHELL_SHAPE)
        image = sitk.GetImageFromArray(np.where(distance < 15, signal, 0).astype(np.int16))
        image.SetSpacing((1.0, 1.0, 2.0))
        image.SetOrigin((-20.0, 5.0, 30.0))
        images[modality.name.lower()] = image
    return _write_case(folder, images, np.where(distance < 15, shells, 0) if label else None, orientation)


def write_block_cases(folder: Path) -> Path:
    """Three labeled cases of blocks, one of which lacks modalities, and one without label."""
    write_block_case(folder / "patient_a", ALL)
    write_block_case(folder / "patient_b", ALL, patient=1)
    write_block_case(folder / "patient_c", ("flair", "t1ce"), patient=2)
    write_block_case(folder / "patient_d", ALL, label=False, patient=3)
    return folder


def write_patients(folder: Path, names: Iterable[str] = PATIENTS, first_seed: int = 0) -> Path:
    """Cases of :data:`PATIENTS`, in the layout of BraTS 2021; of another first seed, of other people."""
    for seed, name in enumerate(PATIENTS, first_seed):
        if name not in names:
            continue
        size, modalities, tumor = PATIENTS[name]
        images = {
            modality: brain_volume(10 * seed + number, size=size, spacing=(1.0, 1.0, 1.0))
            for number, modality in enumerate(modalities)
        }
        array = np.zeros(tuple(reversed(size)), np.uint8)
        if tumor:
            z, y, x = tumor
            array[z : z + 6, y : y + 7, x : x + 5] = 2
            array[z + 1 : z + 5, y + 1 : y + 5, x + 1 : x + 4] = 4
            array[z + 2 : z + 4, y + 2 : y + 4, x + 2 : x + 3] = 1
        _write_case(folder / name, images, array, prefix=f"{name}_")
    return folder


def prepared_patients(folder: Path, names: Iterable[str] = PATIENTS) -> list[CachedCase]:
    """:func:`write_patients`, prepared in ``folder/prepared``, sorted by name."""
    found = find_cases(write_patients(folder / "data", names))
    return [cache_case(case, folder / "prepared") for case in found.cases]


def _write_case(
    folder: Path,
    images: Mapping[str, sitk.Image],
    label: np.ndarray | None,
    orientation: str = "LPS",
    prefix: str = "",
) -> Path:
    """Volumes and, where given, a label map (z, y, x) on the grid of the first of them."""
    folder.mkdir(parents=True)
    for name, image in images.items():
        sitk.WriteImage(image, str(folder / f"{prefix}{name}.nii.gz"))
    if label is not None:
        image = sitk.GetImageFromArray(label)
        image.CopyInformation(next(iter(images.values())))
        sitk.WriteImage(sitk.DICOMOrient(image, orientation), str(folder / f"{prefix}seg.nii.gz"))
    return folder
