"""MetaImage files (.mha, .mhd): what their header states, and whether the voxels are all there.

Source of the fields: the MetaIO documentation of Kitware.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..core.errors import ImageError
from .detached_data import data_files, header_lines, numbered_names, whole_number
from .file_bytes import check_count, check_zlib, count_values, opened

SUFFIXES = (".mha", ".mhd")

_LONGEST_HEADER = 1 << 16
"""Bytes; a text of some twenty short lines."""

_FIELD = re.compile("([^=:]*)[=:](.*)")

_BYTE_ORDER = ("BinaryDataByteOrderMSB", "ElementByteOrderMSB")

_SCALING = {"ElementToIntensityFunctionSlope": 1.0, "ElementToIntensityFunctionOffset": 0.0}

_LOCAL = ("LOCAL", "Local", "local")

_VALUE_BYTES = {
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
"""Bytes per value of the element types, which are named MET_CHAR and so on."""


@dataclass(frozen=True)
class _Header:
    """Fields by name; where the header ends; and what follows it, for lists of files."""

    fields: Mapping[str, str]
    end: int
    following: tuple[str, ...]

    def says(self, key: str) -> bool:
        return self.fields.get(key, "")[:1] in ("T", "t", "1")

    def number(self, key: str, default: int) -> int:
        text = self.fields.get(key)
        return default if text is None else whole_number(text)


def check_metaimage(path: Path) -> int:
    """Hold the header against the bytes that are there, in the file itself or in those that it names.

    Returns:
        Bytes of the voxels as the header announces them, all present.

    Raises:
        ImageError: no MetaImage, fields that contradict each other, data truncated, damaged, far longer than
            announced or outside the header's folder.
    """
    try:
        header = _header(path)
        values = count_values(str(path), _sizes(header))
        names = _names(header)
        skip = header.number("HeaderSize", 0)
        if skip < -1:
            raise ValueError("HeaderSize")
        _check_byte_order(header)
        _check_scaling(header)
        packed = header.number("CompressedDataSize", 0)
        kind = header.fields["ElementType"].removeprefix("MET_").removesuffix("_ARRAY")
        announced = values * _VALUE_BYTES[kind]
    except (KeyError, ValueError) as error:
        raise ImageError(
            f"{path} cannot be read: it is no MetaImage, or its header is damaged or cut off ({error}). Copy "
            "it again from its source."
        ) from error
    local = names is None
    if local and skip > 0:
        raise ImageError(
            f"{path}: its header has a HeaderSize of {skip} beside voxels in the same file. "
            "Save the volume again."
        )
    if not header.says("BinaryData"):
        raise ImageError(
            f"{path}: voxels written as text (BinaryData = False) are not read. Save the volume as binary."
        )
    if header.says("CompressedData"):
        _check_compressed(path, header, names, skip, packed, announced)
    else:
        _check_raw(path, header, names, skip, announced)
    return announced


def metaimage_fields(path: Path) -> Mapping[str, str]:
    """Fields of the header by name.

    Raises:
        ValueError: it is no MetaImage header, or not a whole one.
    """
    return _header(path).fields


def _header(path: Path) -> _Header:
    with opened(str(path), path) as stream:
        return _parse(stream.read(_LONGEST_HEADER))


def _parse(raw: bytes) -> _Header:
    """Read lines up to ElementDataFile, which is the last.

    Raises:
        ValueError: a line that is no field, a field twice, or no end.
    """
    fields: dict[str, str] = {}
    lines = header_lines(raw)
    for line, end in lines:
        field = _FIELD.fullmatch(line)
        if not field:
            raise ValueError("a line without '='")
        key, value = map(str.strip, field.groups())
        if key in fields:
            raise ValueError(f"{key} stands there twice")
        fields[key] = value
        if key == "ElementDataFile":
            listed = value.split()[:1] == ["LIST"]
            names = (name.strip() for name, _ in lines) if listed else ()
            return _Header(fields, end, tuple(filter(None, names)))
    raise ValueError("ElementDataFile is missing")


def _sizes(header: _Header) -> list[int]:
    """Voxels along each direction, and the values per voxel."""
    sizes = [whole_number(word) for word in header.fields["DimSize"].split()]
    if len(sizes) != header.number("NDims", len(sizes)):
        raise ValueError("DimSize has not the NDims numbers")
    if header.fields.get("ObjectType", "Image") != "Image":
        raise ValueError("ObjectType is not Image")
    return [*sizes, header.number("ElementNumberOfChannels", 1)]


def _check_byte_order(header: _Header) -> None:
    """Raise ValueError where the two names that this field has say two things."""
    if len({header.says(key) for key in _BYTE_ORDER if key in header.fields}) > 1:
        raise ValueError(f"{' and '.join(_BYTE_ORDER)} contradict each other")


def _check_scaling(header: _Header) -> None:
    """Raise ValueError where other values are meant than are stored; readers give those that are stored."""
    for key, sound in _SCALING.items():
        if float(header.fields.get(key, sound)) != sound:
            raise ValueError(f"{key} is {header.fields[key]}, and scaled voxels are not read")


def _names(header: _Header) -> list[str] | None:
    """Of the data files; None where the voxels follow the header."""
    source = header.fields["ElementDataFile"]
    listed = source.split()[:1] == ["LIST"]
    if source in _LOCAL:
        return None
    if not listed and "%" not in source:
        return [source]
    names = list(header.following) if listed else numbered_names(source.split())
    if len(names) != whole_number(header.fields["DimSize"].split()[-1]):
        raise ValueError("not one data file for each slice")
    return names


def _check_raw(path: Path, header: _Header, names: list[str] | None, skip: int, announced: int) -> None:
    if names is None:
        check_count(str(path), path.stat().st_size - header.end, announced)
        return
    files = data_files(path, names)
    each = announced // len(files)
    for data in files:
        # -1 means that the voxels are the last bytes of the file
        found = data.stat().st_size - max(0, skip)
        name = f"{path}: its data file {data}"
        check_count(name, min(found, each) if skip == -1 else found, each)


def _check_compressed(
    path: Path, header: _Header, names: list[str] | None, skip: int, packed: int, announced: int
) -> None:
    if names is not None and len(names) != 1:
        raise ImageError(
            f"{path}: compressed slices in {len(names)} files are not read. Save it in one file."
        )
    data = path if names is None else data_files(path, names)[0]
    start = header.end if names is None else max(0, skip)
    name = str(path) if names is None else f"{path}: its data file {data}"
    there = data.stat().st_size - start
    if names is None and packed <= 0:
        raise ImageError(
            f"{path}: its header lacks CompressedDataSize, without which the header would be unpacked as if "
            "it were voxels. Save the volume again, uncompressed or with a current program."
        )
    if packed > there:
        raise ImageError(
            f"{name} is truncated: {there} bytes of compressed data where its header announces {packed}. "
            "Copy or download it again."
        )
    check_zlib(name, data, start, packed or there, announced)
