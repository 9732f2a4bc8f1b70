"""Names that every file system takes: a case's name becomes names of files, which travel between machines."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from pathlib import Path

from .errors import MissingModalityError

MOST_BYTES = 200
"""Of a portable name; systems take 255, and a temporary file of a report adds 46 bytes."""

# what Windows refuses anywhere in a name, and halves of characters, which no text file can hold
_REFUSED = re.compile(r'[\x00-\x1f\x7f<>:"/\\|?*\ud800-\udfff]')
# names of devices, which Windows takes for these whatever suffix follows
_DEVICES = re.compile(r"^(con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9¹²³])(?=\.|$)", re.IGNORECASE)


def require_text(path: Path, kind: type[MissingModalityError], remedy: str) -> None:
    """Refuse a path that is no text: names on Linux can be any bytes, on which libraries in C++ abort.

    A zero, which ends a text in C, is in none of them, but a program can give one.

    Args:
        path: that such a library is to open.
        kind: of the error.
        remedy: a sentence: what to do about it.

    Raises:
        MissingModalityError: of that kind.
    """
    try:
        if "\0" in str(path):
            raise ValueError("a zero")
        str(path).encode()
    except ValueError as error:
        raise kind(
            f"{path} has a path with bytes that are no text (UTF-8), at which readers and writers of volumes "
            f"fail. {remedy}"
        ) from error


def portable_name(name: str) -> str:
    """A name with every character and length that some system refuses replaced; most names stay as they are.

    Two names can become one: whoever makes files of several names holds :func:`name_key` of them apart.

    Source: "Naming Files, Paths, and Namespaces" in Microsoft's documentation of Windows.
    """
    name = unicodedata.normalize("NFC", _REFUSED.sub("_", name))
    ending = len(name) - len(name.rstrip(". "))  # Windows drops these without a word
    name = _DEVICES.sub(r"\1_", name[: len(name) - ending] + "_" * min(ending, 1))
    if len(name.encode()) <= MOST_BYTES:
        return name or "_"
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return name.encode()[: MOST_BYTES - 9].decode(errors="ignore") + f"-{digest}"


def name_key(name: str) -> str:
    """Equal for names that some file system takes for one: Windows and macOS pass over capital letters."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
