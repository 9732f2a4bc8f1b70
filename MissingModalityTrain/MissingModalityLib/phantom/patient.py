"""A whole synthetic patient: parameters drawn from a seed, then rendered on any grid."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from ..core.errors import OptionError
from ..core.files import explain_write_errors, leaving_no_empty_folder, remove_stale_temporaries
from ..core.labels import TumorClass, from_classes
from ..core.modalities import Modality
from ..core.seeding import check_seed
from ..imaging.volume_set import write_images
from .anatomy import AnatomyParameters, tissues
from .contrast import ContrastParameters, render
from .random_fields import Points
from .tumor import TumorParameters, tumor_shares

CENTER_MM = np.array([119.5, -119.5, 77.0])
"""Middle of the brain in the patient's space (LPS): the middle of a BraTS volume."""

_HALF_EXTENT_MM = np.array([82.0, 100.0, 84.0])
"""Half the box that surely holds a brain."""


@dataclass(frozen=True)
class PatientParameters:
    """Everything random about a patient, so that he can be rendered again on another grid."""

    anatomy: AnatomyParameters
    contrast: ContrastParameters
    tumor: TumorParameters | None

    @classmethod
    def sample(cls, seed: int, tumor: bool = True) -> PatientParameters:
        """The patient of a seed; with and without tumor it is the same brain and scanner."""
        # a stream for each part: a brain stays the same when another part draws more, or is not there
        streams = [np.random.default_rng([seed, number]) for number in range(3)]
        return cls(
            AnatomyParameters.sample(streams[0]),
            ContrastParameters.sample(streams[1]),
            TumorParameters.sample(streams[2]) if tumor else None,
        )


def grow_patient(
    seed: int,
    shape: tuple[int, int, int] = (155, 240, 240),
    spacing: tuple[float, float, float] = (1.0, 1.0, 1.0),
    tumor: bool = True,
) -> tuple[dict[Modality, sitk.Image], sitk.Image]:
    """Grow a skull-stripped brain with a glioma.

    Args:
        seed: which patient; bit-identical for the same seed and grid, the same patient on another grid.
        shape: (z, y, x) voxels; the default grid is that of BraTS.
        spacing: (z, y, x) mm.
        tumor: False for a healthy brain.

    Returns:
        The four int16 volumes (background exactly 0) and the label map, uint8 classes 0..3, on one LPS grid
        whose middle is the middle of the brain.

    Raises:
        OptionError: no three positive sizes or spacings, or no seed.
    """
    check_seed(seed)
    if not (_is_triple(shape, Integral) and _is_triple(spacing, Real)):
        raise OptionError(
            f"A patient of {shape} voxels of {spacing} mm cannot be grown. Give three positive whole numbers "
            "of voxels and three positive sizes in mm."
        )
    parameters = PatientParameters.sample(seed, tumor)
    box, points = _brain_box(shape, spacing)
    volumes = {modality: np.zeros(shape, np.int16) for modality in Modality}
    label = np.zeros(shape, np.uint8)
    rendered, label[box] = _render(parameters, points, spacing)
    for modality, volume in rendered.items():
        volumes[modality][box] = volume
    return {m: _image(volume, spacing) for m, volume in volumes.items()}, _image(label, spacing)


def write_patient(folder: Path, seed: int, **options: object) -> Path:
    """Grow a patient into ``folder/patient_<seed>/{flair,t1ce,t1,t2,seg}.nii.gz`` (BraTS 2021 labels).

    Args:
        folder: made if needed.
        seed, options: as in :func:`grow_patient`.

    Returns:
        The patient's folder.

    Raises:
        OptionError: the folder cannot be made, or no seed.
        ImageError: a volume cannot be written; there is none of this patient then.
    """
    with patient_folder(folder, seed) as target:
        write_volumes(target, *grow_patient(seed, **options))
    return target


