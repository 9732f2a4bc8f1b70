"""A synthetic patient as a scanner gives him: skull on, each sequence on its own grid, moved in between."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from ..core.modalities import MODALITIES, Modality
from .acquisition import Acquisition, acquire, label_on
from .head import put_into_head
from .patient import grow_patient, patient_folder, write_volumes

_LARGEST_SHIFT_MM, _LARGEST_ANGLE = 8.0, 6.0
"""Of a patient between two sequences who lies still but for one adjustment of his head."""

_PLANNED: Mapping[Modality, tuple[str, tuple[float, float, float]]] = {
    Modality.FLAIR: ("axial", (0.9, 0.9, 5.0)),
    Modality.T1CE: ("sagittal", (1.0, 1.0, 1.0)),
    Modality.T1: ("axial", (0.9, 0.9, 5.5)),
    Modality.T2: ("coronal", (0.9, 0.9, 4.0)),
}
"""Plane, and spacing of columns, rows and slices in mm: what protocols in hospitals commonly ask for."""


@dataclass(frozen=True)
class RawPatient:
    """A patient with everything that is true of him.

    Attributes:
        volumes: int16, each on a grid of its own.
        label: uint8 classes 0..3 on the grid of FLAIR.
        acquisitions: how each was taken; FLAIR was the first, before the patient moved.
    """

    volumes: Mapping[Modality, sitk.Image]
    label: sitk.Image
    acquisitions: Mapping[Modality, Acquisition]


def plan_acquisitions(seed: int) -> dict[Modality, Acquisition]:
    """How each sequence of the patient of a seed is taken."""
    random = np.random.default_rng([seed, 4])
    planned = {}
    for modality in MODALITIES:
        plane, spacing = _PLANNED[modality]
        still = modality is Modality.FLAIR
        shift, angles = (
            (0.0, 0.0, 0.0) if still else tuple(random.uniform(-most, most, 3).tolist())
            for most in (_LARGEST_SHIFT_MM, _LARGEST_ANGLE)
        )
        planned[modality] = Acquisition(plane, spacing, shift, angles)
    return planned


def take_raw(
    volumes: Mapping[Modality, sitk.Image],
    label: sitk.Image,
    acquisitions: Mapping[Modality, Acquisition],
    seed: int,
) -> RawPatient:
    """A stripped patient as if he had been scanned anew, with his head on.

    Args:
        volumes: registered, skull-stripped, on one fine grid; of the first the patient has not moved.
        label: classes in the patient's space.
        acquisitions: how, for each of the volumes.
        seed: of head, coil and noise.
    """
    heads = put_into_head(volumes, seed)
    taken = {m: acquire(head, acquisitions[m], (seed, 5, int(m))) for m, head in heads.items()}
    return RawPatient(taken, label_on(label, next(iter(taken.values()))), acquisitions)


def grow_raw_patient(seed: int, spacing: float = 1.0) -> RawPatient:
    """Grow a patient with a glioma, skull on.

    Args:
        seed: which patient; the brain and its tumor are those of :func:`.patient.grow_patient`.
        spacing: of the voxels that the brain is grown in, mm.

    Raises:
        OptionError: no seed.
    """
    shape = tuple(round(length / spacing) for length in (176, 208, 168))
    volumes, label = grow_patient(seed, shape, (spacing,) * 3)
    return take_raw(volumes, label, plan_acquisitions(seed), seed)


def write_raw_patient(folder: Path, seed: int) -> Path:
    """Grow a raw patient into ``folder/patient_<seed>_raw/{flair,t1ce,t1,t2,seg}.nii.gz``.

    The label (BraTS 2021 numbers) lies on the grid of FLAIR.

    Returns:
        The patient's folder.

    Raises:
        OptionError: the folder cannot be made, or no seed.
        ImageError: a volume cannot be written; there is none of this patient then.
    """
    with patient_folder(folder, seed, "_raw") as target:
        patient = grow_raw_patient(seed)
        write_volumes(target, patient.volumes, patient.label)
    return target
