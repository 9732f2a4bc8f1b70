"""A checksum inside .safetensors files, which the format itself has none of.

A bit that a disk or a copy has flipped leaves a number that is as good as any: nothing else would show it.
The checksum is the first text of the header, at a fixed place, and counts every byte of the file but its own.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from . import strict_json
from .files import LONGEST_HEADER, TEXTS, require_regular

_LENGTH_BYTES = 8
_BLANK = "0" * hashlib.sha256().digest_size * 2
"""What stands in place of the checksum while it is computed."""

_BEFORE = f'{{"{TEXTS}": {{"sha256": "'.encode()


def with_checksum(content: bytes) -> bytes:
    """A .safetensors file with its checksum among the texts; the arrays stay where they are.

    Args:
        content: of a whole file, as the package safetensors makes it.
    """
    begin = _LENGTH_BYTES + int.from_bytes(content[:_LENGTH_BYTES], "little")
    header = strict_json.loads(content[_LENGTH_BYTES:begin])
    texts = header.pop(TEXTS, {})
    # in order, because the package writes texts in one that differs between processes
    text = strict_json.dumps({TEXTS: {"sha256": _BLANK, **dict(sorted(texts.items()))}, **header}).encode()
    text += b" " * (-len(text) % _LENGTH_BYTES)
    whole = len(text).to_bytes(_LENGTH_BYTES, "little") + text + content[begin:]
    return whole.replace(_BLANK.encode(), hashlib.sha256(whole).hexdigest().encode(), 1)


def check_checksum(path: Path) -> bool:
    """Hold a file against its checksum.

    Returns:
        Whether it has one; files of earlier versions and of other programs have none.

    Raises:
        OSError: the file cannot be read.
        ValueError: a byte of it has changed since it was written, or its header is longer than any of ours.
    """
    place = _LENGTH_BYTES + len(_BEFORE)
    size = require_regular(path).st_size
    with path.open("rb") as file:
        start = file.read(place + len(_BLANK))
        length = int.from_bytes(start[:_LENGTH_BYTES], "little")
        if LONGEST_HEADER < length < size:  # of one that the package would parse
            raise ValueError(f"its header is longer than the {LONGEST_HEADER} bytes that are read")
        if start[_LENGTH_BYTES:place] != _BEFORE:
            return False
        digest = hashlib.sha256(start[:place] + _BLANK.encode())
        if hashlib.file_digest(file, lambda: digest).hexdigest().encode() != start[place:]:
            raise ValueError("its bytes are not those that were written")
    return True
