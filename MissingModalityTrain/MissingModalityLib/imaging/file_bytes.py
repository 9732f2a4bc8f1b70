"""How many bytes or numbers a file really holds, counted without ever holding much of it.

Every count stops a little after what the header announces: a few kilobytes can unpack to gigabytes.
"""

from __future__ import annotations

import gzip
import math
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from ..core.errors import ImageError

MOST_VALUES = 1 << 29
"""Most values in a file: four volumes of 512x512x512. A head at 0.5 mm has a tenth of a billion voxels."""

MOST_SURPLUS = 1 << 20
"""Bytes that may follow the announced ones, such as the padding of an archive."""

_CHUNK = 1 << 20
"""Bytes read at a time: whole volumes need not fit into memory twice."""

_LONGEST_NUMBER = 64
"""Characters of one number in text; a float64 has 24."""

_NUMBER_CHARACTERS = b"0123456789+-.eE"

_AGAIN = "Copy or download it again."


def count_values(name: str, sizes: Sequence[int]) -> int:
    """The number of values that a header announces.

    Args:
        name: of the file, for messages.
        sizes: along each direction, values per voxel included.

    Raises:
        ImageError: a size below 1, or more than 2**29 values.
    """
    shape = "x".join(map(str, sizes))
    if min(sizes, default=0) < 1:
        raise ImageError(f"{name}: its header announces {shape or 'no'} voxels, which is no volume. {_AGAIN}")
    values = math.prod(sizes)
    if values > MOST_VALUES:
        raise ImageError(
            f"{name}: its header announces {shape} values, more than the {MOST_VALUES} that are read. If "
            "the header is right, save the volume with larger voxels or the one volume that you mean."
        )
    return values


def check_count(name: str, found: int, announced: int, unit: str = "bytes of image data") -> None:
    """Hold what was counted against what the header announces.

    Raises:
        ImageError: too little, or more than a megabyte too much.
    """
    if found < announced:
        raise ImageError(
            f"{name} is truncated: {max(0, found)} {unit} where its header announces {announced}. {_AGAIN}"
        )
    if found > announced + MOST_SURPLUS:
        raise ImageError(
            f"{name} holds far more than the {announced} {unit} that its header announces, so the header "
            "does not belong to this data. Export the volume again."
        )


@contextmanager
def explain_damage(name: str) -> Iterator[None]:
    """What compressed data or the system complain of, as an error for people.

    Raises:
        ImageError: in place of errors of zlib, gzip and files.
    """
    try:
        yield
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ImageError(f"{name} is truncated or damaged ({error}). {_AGAIN}") from error
    except OSError as error:
        raise ImageError(f"{name} cannot be opened ({error.strerror}). Check its permissions.") from error


def check_gzip(
    name: str,
    path: Path,
    start: int,
    announced: int,
    look: Callable[[bytes], None] = lambda chunk: None,
) -> None:
    """Unpack a file of gzip members up to a little more than is announced; the checksums are verified.

    Args:
        name: for messages.
        path: of the file.
        start: where the first member begins, bytes.
        announced: bytes that it should unpack to.
        look: called with what it unpacks to, piece by piece.

    Raises:
        ImageError: truncated, damaged, far too long, or followed by bytes that are no gzip.
    """
    found = 0
    with explain_damage(name), path.open("rb") as raw:
        raw.seek(start)
        try:
            # read1: read would lose what came before the first byte that is no gzip
            with gzip.GzipFile(fileobj=raw) as stream:
                while found <= announced + MOST_SURPLUS and (chunk := stream.read1(_CHUNK)):
                    found += len(chunk)
                    look(chunk)
        except gzip.BadGzipFile as error:
            if found < announced or "Not a gzipped file" not in str(error):
                raise
            raise ImageError(_followed(name)) from error
    check_count(name, found, announced)


def check_zlib(name: str, path: Path, start: int, packed: int, announced: int) -> None:
    """Unpack one zlib or gzip stream up to a little more than is announced.

    Args:
        name: for messages.
        path: of the file.
        start: where the stream begins, bytes.
        packed: length of the stream, bytes.
        announced: bytes that it should unpack to.

    Raises:
        ImageError: truncated, damaged, far too long, or it ends before its stated length.
    """
    with explain_damage(name), path.open("rb") as raw:
        raw.seek(start)
        found, unread = _inflated(raw, packed, announced + MOST_SURPLUS)
    check_count(name, found, announced)
    if unread:
        raise ImageError(_followed(name))


def check_numbers(name: str, path: Path, start: int, announced: int) -> None:
    """Count the numbers of a text, from byte ``start`` of a file on.

    Raises:
        ImageError: too few or too many, or words among them.
    """
    # a digit and a space for each but the last: too short a text need not be looked at
    room = (path.stat().st_size - start + 1) // 2
    try:
        with explain_damage(name), path.open("rb") as stream:
            stream.seek(start)
            found = _numbers(stream, announced) if room >= announced else room
    except ValueError as error:
        raise ImageError(
            f"{name}: its voxels, written as text, are no numbers ({error}). {_AGAIN}"
        ) from error
    if found != announced:
        amount = "more" if found > announced else f"at most {found}"
        raise ImageError(f"{name} holds {amount} numbers where its header announces {announced}. {_AGAIN}")


def count_hexadecimal(stream: BinaryIO) -> int:
    """Bytes that a text of hexadecimal digits stands for.

    Raises:
        ValueError: other characters than digits and white space.
    """
    digits = 0
    while chunk := stream.read(_CHUNK):
        written = b"".join(chunk.split())
        if written.translate(None, b"0123456789abcdefABCDEF"):
            raise ValueError("other characters than hexadecimal digits")
        digits += len(written)
    return digits // 2


def _numbers(stream: BinaryIO, most: int) -> int:
    """Numbers of a text, counted up to a little more than ``most``."""
    found, rest = 0, b""
    while found <= most and (chunk := stream.read(_CHUNK)):
        text = rest + chunk
        cut = max(map(text.rfind, (b" ", b"\n", b"\t", b"\r"))) + 1
        found += sum(map(_is_number, text[:cut].split()))
        rest = text[cut:]
        if len(rest) > _LONGEST_NUMBER:
            raise ValueError(f"one of {len(rest)} digits")
    return found + sum(map(_is_number, rest.split()))


def _inflated(stream: BinaryIO, packed: int, most: int) -> tuple[int, int]:
    """Bytes that a zlib or gzip stream unpacks to, up to about ``most``, and bytes of it after its end."""
    inflate, found, produced = zlib.decompressobj(wbits=32 + zlib.MAX_WBITS), 0, 0
    while not inflate.eof:
        pending = inflate.unconsumed_tail
        if not pending:
            pending = stream.read(min(_CHUNK, packed))
            packed -= len(pending)
        # without input, zlib may still hold output back that did not fit into the last chunk
        if not pending and produced < _CHUNK:
            raise EOFError("the compressed data ends early")
        produced = len(inflate.decompress(pending, _CHUNK))
        found += produced
        if found > most:
            return found, 0
    return found, packed + len(inflate.unused_data)


def _is_number(word: bytes) -> bool:
    if len(word) > _LONGEST_NUMBER or word.translate(None, _NUMBER_CHARACTERS):
        raise ValueError(repr(word[:_LONGEST_NUMBER].decode("latin-1")))
    float(word)
    return True


def _followed(name: str) -> str:
    return (
        f"{name} has other bytes after its end: the image in it is whole, but something was appended. Unpack "
        "it and compress it again, or copy it again from its source."
    )
