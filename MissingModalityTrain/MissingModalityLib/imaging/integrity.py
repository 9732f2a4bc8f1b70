"""Whether a volume's file is whole, before ITK reads it.

ITK reads a truncated NIfTI file without complaint and leaves the rest of the volume as it was in memory; of a
truncated MetaImage it prints to the terminal. So the bytes are counted here, and the checksums of compressed
files verified.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..core.errors import ImageError
from ..core.files import IMAGE_SUFFIXES, image_suffix
from .float_voxels import FloatVoxels
from .grid import RAS_TO_LPS

_CHUNK = 1 << 20
"""Bytes read at a time: whole volumes need not fit into memory twice."""

_INFLATE_CHUNK = 1 << 16
"""Compressed bytes at a time; zeros inflate a thousandfold."""

_LONGEST_METAIMAGE_HEADER = 1 << 14
"""Bytes; a text of some twenty short lines."""

_MOST_NEIGHBORS = 6
"""Files that a message names: one case's volumes, label and a spare one."""

_GZIP_MAGIC = b"\x1f\x8b"

_ELEMENT_BYTES = {
    "CHAR": 1,
    "UCHAR": 1,
    "SHORT": 2,
    "USHORT": 2,
    "INT": 4,
    "UINT": 4,
    "LONG": 4,
    "ULONG": 4,
    "LONG_LONG": 8,
    "ULONG_LONG": 8,
    "FLOAT": 4,
    "DOUBLE": 8,
}
"""Bytes per value of MetaImage's element types, which are named MET_CHAR and so on."""


def nifti_matrix(path: Path) -> np.ndarray | None:
    """A NIfTI file's sform (3, 3): voxel axes as columns, mm, LPS; None without one and for other files."""
    rows = _nifti_header(path).rows if image_suffix(path) in (".nii", ".nii.gz") else None
    return None if rows is None else RAS_TO_LPS @ rows


def check_file(path: Path) -> None:
    """Refuse a path that is no complete volume file.

    Raises:
        ImageError: absent (with what the folder holds instead), a folder, not readable, empty, truncated,
            damaged, or not of the format that its name claims.
    """
    if path.is_dir():
        raise ImageError(
            f"{path} is a folder, not a volume. Name one file; a DICOM series is loaded in Slicer or "
            "converted to NIfTI first (for instance with dcm2niix)."
        )
    if not path.exists():
        raise ImageError(f"{path} does not exist.{_suggestion(path)}")
    suffix = image_suffix(path)
    if not suffix:
        raise ImageError(
            f"{path} is no volume by its name. Give a file ending in {', '.join(IMAGE_SUFFIXES)}."
        )
    try:
        size = path.stat().st_size
        with path.open("rb") as stream:
            start = stream.read(2)
    except OSError as error:
        raise ImageError(f"{path} cannot be opened ({error.strerror}). Check its permissions.") from error
    if size == 0:
        raise ImageError(f"{path} is an empty file (0 bytes). Copy it again from its source.")
    if suffix == ".nii" and start == _GZIP_MAGIC:
        raise ImageError(f"{path} is compressed but not named so. Rename it to {path.name}.gz.")
    if suffix in (".nii", ".nii.gz"):
        _check_nifti_length(path)
    elif suffix in (".mha", ".mhd"):
        _check_metaimage_length(path)


def _suggestion(path: Path) -> str:
    """What an absent file may have been meant to be."""
    parent = path.parent
    if not parent.is_dir():
        return f" Its folder {parent} does not exist either; check the path."
    stem = path.name[: len(path.name) - len(image_suffix(path))].lower()
    images = sorted(entry.name for entry in parent.iterdir() if image_suffix(entry) and entry.name[0] != ".")
    near = [name for name in images if stem and name.lower().startswith(stem)] or images
    if not near:
        return f" The folder {parent} holds no volume; check the path."
    more = ", ..." if len(near) > _MOST_NEIGHBORS else ""
    return f" The folder {parent} holds {', '.join(near[:_MOST_NEIGHBORS])}{more}."


@dataclass(frozen=True)
class _NiftiHeader:
    """The few header fields that tell the file's length and its axes (NIfTI-1 and NIfTI-2 standards)."""

    shape: tuple[int, ...]
    bits: int
    offset: int
    rows: np.ndarray | None
    """(3, 3) sform matrix: columns are the voxel axes in mm (RAS); None without a usable sform."""

    @property
    def length(self) -> int:
        """Bytes of the whole file, uncompressed."""
        return self.offset + math.prod(self.shape) * self.bits // 8


def _nifti_header(path: Path) -> _NiftiHeader:
    """Parse the header.

    Raises:
        ImageError: this is no NIfTI file.
    """
    with _stream(path) as stream:
        raw = stream.read(540)  # the longer header, that of NIfTI-2
    parsed = _parse_nifti(raw)
    if parsed is None:
        raise ImageError(
            f"{path} is no NIfTI image (it may be text, a web page or another format). Copy it again from "
            "its source."
        )
    return parsed


