"""Files that are whole or not there: written under a temporary name, then renamed."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import stat
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

from . import strict_json
from .errors import CaseError, MissingModalityError, OptionError

IMAGE_SUFFIXES = (".nii.gz", ".nii", ".mha", ".mhd", ".nrrd", ".nhdr")
_ARCHIVE_SUFFIXES = (".zip", ".7z", ".rar", ".tar", ".gz", ".tgz", ".iso")

_MARK = ".unfinished-"

_KEPT_CHARACTERS = 50
# Of a name in its temporary one: at most 200 bytes beside the 25 before them, of the 255 that systems take.

_STALE_S = 600.0
# A file system may keep a write waiting for minutes; one that stood still for ten lost its process.

_WINDOWS_TRIES = 50
# 5 seconds in all: a panel or a table program reads a file of ours for a moment only.

TEXTS = "__metadata__"
"""Key of the texts in the header of a .safetensors file."""

_LENGTH_BYTES = 8
"""At the start of a .safetensors file: how long its header is, little-endian."""

LONGEST_HEADER = 1 << 23
"""Bytes of the header of a .safetensors file; the largest of ours have 40 kB. The format allows 100 MB, which
a parser turns into gigabytes."""

MOST_TEXT = 1 << 25
"""Bytes of a text that is read whole; the record of a training on ten thousand cases has a sixth of it."""

_umask_lock = threading.Lock()


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """A temporary name beside ``path`` with the same suffixes, renamed to it when the block ends well.

    After an error, or when the process is killed, ``path`` is as it was before; a killed one leaves the
    temporary file for :func:`remove_stale_temporaries`.

    Example:
        >>> with atomic_write(Path("table.csv")) as temporary:
        ...     temporary.write_text("case,dice")
    """
    with written_together(path) as (temporary,):
        yield temporary


@contextmanager
def written_together(*paths: Path) -> Iterator[tuple[Path, ...]]:
    """:func:`atomic_write` for files that are of use together only: all are replaced, or none is.

    They take their places in the order given, each of them when all are on the disk.
    """
    temporaries = tuple(map(_temporary, paths))
    try:
        yield temporaries
        for temporary in temporaries:  # all, before the first takes its place
            sync(temporary)
            temporary.chmod(0o666 & ~_umask())  # some libraries make files that nobody else may read
        for temporary, path in zip(temporaries, paths, strict=True):
            put_in_place(temporary, path)
    finally:
        for temporary in temporaries:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Wait until a file is on its disk; disks of other machines say only now that they are full.

    Raises:
        OSError: it does not get there.
    """
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def put_in_place(made: Path, path: Path) -> None:
    """Rename a whole file to ``path``, which it replaces, or a whole folder to one that is not there.

    Returns when the new name is on the disk too, so that a power failure does not bring the old state back.

    Raises:
        OSError: it cannot be renamed.
    """
    _rename(made, path)
    if sys.platform == "win32":  # opens no folders, and keeps their names itself
        return
    with suppress(OSError):  # a disk that knows no such thing has done what it can
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


@contextmanager
def restored_if_refused(path: Path) -> Iterator[None]:
    """Where the block raises a MissingModalityError, a file that it has written is as before, or not there.

    Raises:
        OptionError: the file is there and cannot be read, so what is in it could not be put back.
    """
    with explain_write_errors(path, "Choose another name.", OptionError):
        before = path.read_bytes() if path.is_file() else None
    try:
        yield
    except MissingModalityError:
        with suppress(OSError):  # the error to be told is another one
            if before is None:
                path.unlink()
            else:
                with atomic_write(path) as temporary:
                    temporary.write_bytes(before)
        raise


def remove_stale_temporaries(folder: Path) -> None:
    """Remove what processes killed inside :func:`atomic_write` left in a folder.

    A temporary file that nobody has written to for ten minutes is one: a whole file is renamed at once.
    """
    for path in folder.glob(f"{_MARK}*"):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > _STALE_S:
                path.unlink()


@contextmanager
def leaving_no_empty_folder(folder: Path) -> Iterator[None]:
    """Remove a folder, and those above it, that were not there before a block that fails, if empty."""
    absent = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        yield
    except BaseException:  # Ctrl-C too
        with suppress(OSError):  # the first that is not empty ends it
            for path in absent:
                path.rmdir()
        raise


@contextmanager
def removed_if_refused(*places: Path) -> Iterator[None]:
    """Remove files and folders that were not there before a block that is refused."""
    made = [place for place in places if not place.exists()]
    try:
        yield
    except MissingModalityError:
        remove_all(made)
        raise


