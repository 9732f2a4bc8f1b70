"""NIfTI-2 files as NIfTI-1, which ITK reads: the same fields in wider numbers at other places.

Source of the fields: nifti2.h of the NIfTI Data Format Working Group, 2011.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from ..core.errors import ImageError
from .file_bytes import explain_damage

HEADER_BYTES = 540
"""What the header begins with, and how long it is."""

FIRST_VERSION_BYTES = 348
"""The same of NIfTI-1."""

FIRST_VOXEL = 544
"""Bytes: the header and four that say whether extensions follow."""

_MAGIC, _MAGIC_OF_PAIR = b"n+2\0\r\n\x1a\n", b"ni2\0\r\n\x1a\n"
"""A transfer that changed ends of lines shows in it."""

_LARGEST_SIZE = 0x7FFF
"""Of a direction in NIfTI-1."""

# place and kind in NIfTI-2, place and kind in NIfTI-1
_FIELDS = (
    ((12, "2h"), (70, "2h")),  # datatype, bitpix
    ((16, "8q"), (40, "8h")),  # dim
    ((104, "8d"), (76, "8f")),  # pixdim
    ((168, "q"), (108, "f")),  # vox_offset
    ((176, "2d"), (112, "2f")),  # scl_slope, scl_inter
    ((344, "2i"), (252, "2h")),  # qform_code, sform_code
    ((352, "6d"), (256, "6f")),  # quaternion, offsets
    ((400, "12d"), (280, "12f")),  # sform
    ((500, "i"), (123, "B")),  # xyzt_units
    ((504, "i"), (68, "h")),  # intent_code
)
_SMALLEST, _LARGEST = {"h": -0x8000, "B": 0}, {"h": _LARGEST_SIZE, "B": 0xFF}


def first_version(path: Path, order: str, raw: bytes) -> bytes:
    """The header of a NIfTI-2 file as one of NIfTI-1, whose ``vox_offset`` is still that of the file.

    Args:
        path: for messages.
        order: of the bytes, as :mod:`struct` writes it.
        raw: the first 540 bytes.

    Returns:
        348 bytes in the same order.

    Raises:
        ImageError: it is cut off or damaged, that of a pair, has more than 32767 voxels along a direction, or
            its voxels begin inside the header.
    """
    magic = raw[4:12]
    if len(raw) < HEADER_BYTES or magic not in (_MAGIC, _MAGIC_OF_PAIR):
        raise ImageError(
            f"{path} begins like NIfTI-2, but its header is damaged or cut off. Copy it again from its "
            "source."
        )
    if magic == _MAGIC_OF_PAIR:
        raise ImageError(
            f"{path} is the header of a pair (.hdr and .img) under another name. Save the volume in one file "
            "(.nii or .nii.gz)."
        )
    header = bytearray(FIRST_VERSION_BYTES)
    struct.pack_into(f"{order}i", header, 0, FIRST_VERSION_BYTES)
    struct.pack_into("4s", header, 344, b"n+1\0")
    for (at, kind), (to, narrow) in _FIELDS:
        values = struct.unpack_from(order + kind, raw, at)
        struct.pack_into(order + narrow, header, to, *_narrowed(path, values, narrow[-1]))
    _check_offset(path, struct.unpack_from(f"{order}q", raw, 168)[0])
    return bytes(header)


def write_first_version(
    path: Path, header: bytes, order: str, pieces: Iterable[bytes], voxels: range
) -> None:
    """Write a NIfTI-1 file.

    Args:
        path: of the new file, uncompressed.
        header: from :func:`first_version`.
        order: of its bytes.
        pieces: of the NIfTI-2 file.
        voxels: which of its bytes are the voxels.
    """
    start = FIRST_VERSION_BYTES + 4  # no extensions
    placed = bytearray(header.ljust(start, b"\0"))
    struct.pack_into(f"{order}f", placed, 108, start)
    with explain_damage(str(path)), path.open("wb") as target:
        target.write(placed)
        at = 0
        for piece in pieces:
            target.write(piece[max(0, voxels.start - at) : max(0, voxels.stop - at)])
            at += len(piece)
            if at >= voxels.stop:
                break


def _narrowed(path: Path, values: tuple[float, ...], kind: str) -> list[float]:
    """Numbers as the narrower field can hold them; what is too large for float32 becomes infinite."""
    if kind == "f":
        with np.errstate(over="ignore"):
            return np.array(values, np.float64).astype(np.float32).tolist()
    if min(values) < _SMALLEST[kind] or max(values) > _LARGEST[kind]:
        raise ImageError(
            f"{path}: its NIfTI-2 header holds {max(values, key=abs)} where NIfTI-1 has room for numbers up "
            f"to {_LARGEST[kind]}; a head has fewer voxels. Export the volume again as NIfTI-1."
        )
    return list(values)


def _check_offset(path: Path, offset: int) -> None:
    if offset < FIRST_VOXEL:
        raise ImageError(
            f"{path}: by its header the voxels begin at byte {offset} (vox_offset); in a NIfTI-2 file they "
            f"begin at byte {FIRST_VOXEL} or later, and read from elsewhere the image would be shifted. Save "
            "the volume again with a current program."
        )