@contextmanager
def patient_folder(folder: Path, seed: int, suffix: str = "") -> Iterator[Path]:
    """``folder/patient_<seed><suffix>``, made if needed; gone again where the block fails.

    Raises:
        OptionError: it cannot be made, or no seed.
    """
    target = Path(folder) / f"patient_{check_seed(seed):04d}{suffix}"
    with leaving_no_empty_folder(target):
        # before the patient is grown, which takes a while
        with explain_write_errors(target, "Choose a folder you can write to.", OptionError):
            target.mkdir(parents=True, exist_ok=True)
            remove_stale_temporaries(target)
        yield target


def write_volumes(target: Path, volumes: Mapping[Modality, sitk.Image], label: sitk.Image) -> None:
    """``target/{flair,t1ce,t1,t2,seg}.nii.gz``; ``label``, classes 0..3, in BraTS 2021 numbers."""
    numbers = sitk.GetImageFromArray(from_classes(sitk.GetArrayViewFromImage(label), "brats2021"))
    numbers.CopyInformation(label)
    images = {modality.name.lower(): volume for modality, volume in volumes.items()} | {"seg": numbers}
    write_images({target / f"{name}.nii.gz": image for name, image in images.items()})


def _is_triple(values: Any, kind: type) -> bool:
    """Whether these are three positive finite numbers of a kind."""
    if not isinstance(values, (tuple, list, np.ndarray)) or len(values) != 3:
        return False
    return all(isinstance(value, kind) and 0 < value < np.inf for value in values)


def _render(
    parameters: PatientParameters, points: Points, spacing: tuple[float, float, float]
) -> tuple[dict[Modality, np.ndarray], np.ndarray]:
    voxel = float(np.cbrt(np.prod(spacing)))
    tumor = parameters.tumor
    # the anatomy is asked where each point lay before the tumor pushed it
    tissue = tissues(tumor.displacement(points) if tumor else points, parameters.anatomy, voxel)
    brain = tissue.pop("brain")
    inside = brain > 0.5
    shares = dict(tissue)
    label = np.zeros(brain.shape, np.uint8)
    if tumor:
        parts = tumor_shares(points, tumor, tissue | {"brain": brain}, voxel)
        healthy = 1 - sum(parts.values())
        shares = {name: share * healthy for name, share in shares.items()} | parts
        stacked = np.stack([healthy, *(parts[cls.name.lower()] for cls in TumorClass if cls)])
        label = np.where(inside, stacked.argmax(0), TumorClass.BACKGROUND).astype(np.uint8)
    # soft rims of the head darken as in a stripped volume; inside, every voxel is filled
    return render(shares, inside, points, parameters.contrast, spacing), label


def _brain_box(
    shape: tuple[int, int, int], spacing: tuple[float, float, float]
) -> tuple[tuple[slice, ...], Points]:
    """The part of the grid around the brain, and its patient coordinates x, y, z (arrays that broadcast)."""
    box, axes = [], []
    for size, step, margin in zip(shape, spacing, _HALF_EXTENT_MM[::-1], strict=True):
        positions = (np.arange(size) - (size - 1) / 2) * step
        inside = np.flatnonzero(np.abs(positions) <= margin)
        start, stop = (int(inside[0]), int(inside[-1]) + 1) if len(inside) else (0, size)
        box.append(slice(start, stop))
        axes.append(positions[start:stop].astype(np.float32))
    z, y, x = np.meshgrid(*axes, indexing="ij", sparse=True)
    return tuple(box), (x, y, z)


def _image(array: np.ndarray, spacing: tuple[float, float, float]) -> sitk.Image:
    image = sitk.GetImageFromArray(array)
    image.SetSpacing([float(step) for step in reversed(spacing)])
    half = (np.array(array.shape[::-1]) - 1) / 2 * np.array(spacing[::-1])
    image.SetOrigin([float(value) for value in CENTER_MM - half])
    return image
