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
from typing import Any, BinaryIO

from ..core.errors import ImageError
from ..core.files import require_regular

MOST_VALUES = 1 << 29
"""Most values in a file: four volumes of 512x512x512. A head at 0.5 mm has a tenth of a billion voxels."""

MOST_SURPLUS = 1 << 20
"""Bytes that may follow the announced ones, such as the padding of an archive."""

_CHUNK = 1 << 20
"""Bytes read at a time: whole volumes need not fit into memory twice."""

_PACKED_CHUNK = 1 << 14
"""Bytes read at a time of gzip: what follows the end of a member is copied, for each of many small ones."""

_GZIP_MAGIC = b"\x1f\x8b"

_FEWEST_PER_MEMBER, _FREE_MEMBERS = 1024, 1000
"""Bytes that gzip members unpack to on average, but for the first ones: bgzip makes pieces of 64 kB."""

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


@contextmanager
def opened(name: str, path: Path) -> Iterator[BinaryIO]:
    """The bytes of a file; a pipe, for which one would wait, is none.

    Raises:
        ImageError: in place of errors of zlib, gzip and files.
    """
    with explain_damage(name):
        require_regular(path)
        with path.open("rb") as stream:
            yield stream


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
    with opened(name, path) as raw:
        raw.seek(start)
        try:
            for piece in gunzipped(raw):
                found += len(piece)
                look(piece)
                if found > announced + MOST_SURPLUS:
                    break
        except gzip.BadGzipFile as error:
            if found < announced:
                raise
            raise ImageError(_followed(name)) from error
    check_count(name, found, announced)


def gunzipped(stream: BinaryIO) -> Iterator[bytes]:
    """What a file of gzip members unpacks to, in pieces of up to a megabyte; the checksums are verified.

    Python's own gzip would read names in headers byte by byte and takes long over each member, so that a file
    of a few megabytes could keep it busy for minutes.

    Source: RFC 1952. Zeros after a member are padding, as gzip has them; members after them are refused,
    because the readers of ITK end there without a word.

    Raises:
        EOFError: a member is cut off.
        gzip.BadGzipFile: what follows is no gzip, or stands behind zeros.
        zlib.error: a member is damaged, or there are thousands of tiny ones.
    """
    found = members = 0
    packed = stream.read(_PACKED_CHUNK)
    while packed:
        packed += stream.read(1)  # the two bytes that a member begins with may stand apart
        if not packed.startswith(_GZIP_MAGIC):
            raise gzip.BadGzipFile("it is not a gzipped file")
        members += 1
        if members > _FREE_MEMBERS + found // _FEWEST_PER_MEMBER:
            raise zlib.error("it is cut into thousands of tiny pieces")
        inflate = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
        for piece in _member(inflate, packed, stream):
            found += len(piece)
            yield piece
        packed = inflate.unused_data or stream.read(_PACKED_CHUNK)
        if packed.startswith(b"\0"):
            _require_zeros(packed, stream)
            return


def _require_zeros(packed: bytes, stream: BinaryIO) -> None:
    """Read to the end of the stream.

    Raises:
        gzip.BadGzipFile: anything is not zero.
    """
    while packed:
        if packed.strip(b"\0"):
            raise gzip.BadGzipFile("something follows the zeros after its end")
        packed = stream.read(_CHUNK)


def _member(inflate: Any, packed: bytes, stream: BinaryIO) -> Iterator[bytes]:
    """What one member unpacks to, which begins with ``packed`` and goes on in the stream."""
    while not inflate.eof:
        piece = inflate.decompress(packed, _CHUNK)
        if piece:
            yield piece
        packed = inflate.unconsumed_tail
        if packed or inflate.eof:
            continue
        packed = stream.read(_PACKED_CHUNK)
        # without input, zlib may still hold output back that did not fit into the last piece
        if not packed and len(piece) < _CHUNK:
            raise EOFError("the compressed data ends early")


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
    with opened(name, path) as raw:
        raw.seek(start)
        found, unread = _inflated(raw, packed, announced + MOST_SURPLUS)
    check_count(name, found, announced)
    if unread:
        raise ImageError(_followed(name))


def check_numbers(
    name: str, path: Path, start: int, announced: int, bounds: tuple[int, int] | None = None
) -> None:
    """Count the numbers of a text, from byte ``start`` of a file on.

    Args:
        name: for messages.
        path: of the file.
        start: of the text, bytes.
        announced: how many there should be.
        bounds: smallest and largest of whole numbers; None where all numbers are allowed. Readers make other
            numbers of what is beyond, and drop fractions.

    Raises:
        ImageError: too few or too many, words among them, or one that the type cannot hold.
    """
    # a digit and a space for each but the last: too short a text need not be looked at
    room = (path.stat().st_size - start + 1) // 2
    try:
        with opened(name, path) as stream:
            stream.seek(start)
            found = _numbers(stream, announced, bounds) if room >= announced else room
    except ValueError as error:
        raise ImageError(
            f"{name}: its voxels, written as text, are no numbers of its type ({error}). {_AGAIN}"
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


def _numbers(stream: BinaryIO, most: int, bounds: tuple[int, int] | None) -> int:
    """Numbers of a text, counted up to a little more than ``most``."""
    found, rest = 0, b""
    while found <= most and (chunk := stream.read(_CHUNK)):
        text = rest + chunk
        cut = max(map(text.rfind, (b" ", b"\n", b"\t", b"\r"))) + 1
        found += sum(_is_number(word, bounds) for word in text[:cut].split())
        rest = text[cut:]
        if len(rest) > _LONGEST_NUMBER:
            raise ValueError(f"one of {len(rest)} digits")
    return found + sum(_is_number(word, bounds) for word in rest.split())


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


def _is_number(word: bytes, bounds: tuple[int, int] | None) -> bool:
    if len(word) > _LONGEST_NUMBER or word.translate(None, _NUMBER_CHARACTERS):
        raise ValueError(repr(word[:_LONGEST_NUMBER].decode("latin-1")))
    value = float(word)
    if bounds and not (value.is_integer() and bounds[0] <= value <= bounds[1]):
        raise ValueError(f"{value:g} is not one from {bounds[0]} to {bounds[1]}")
    return True


def _followed(name: str) -> str:
    return (
        f"{name} has other bytes after its end: the image in it is whole, but something was appended. Unpack "
        "it and compress it again, or copy it again from its source."
    )
