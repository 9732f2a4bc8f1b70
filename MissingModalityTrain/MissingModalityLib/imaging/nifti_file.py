"""NIfTI files in one piece (.nii, .nii.gz): what their header states, and whether the file holds it.

Source of the fields: nifti1.h of the NIfTI Data Format Working Group, 2004; those of NIfTI-2 are brought to
their places by :mod:`.nifti2_file`.
"""

from __future__ import annotations

import math
import struct
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core.errors import ImageError
from .file_bytes import check_count, check_gzip, count_values, gunzipped, opened
from .float_voxels import FloatVoxels
from .nifti2_file import HEADER_BYTES as _SECOND_VERSION_BYTES
from .nifti2_file import first_version, write_first_version

SUFFIXES = (".nii", ".nii.gz")

_GZIP_MAGIC = b"\x1f\x8b"

_HEADER_BYTES = 348
_FIRST_VOXEL = 352
"""Bytes: the header and four that say whether extensions follow. In a single file no voxel lies before."""

_CHUNK = 1 << 20
"""Bytes read at a time: whole volumes need not fit into memory twice."""

_FIELDS = {
    "dim": (40, "8h"),
    "datatype": (70, "h"),
    "bitpix": (72, "h"),
    "vox_offset": (108, "f"),
    "magic": (344, "4s"),
}
"""Where fields stand, bytes from the start, and their kind as :mod:`struct` writes it."""

_VALUE_BYTES = {
    2: 1,
    4: 2,
    8: 4,
    16: 4,
    32: 8,
    64: 8,
    128: 3,
    256: 1,
    512: 2,
    768: 4,
    1024: 8,
    1280: 8,
    1536: 16,
    1792: 16,
    2048: 32,
    2304: 4,
}
"""Bytes per voxel of each datatype; 1, single bits, is read by nobody."""


@dataclass(frozen=True)
class NiftiHeader:
    """The few header fields that tell the file's length.

    Attributes:
        shape: voxels along each direction.
        voxel_bytes: of one voxel, by the datatype.
        offset: of the first voxel, bytes from the start of the uncompressed file.
    """

    shape: tuple[int, ...]
    voxel_bytes: int
    offset: int

    @property
    def length(self) -> int:
        """Bytes of the whole file, uncompressed."""
        return self.offset + math.prod(self.shape) * self.voxel_bytes


def nifti_header(path: Path) -> NiftiHeader:
    """Parse the header.

    Raises:
        ImageError: this is no NIfTI image in one file, or its fields contradict each other.
    """
    order, raw = raw_header(path)
    fields = {name: struct.unpack_from(order + kind, raw, at) for name, (at, kind) in _FIELDS.items()}
    _check_kind(path, fields["magic"][0])
    count, *sizes = fields["dim"]
    if not 1 <= count <= len(sizes):
        raise ImageError(f"{path}: its header announces {count} dimensions. Copy it again from its source.")
    count_values(str(path), sizes[:count])
    return NiftiHeader(
        tuple(sizes[:count]),
        _voxel_bytes(path, fields),
        _offset(path, fields),
    )


def raw_header(path: Path) -> tuple[str, bytes]:
    """The byte order, as :mod:`struct` writes it, and the bytes of the header, of NIfTI-2 as of NIfTI-1.

    Raises:
        ImageError: this is no NIfTI image, or one of NIfTI-2 that is damaged or a pair.
    """
    raw = _start(path)
    order = _byte_order(raw)
    if order is None:
        raise ImageError(
            f"{path} is no NIfTI image (it may be text, a web page or another format). Copy it again from "
            "its source."
        )
    if _is_second(order, raw):
        return order, first_version(path, order, raw)
    return order, raw[:_HEADER_BYTES]


