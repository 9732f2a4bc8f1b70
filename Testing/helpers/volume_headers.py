"""Files of a noisy head whose headers state whatever a test wants."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path

import numpy as np

SHAPE = (20, 18, 16)
"""Along x, y, z."""

SPACING = 6.0
"""Millimeters, in all directions, of a sound header."""

MATRIX = "1 0 0 0 1 0 0 0 1"

_NIFTI_FIELDS = {
    "dim": (40, "8h"),
    "datatype": (70, "2h"),
    "pixdim": (76, "8f"),
    "vox_offset": (108, "f"),
    "scaling": (112, "2f"),
    "xyzt_units": (123, "B"),
    "codes": (252, "2h"),
    "quaternion": (256, "6f"),
    "sform": (280, "12f"),
    "magic": (344, "4s"),
}


def head(seed: int = 0) -> np.ndarray:
    """(x, y, z) int16: a noisy ellipsoid of about 350 cm³ at 6 mm, in air."""
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, count) for count in SHAPE), indexing="ij")
    noise = np.random.default_rng(seed).normal(500, 60, SHAPE)
    return np.where(x * x + y * y + z * z < 0.7, noise, 0).astype(np.int16)


def affine(spacing: float = SPACING, place: tuple[float, ...] = (-50, -40, 30)) -> np.ndarray:
    """(4, 4) from voxels to RAS without rotation."""
    matrix = np.diag([spacing, spacing, spacing, 1.0])
    matrix[:3, 3] = place
    return matrix


def write_nifti(
    path: Path,
    sform: np.ndarray | None = None,
    order: str = "<",
    array: np.ndarray | None = None,
    **fields: tuple[float, ...],
) -> Path:
    """A NIfTI-1 file, a qform code of 0 and an sform code of 1 unless ``fields`` say otherwise."""
    array = head() if array is None else array
    sform = affine() if sform is None else sform
    kinds = {"int16": (4, 16), "float32": (16, 32), "float64": (64, 64)}
    values: Mapping[str, tuple[float, ...]] = {
        "dim": (3, *array.shape, 1, 1, 1, 1),
        "datatype": kinds[array.dtype.name],
        "pixdim": (1, SPACING, SPACING, SPACING, 0, 0, 0, 0),
        "vox_offset": (352,),
        "scaling": (1, 0),
        "xyzt_units": (2,),
        "codes": (0, 1),
        "quaternion": (0, 0, 0, *sform[:3, 3]),
        "sform": tuple(sform[:3].ravel()),
        "magic": (b"n+1\0",),
    }
    raw = bytearray(352)
    struct.pack_into(f"{order}i", raw, 0, 348)
    for name, value in {**values, **fields}.items():
        at, form = _NIFTI_FIELDS[name]
        struct.pack_into(order + form, raw, at, *value)
    data = array.astype(array.dtype.newbyteorder(order)).tobytes(order="F")
    path.write_bytes(bytes(raw) + data)
    return path


def write_nrrd(path: Path, *lines: str, sizes: str = "20 18 16", array: np.ndarray | None = None) -> Path:
    """A NRRD file with these lines about its geometry."""
    array = head() if array is None else array
    header = ["NRRD0005", f"dimension: {len(sizes.split())}", f"sizes: {sizes}", *lines]
    header += ["type: int16", "endian: little", "encoding: raw", "", ""]
    path.write_bytes("\n".join(header).encode() + array.tobytes(order="F"))
    return path


def write_metaimage(path: Path, *lines: str, sizes: str = "20 18 16") -> Path:
    """A MetaImage file with these lines about its geometry."""
    header = ["ObjectType = Image", f"NDims = {len(sizes.split())}", "BinaryData = True", *lines]
    header += ["BinaryDataByteOrderMSB = False", f"DimSize = {sizes}", "ElementType = MET_SHORT"]
    path.write_bytes("\n".join([*header, "ElementDataFile = LOCAL\n"]).encode() + head().tobytes(order="F"))
    return path
