"""The pictures of the synthetic patients in Slicer's Sample Data module: four sequences of each."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from MissingModalityLib.core.modalities import Modality
from MissingModalityLib.phantom.patient import grow_patient
from MissingModalityLib.phantom.raw_patient import grow_raw_patient

SIZE = (130, 140)
"""Of one of the four tiles, in pixels."""

PIXEL_MM = 1.7
"""Such that a head fits into a tile."""

BRIGHTEST = 99.7
"""Percentile of a tile's values that is white."""


def main(folder: Path, stripped: str, raw: str, seed: int) -> None:
    """Write both pictures.

    Args:
        folder: for them.
        stripped: name of the sample without skull.
        raw: name of the sample with skull.
        seed: of both patients.
    """
    volumes, label = grow_patient(seed)
    write_icon(folder / f"{stripped}.png", volumes, label)
    patient = grow_raw_patient(seed)
    write_icon(folder / f"{raw}.png", patient.volumes, patient.label)


def write_icon(path: Path, volumes: Mapping[Modality, sitk.Image], label: sitk.Image) -> None:
    """Write a PNG: FLAIR and T1ce above T1 and T2, in the axial plane through the middle of the tumor."""
    inside = np.argwhere(sitk.GetArrayViewFromImage(label)).mean(axis=0)[::-1]
    middle = label.TransformContinuousIndexToPhysicalPoint([(size - 1) / 2 for size in label.GetSize()])
    height = label.TransformContinuousIndexToPhysicalPoint(inside.tolist())[2]
    plane = sitk.Image(*SIZE, 1, sitk.sitkFloat32)
    plane.SetSpacing((PIXEL_MM, PIXEL_MM, 1))
    left_upper = [at - PIXEL_MM * (size - 1) / 2 for at, size in zip(middle, SIZE, strict=False)]
    plane.SetOrigin((*left_upper, height))
    tiles = [_shades(sitk.Resample(volumes[modality], plane)) for modality in Modality]
    sitk.WriteImage(sitk.GetImageFromArray(np.block([tiles[:2], tiles[2:]])), str(path))
    print(path, flush=True)


def _shades(tile: sitk.Image) -> np.ndarray:
    array = sitk.GetArrayFromImage(tile)[0].astype(float)
    return (255 * np.clip(array / np.percentile(array, BRIGHTEST), 0, 1)).astype(np.uint8)
