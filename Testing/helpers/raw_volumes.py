"""Volume files put together byte by byte, so that any field of their headers can lie."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

SHAPE = (11, 10, 9)
"""x, y, z."""

_NIFTI_FIELDS = {
    "sizeof_hdr": (0, "i", (348,)),
    "dim": (40, "8h", (3, *SHAPE, 1, 1, 1, 1)),
    "datatype": (70, "h", (4,)),
    "bitpix": (72, "h", (16,)),
    "pixdim": (76, "8f", (1, 2, 2, 2, 1, 1, 1, 1)),
    "vox_offset": (108, "f", (352,)),
    "scl_slope": (112, "f", (1,)),
    "xyzt_units": (123, "B", (2,)),
    "sform_code": (254, "h", (1,)),
    "sform": (280, "12f", (2, 0, 0, 0, 0, 2, 0, 0, 0, 0, 2, 0)),
    "magic": (344, "4s", (b"n+1\0",)),
}

_NIFTI2_FIELDS = {
    "sizeof_hdr": (0, "i", (540,)),
    "magic": (4, "8s", (b"n+2\0\r\n\x1a\n",)),
    "datatype": (12, "h", (4,)),
    "bitpix": (14, "h", (16,)),
    "dim": (16, "8q", (3, *SHAPE, 1, 1, 1, 1)),
    "pixdim": (104, "8d", (1, 2, 2, 2, 1, 1, 1, 1)),
    "vox_offset": (168, "q", (544,)),
    "scl_slope": (176, "d", (1,)),
    "sform_code": (348, "i", (1,)),
    "sform": (400, "12d", (2, 0, 0, 0, 0, 2, 0, 0, 0, 0, 2, 0)),
    "xyzt_units": (500, "i", (2,)),
}

METAIMAGE_FIELDS = {
    "ObjectType": "Image",
    "NDims": "3",
    "BinaryData": "True",
    "BinaryDataByteOrderMSB": "False",
    "CompressedData": "False",
    "ElementSpacing": "2 2 2",
    "DimSize": "11 10 9",
    "ElementType": "MET_SHORT",
    "ElementDataFile": "LOCAL",
}

NRRD_FIELDS = {
    "type": "short",
    "dimension": "3",
    "space": "left-posterior-superior",
    "sizes": "11 10 9",
    "space directions": "(2,0,0) (0,2,0) (0,0,2)",
    "endian": "little",
    "encoding": "raw",
    "space origin": "(0,0,0)",
}


@dataclass(frozen=True)
class Attack:
    """A malformed volume, or a sound one that looks like it.

    Attributes:
        name: what is wrong.
        files: content by name; the first one is given to the reader.
        message: a part of the one message, as a regular expression; empty where the volume is sound.
    """

    name: str
    files: Mapping[str, bytes]
    message: str = ""
    links: Mapping[str, str] = field(default_factory=dict)

    def write(self, folder: Path) -> Path:
        """Write the files, and links by name; the path to give to the reader."""
        for name, content in self.files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
        for name, target in self.links.items():
            (folder / name).symlink_to(target)
        return folder / next(iter(self.files))


def voxels() -> np.ndarray:
    """int16 noise (z, y, x), the voxels of all files."""
    return np.random.default_rng(0).integers(-5, 1000, SHAPE[::-1]).astype("<i2")


DATA = voxels().tobytes()


def nifti(data: bytes = DATA, order: str = "<", **fields: object) -> bytes:
    """A .nii file; fields as a value or a tuple."""
    return _header(352, _NIFTI_FIELDS, order, fields) + data


def nifti2(data: bytes = DATA, order: str = "<", **fields: object) -> bytes:
    """A .nii file of the second version."""
    return _header(544, _NIFTI2_FIELDS, order, fields) + data


def _header(
    length: int, kinds: Mapping[str, tuple[int, str, tuple]], order: str, fields: Mapping[str, object]
) -> bytes:
    raw = bytearray(length)
    for name, (at, kind, default) in kinds.items():
        value = fields.get(name, default)
        struct.pack_into(order + kind, raw, at, *(value if isinstance(value, tuple) else (value,)))
    return bytes(raw)


def packed_nifti(data: bytes = DATA, **fields: object) -> bytes:
    """A .nii.gz file."""
    return gzip.compress(nifti(data, **fields))


def metaimage(data: bytes = DATA, **fields: str | None) -> bytes:
    """A .mha file; a field that is None is left out, ElementDataFile stays the last."""
    stated = {**METAIMAGE_FIELDS, **fields}
    last = {"ElementDataFile": stated.pop("ElementDataFile")}
    lines = [f"{key} = {value}\n" for key, value in {**stated, **last}.items() if value is not None]
    return "".join(lines).encode("latin-1") + data


def nrrd(data: bytes = DATA, fields: Mapping[str, str | None] | None = None, end: str = "\n") -> bytes:
    """A .nrrd file; a field that is None is left out."""
    stated = {**NRRD_FIELDS, **(fields or {})}
    lines = [f"{key}: {value}\n" for key, value in stated.items() if value is not None]
    return ("NRRD0004\n" + "".join(lines) + end).encode("latin-1") + data