@contextmanager
def readable_nifti(path: Path) -> Iterator[Path]:
    """A file that ITK reads: itself, or of NIfTI-2 a temporary one of NIfTI-1.

    Raises:
        ImageError: as :func:`nifti_header`.
    """
    raw = _start(path)
    order = _byte_order(raw)
    if order is None or not _is_second(order, raw):
        yield path
        return
    header = nifti_header(path)
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "volume.nii"
        with closing(_pieces(path)) as pieces:
            write_first_version(
                copy, first_version(path, order, raw), order, pieces, range(header.offset, header.length)
            )
        yield copy


def check_nifti(path: Path) -> int:
    """Hold the header against the bytes that are there.

    Returns:
        Bytes of the image as the header announces them, all present.

    Raises:
        ImageError: as :func:`nifti_header`; or truncated, damaged, or far longer than announced.
    """
    header = nifti_header(path)
    voxels = FloatVoxels.of(path, *raw_header(path))
    if _is_compressed(path):
        check_gzip(str(path), path, 0, header.length, voxels.look)
    else:
        check_count(str(path), path.stat().st_size, header.length)
        with path.open("rb") as stream:
            for chunk in iter(lambda: stream.read(_CHUNK), b""):
                voxels.look(chunk)
    voxels.check(path)
    return header.length


def _is_compressed(path: Path) -> bool:
    with path.open("rb") as raw:
        return raw.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC


def _start(path: Path) -> bytes:
    """The first bytes of a .nii or .nii.gz file, whichever it really is; all of a header that is whole."""
    raw = b""
    with closing(_pieces(path)) as pieces:
        for piece in pieces:
            raw += piece
            if len(raw) >= _SECOND_VERSION_BYTES:
                break
    return raw[:_SECOND_VERSION_BYTES]


def _pieces(path: Path) -> Iterator[bytes]:
    """The bytes of a .nii or .nii.gz file, whichever it really is."""
    with opened(str(path), path) as stream:
        if _is_compressed(path):
            yield from gunzipped(stream)
        else:
            yield from iter(lambda: stream.read(_CHUNK), b"")


def _byte_order(raw: bytes) -> str | None:
    """Of struct; None where the header is none."""
    if len(raw) < _HEADER_BYTES:
        return None
    known = (_HEADER_BYTES, _SECOND_VERSION_BYTES)
    return next((order for order in "<>" if struct.unpack_from(f"{order}i", raw)[0] in known), None)


def _is_second(order: str, raw: bytes) -> bool:
    return struct.unpack_from(f"{order}i", raw)[0] == _SECOND_VERSION_BYTES


def _check_kind(path: Path, magic: bytes) -> None:
    if magic == b"ni1\0":
        what = "is the header of a pair (.hdr and .img) under another name"
    elif magic != b"n+1\0":
        what = "is ANALYZE 7.5, which does not tell left from right"
    else:
        return
    raise ImageError(f"{path} {what}. Save the volume as NIfTI-1 in one file (.nii or .nii.gz).")


def _voxel_bytes(path: Path, fields: dict[str, tuple[Any, ...]]) -> int:
    datatype, bits = fields["datatype"][0], fields["bitpix"][0]
    size = _VALUE_BYTES.get(datatype)
    if size is None:
        raise ImageError(
            f"{path}: its header names the datatype {datatype}, which is none that is read. Save the volume "
            "with whole numbers of 16 bits or as float32."
        )
    if bits != 8 * size:
        raise ImageError(
            f"{path}: its header contradicts itself: datatype {datatype} has {8 * size} bits per voxel, but "
            f"bitpix says {bits}. Export the volume again."
        )
    return size


def _offset(path: Path, fields: dict[str, tuple[Any, ...]]) -> int:
    offset = fields["vox_offset"][0]
    if not math.isfinite(offset) or offset != int(offset) or offset < _FIRST_VOXEL:
        raise ImageError(
            f"{path}: by its header the voxels begin at byte {offset:g} (vox_offset); in a single file they "
            f"begin at byte {_FIRST_VOXEL} or later, and read from elsewhere the image would be shifted. "
            "Save the volume again with a current program."
        )
    return int(offset)
