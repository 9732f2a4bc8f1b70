"""What a volume holds, as a hash: files with the same voxels are one volume, whatever they are called."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np
import SimpleITK as sitk

from ..core.modalities import Modality
from ..datasets.patients import LABEL_KEY
from .boxes import tightest_box
from .grid import ORIENTATION

_CHUNK = 64
"""Slices that are brought to one kind of number at a time, so that no second copy of a volume is made."""


def voxels_sha256(image: sitk.Image, placed: bool = False) -> str:
    """SHA-256 of a volume's voxels, hexadecimal.

    The same for the same voxels in another kind of file, compression, kind of number or order of the axes,
    and for a volume that has more or fewer zeros around it. Spacing and origin do not count.

    Args:
        image: 3-D scalar.
        placed: zeros around the voxels count, for label maps, whose voxels of two patients can be alike.
    """
    if sitk.DICOMOrientImageFilter.GetOrientationFromDirectionCosines(image.GetDirection()) != ORIENTATION:
        image = sitk.DICOMOrient(image, ORIENTATION)
    array = sitk.GetArrayViewFromImage(image)
    box = tuple(slice(0, length) for length in array.shape) if placed else tightest_box(array != 0)
    part = array[box] if box else array[:0]
    kind = _kind(part)
    digest = hashlib.sha256(f"{kind} {part.shape}".encode())
    for start in range(0, len(part), _CHUNK):
        # adding 0 turns the float -0.0 into 0.0; both are the same number
        digest.update(np.ascontiguousarray(part[start : start + _CHUNK] + part.dtype.type(0), kind))
    return digest.hexdigest()


def volumes_sha256(images: Mapping[Modality, sitk.Image]) -> dict[str, str]:
    """:func:`voxels_sha256` by name of the sequence."""
    return {modality.name: voxels_sha256(image) for modality, image in images.items()}


def label_and_volumes_sha256(images: Mapping[Modality, sitk.Image], label: sitk.Image) -> dict[str, str]:
    """:func:`volumes_sha256` with that of the label map, which is of classes."""
    return {**volumes_sha256(images), LABEL_KEY: voxels_sha256(label, placed=True)}


def _kind(array: np.ndarray) -> str:
    """The kind of number to hash, the same for equal values: of whole numbers half as many bytes."""
    if not array.size:
        return "<i2"
    low, high = array.min(), array.max()
    limits = np.iinfo(np.int16)
    whole = array.dtype.kind in "iu" or (array == np.rint(array)).all()
    return "<i2" if whole and limits.min <= low and high <= limits.max else "<f4"
