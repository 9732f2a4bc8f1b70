"""NRRD files (.nrrd, .nhdr): what their header states, and whether the voxels are all there.

Source of the fields: "Definition of NRRD File Format" of the teem library, version 0001 to 0005.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ..core.errors import ImageError
from .detached_data import data_files, header_lines, numbered_names, whole_number
from .file_bytes import (
    MOST_SURPLUS,
    check_count,
    check_gzip,
    check_numbers,
    count_hexadecimal,
    count_values,
    opened,
)

SUFFIXES = (".nrrd", ".nhdr")

_LONGEST_HEADER = 1 << 20
"""Bytes; diffusion volumes list hundreds of gradients."""

_MAGIC = re.compile(r"NRRD000[1-5]")

_MOST_DIMENSIONS = 16

_VALUE_BYTES = {
    name: size
    for size, names in {
        1: "signed char, int8, int8_t, uchar, unsigned char, uint8, uint8_t",
        2: "short, short int, signed short, signed short int, int16, int16_t, ushort, unsigned short, "
        "unsigned short int, uint16, uint16_t",
        4: "int, signed int, int32, int32_t, uint, unsigned int, uint32, uint32_t, float",
        8: "longlong, long long, long long int, signed long long, signed long long int, int64, int64_t, "
        "ulonglong, unsigned long long, unsigned long long int, uint64, uint64_t, double",
    }.items()
    for name in names.split(", ")
}
"""Bytes per value of each name of a type; blocks of bytes are no numbers."""

_FLOATING = ("float", "double")

_ENCODINGS = {
    "raw": "raw",
    "txt": "text",
    "text": "text",
    "ascii": "text",
    "hex": "hex",
    "gz": "gzip",
    "gzip": "gzip",
}
"""bzip2 and zrl are not among them: ITK is built without."""

_SYNONYMS = {"datafile": "data file", "lineskip": "line skip", "byteskip": "byte skip"}


@dataclass(frozen=True)
class _Data:
    """How the voxels are stored: type, encoding, and what is skipped before them."""

    kind: str
    encoding: str
    lines: int
    bytes: int


def check_nrrd(path: Path) -> int:
    """Hold the header against the bytes that are there, in the file itself or in those that it names.

    Returns:
        Bytes of the voxels as the header announces them, all present.

    Raises:
        ImageError: no NRRD, fields that contradict each other, an encoding that is not read, data truncated,
            damaged, far longer than announced or outside the header's folder.
    """
    try:
        fields, names, end = _parse(_raw_header(path))
        values = count_values(str(path), _sizes(fields))
        size = _VALUE_BYTES[fields["type"].lower()]
        data = _storage(path, fields)
    except (KeyError, ValueError) as error:
        raise ImageError(
            f"{path} cannot be read: it is no NRRD file, or its header is damaged or cut off ({error}). Copy "
            "it again from its source."
        ) from error
    files = [path] if names is None else data_files(path, names)
    each, rest = divmod(values, len(files))
    if rest:
        raise ImageError(
            f"{path}: {len(files)} data files cannot share {values} values. Save it in one file."
        )
    for file in files:
        name = str(path) if names is None else f"{path}: its data file {file}"
        _check_data(name, file, 0 if names else end, data, each, each * size)
    return values * size


def nrrd_fields(path: Path) -> Mapping[str, str]:
    """Fields of the header by name in small letters.

    Raises:
        ImageError: compressed data that is damaged.
        ValueError: it is no NRRD header, or not a whole one.
    """
    return _parse(_raw_header(path))[0]


def _raw_header(path: Path) -> bytes:
    with opened(str(path), path) as stream:
        return stream.read(_LONGEST_HEADER)


def _parse(raw: bytes) -> tuple[dict[str, str], list[str] | None, int]:
    """Fields, names of data files (None where the voxels follow the header), and where the header ends.

    Raises:
        ValueError: not the format's first line, a line that is no field, a field twice, or no end.
    """
    lines = header_lines(raw)
    first, end = next(lines, ("", 0))
    if not _MAGIC.fullmatch(first):
        raise ValueError("its first line is not that of NRRD")
    fields: dict[str, str] = {}
    for line, after in lines:
        end = after
        if not line:
            return fields, _names(fields, ()), end
        if line.startswith("#") or re.match(r"[^:]*:=", line):
            continue
        key, colon, value = line.partition(": ")
        key = _SYNONYMS.get(key.strip().lower(), key.strip().lower())
        if not colon or key in fields:
            raise ValueError(f"the line '{line[:40]}'")
        fields[key] = value.strip()
        if key == "data file" and value.split()[:1] == ["LIST"]:
            return fields, _names(fields, [name.strip() for name, _ in lines]), end
    if "data file" not in fields:
        raise ValueError("no empty line ends it")
    return fields, _names(fields, ()), end


def _names(fields: dict[str, str], listed: Sequence[str]) -> list[str] | None:
    source = fields.get("data file")
    if source is None:
        return None
    words = source.split()
    if words[:1] == ["LIST"]:
        return [name for name in listed if name]
    # a fifth word tells along which axis the slices lie
    return numbered_names(words[:4]) if "%" in source else [source]


def _sizes(fields: dict[str, str]) -> list[int]:
    sizes = [whole_number(word) for word in fields["sizes"].split()]
    if len(sizes) != whole_number(fields["dimension"]) or len(sizes) > _MOST_DIMENSIONS:
        raise ValueError("the sizes are not as many as the dimensions")
    return sizes


def _storage(path: Path, fields: dict[str, str]) -> _Data:
    encoding = fields["encoding"].lower()
    if encoding not in _ENCODINGS:
        raise ImageError(
            f"{path}: the encoding '{encoding[:40]}' of its header is not read. Save the volume with raw or "
            "gzip."
        )
    data = _Data(
        fields["type"].lower(),
        _ENCODINGS[encoding],
        whole_number(fields.get("line skip", "0")),
        whole_number(fields.get("byte skip", "0")),
    )
    if data.lines < 0 or data.bytes < (-1 if data.encoding == "raw" else 0):
        raise ValueError("line skip or byte skip")
    if data.encoding == "gzip" and data.bytes > MOST_SURPLUS:  # of what has to be unpacked first
        raise ValueError(f"byte skip of {data.bytes}, and at most {MOST_SURPLUS} bytes are skipped in gzip")
    return data


def _bounds(kind: str) -> tuple[int, int] | None:
    """Smallest and largest value of a type of whole numbers; None of others."""
    if kind in _FLOATING:
        return None
    bits = 8 * _VALUE_BYTES[kind]
    return (0, (1 << bits) - 1) if kind.startswith("u") else (-(1 << bits - 1), (1 << bits - 1) - 1)


def _check_data(name: str, path: Path, start: int, data: _Data, values: int, announced: int) -> None:
    """Count what one file holds of the voxels, from byte ``start`` on."""
    with opened(name, path) as stream:
        stream.seek(start)
        for _ in range(data.lines):
            if not stream.readline():
                break
        start = stream.tell()
    if data.encoding == "raw":
        found = path.stat().st_size - start
        # -1 means that the voxels are the last bytes of the file
        check_count(name, min(found, announced) if data.bytes == -1 else found - data.bytes, announced)
    elif data.encoding == "gzip":
        check_gzip(name, path, start, announced + data.bytes)
    elif data.encoding == "hex":
        _check_hexadecimal(name, path, start + data.bytes, announced)
    else:
        check_numbers(name, path, start + data.bytes, values, _bounds(data.kind))


def _check_hexadecimal(name: str, path: Path, start: int, announced: int) -> None:
    there = path.stat().st_size - start
    try:
        with opened(name, path) as stream:
            found = _digits(stream, start) if there >= 2 * announced else there // 2
    except ValueError as error:
        raise ImageError(f"{name} is damaged ({error}). Copy or download it again.") from error
    check_count(name, found, announced)


def _digits(stream: BinaryIO, start: int) -> int:
    stream.seek(start)
    return count_hexadecimal(stream)