def _parse_nifti(raw: bytes) -> _NiftiHeader | None:
    # either byte order, NIfTI-1 and NIfTI-2: where dimensions, bits per voxel, data offset, sform code and
    # sform stand, in bytes from the start
    for order in "<>":
        for size, first, dim, bits, offset, code, rows in (
            (348, 40, "8h", (72, "h"), (108, "f"), (254, "h"), (280, "12f")),
            (540, 16, "8q", (14, "h"), (168, "q"), (348, "i"), (400, "12d")),
        ):
            if len(raw) < size or struct.unpack_from(f"{order}i", raw)[0] != size:
                continue
            count, *shape = struct.unpack_from(order + dim, raw, first)
            if not 1 <= count <= 7:
                continue
            values = [struct.unpack_from(order + form, raw, at)[0] for at, form in (bits, offset, code)]
            matrix = np.reshape(struct.unpack_from(order + rows[1], raw, rows[0]), (3, 4))[:, :3]
            usable = values[2] > 0 and np.isfinite(matrix).all() and np.linalg.norm(matrix, axis=0).all()
            return _NiftiHeader(tuple(shape[:count]), values[0], int(values[1]), matrix if usable else None)
    return None


@contextmanager
def _stream(path: Path) -> Iterator[gzip.GzipFile]:
    """The bytes of a .nii or .nii.gz file, whichever it really is.

    Raises:
        ImageError: compressed data that is damaged or ends early.
    """
    with path.open("rb") as raw:
        compressed = raw.read(2) == _GZIP_MAGIC
    try:
        with gzip.open(path, "rb") if compressed else path.open("rb") as stream:
            yield stream
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ImageError(f"{path} is truncated or damaged ({error}). Copy or download it again.") from error


def _check_nifti_length(path: Path) -> None:
    expected = _nifti_header(path).length
    found, voxels = 0, None
    with _stream(path) as stream:
        while chunk := stream.read(_CHUNK):
            found += len(chunk)
            voxels = voxels or FloatVoxels.of(path, chunk)
            voxels.look(chunk)
    if found < expected:
        raise ImageError(
            f"{path} is truncated: {found} bytes of image data where its header announces {expected}. "
            "Copy or download it again."
        )
    if voxels:
        voxels.check(path)


def _check_metaimage_length(path: Path) -> None:
    """Count the bytes of the voxels, in the file itself or in the one that its header names."""
    with path.open("rb") as stream:
        fields, local_start = _metaimage_header(stream.read(_LONGEST_METAIMAGE_HEADER))
    try:
        source = fields["ElementDataFile"]
        expected = _metaimage_length(fields)
        # -1 means that the voxels are the last bytes of the file
        own_header = max(0, int(fields.get("HeaderSize", "0")))
    except (KeyError, ValueError) as error:
        raise ImageError(
            f"{path} cannot be read: it is no MetaImage, or its header is damaged or cut off. Copy it again "
            "from its source."
        ) from error
    if source.upper().startswith("LIST") or "%" in source:
        return  # one file per slice
    local = source.upper() == "LOCAL"
    data, start = (path, local_start) if local else (path.parent / source, own_header)
    name = str(path) if local else f"{path}: its data file {data}"
    if not data.is_file():
        raise ImageError(f"{name} does not exist. Put both files into one folder.")
    try:
        found = _inflated(data, start) if _says_yes(fields, "CompressedData") else data.stat().st_size - start
    except OSError as error:
        raise ImageError(f"{name} cannot be opened ({error.strerror}). Check its permissions.") from error
    except (EOFError, zlib.error) as error:
        raise ImageError(f"{name} is truncated or damaged ({error}). Copy or download it again.") from error
    if expected is not None and found < expected:
        raise ImageError(
            f"{name} is truncated: {max(0, found)} bytes of image data where the header announces "
            f"{expected}. Copy or download it again."
        )


def _metaimage_header(raw: bytes) -> tuple[dict[str, str], int]:
    """Fields of a MetaImage header and where it ends; the line ElementDataFile is the last."""
    fields: dict[str, str] = {}
    end = 0
    for line in raw.splitlines(keepends=True):
        end += len(line)
        key, equals, value = line.decode("latin-1").partition("=")
        if equals:
            fields[key.strip()] = value.strip()
        if key.strip() == "ElementDataFile":
            break
    return fields, end


def _metaimage_length(fields: Mapping[str, str]) -> int | None:
    """Bytes that the uncompressed voxels take; None where the header does not tell, as for numbers in text.

    Raises:
        KeyError, ValueError: the header lacks the size or has words for numbers.
    """
    voxels = math.prod(map(int, fields["DimSize"].split()))
    channels = int(fields.get("ElementNumberOfChannels", "1"))
    kind = fields.get("ElementType", "").removeprefix("MET_").removesuffix("_ARRAY")
    if kind not in _ELEMENT_BYTES or not _says_yes(fields, "BinaryData"):
        return None
    return voxels * channels * _ELEMENT_BYTES[kind]


def _says_yes(fields: Mapping[str, str], key: str) -> bool:
    return fields.get(key, "")[:1] in ("T", "t", "1")


def _inflated(path: Path, start: int) -> int:
    """Bytes that a zlib or gzip stream unpacks to.

    Raises:
        EOFError: it ends early.
        zlib.error: it is damaged.
    """
    inflate, found = zlib.decompressobj(wbits=32 + zlib.MAX_WBITS), 0
    with path.open("rb") as stream:
        stream.seek(start)
        while not inflate.eof:
            chunk = stream.read(_INFLATE_CHUNK)
            if not chunk:
                raise EOFError("the compressed data ends early")
            found += len(inflate.decompress(chunk))
    return found