def remove_all(places: Iterable[Path]) -> None:
    """Files and folders; what cannot be removed stays, since the error to be told is another one."""
    with suppress(OSError):
        for path in places:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)


@contextmanager
def explain_write_errors(
    path: Path, remedy: str, kind: type[MissingModalityError] = CaseError
) -> Iterator[None]:
    """Turn what the system says about writing into an error for people.

    Args:
        path: the file or folder that is written.
        remedy: a sentence: what to do about it.
        kind: of the error.

    Raises:
        MissingModalityError: of that kind, in place of an OSError.
    """
    try:
        yield
    except OSError as error:
        raise kind(f"{path}: cannot be written ({error.strerror or error}). {remedy}") from error


def read_text(path: Path, most: int = MOST_TEXT) -> str:
    """The text of a file, in UTF-8.

    Args:
        path: of the file.
        most: bytes that it may have.

    Raises:
        OSError: it cannot be read, or is a pipe or a device, which may never end.
        ValueError: it is too long, or no UTF-8.
    """
    size = require_regular(path).st_size
    if size > most:
        raise ValueError(f"it has {size} bytes, and at most {most} are read")
    return path.read_text(encoding="utf-8")


def write_text(text: str, path: Path) -> None:
    """Write a text file in one step, so that an existing one is replaced only by a whole one."""
    with atomic_write(path) as temporary:
        # names of files can hold bytes that are no text; they shall not end work that is done
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


def write_report(report: dict[str, Any], path: Path) -> None:
    """Write strict JSON in one step, so that nobody ever reads half a report."""
    write_text(strict_json.dumps(report, indent=2) + "\n", path)


def require_regular(path: Path) -> os.stat_result:
    """The state of a file that has an end; opening a pipe or reading a device may last for good.

    Raises:
        OSError: it is none, or not there.
    """
    state = path.stat()
    if stat.S_ISDIR(state.st_mode):
        raise IsADirectoryError(errno.EISDIR, "a folder, not a file", str(path))
    if not stat.S_ISREG(state.st_mode):
        raise OSError(errno.EINVAL, "a device or a pipe, not a file", str(path))
    return state


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, hexadecimal.

    Raises:
        OSError: it cannot be read.
    """
    require_regular(path)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def safetensors_header(path: Path) -> dict[str, Any]:
    """The header of a .safetensors file, read without the package of that name.

    Returns:
        ``dtype``, ``shape`` and ``data_offsets`` of every array by its name, and texts under
        :data:`TEXTS`.

    Raises:
        OSError: the file cannot be opened.
        ValueError: it is something else, or ends early.
    """
    size = require_regular(path).st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
        if length > LONGEST_HEADER and size >= _LENGTH_BYTES:
            raise ValueError(f"its header would have {length} bytes, and at most {LONGEST_HEADER} are read")
        if not 0 < length <= size:
            raise ValueError("no header")
        text = file.read(length)
    try:
        header = strict_json.loads(text)
        ends = [entry["data_offsets"][1] for name, entry in header.items() if name != TEXTS]
        whole = size >= _LENGTH_BYTES + length + max(ends, default=0)
    # whatever a file of other content makes of these lines
    except (TypeError, KeyError, IndexError, AttributeError) as error:
        raise ValueError(str(error)) from error
    if not whole:
        raise ValueError("data are missing at its end")
    return header


def _temporary(path: Path) -> Path:
    # a process number would not do: containers that share a disk have the same ones
    # lower case, because ITK knows suffixes in lower case only; the end alone, or a name near the system's
    # limit would be too long with what comes before it
    return path.with_name(f"{_MARK}{uuid4().hex[:12]}-{path.name.lower()[-_KEPT_CHARACTERS:]}")


def _rename(temporary: Path, path: Path) -> None:
    """Replace ``path``; Windows refuses while another process reads the old file, so there it is retried."""
    for _ in range(_WINDOWS_TRIES if sys.platform == "win32" else 0):
        try:
            os.replace(temporary, path)
            return
        except PermissionError:
            time.sleep(0.1)
    os.replace(temporary, path)


def _umask() -> int:
    """What this user's new files do not permit; it can only be read by setting it."""
    with _umask_lock:
        current = os.umask(0o077)
        os.umask(current)
    return current


def image_suffix(path: Path) -> str:
    """``.nii.gz``, ``.mha`` ... in lower case; empty for a file that is no volume by its name."""
    name = path.name.lower()
    return next((suffix for suffix in IMAGE_SUFFIXES if name.endswith(suffix)), "")


def is_archive(path: Path) -> bool:
    """Whether a file is named as one that holds others; a compressed volume is none."""
    return path.suffix.lower() in _ARCHIVE_SUFFIXES and not image_suffix(path)
