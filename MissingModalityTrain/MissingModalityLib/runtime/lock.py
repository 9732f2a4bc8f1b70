"""One process at a time in a folder: two trainings would overwrite each other's checkpoints."""

from __future__ import annotations

import errno
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from ..core.errors import CaseError

FILE_NAME = "run.lock"

_TAKE_TIMEOUT_S = 5.0
"""Far above how long a process holds the lock that only looks (:func:`is_held`), and enough for one that was
just killed to free its memory, before which its lock stays."""

_TRIES = 20
"""Far more often than others end within the same moment; some disks never tell that two files are one."""

_TAKEN = (errno.EACCES, errno.EAGAIN, errno.EDEADLK)
"""What systems say of a file that another process holds."""


@contextmanager
def held(run: Path) -> Iterator[None]:
    """Hold a run's folder, made if needed. The system lets go of it when the process ends, however it ends.

    Processes made by forking do not hold it along. On disks that know no locks nothing is held.

    Raises:
        CaseError: another process trains there.
    """
    with suppress(OSError):
        run.mkdir(parents=True, exist_ok=True)
    with _opened(run / FILE_NAME) as file:
        _take_or_refuse(file, run, "training in")
        yield


@contextmanager
def held_by_a_passing_file(path: Path, doing: str) -> Iterator[None]:
    """Hold the folder of a file, as :func:`held` does, by a file that goes when the block ends.

    Args:
        path: of the file; its folder is there.
        doing: what the other process does to the folder, where one holds it, such as "training in".

    Raises:
        CaseError: another process holds it.
    """
    for left in reversed(range(_TRIES)):
        with _opened(path) as file:
            _take_or_refuse(file, path.parent, doing)
            if left and file is not None and not _lies_at(file, path):
                continue  # who held it has removed it at the end
            try:
                yield
            finally:
                if file is not None:
                    _remove(file, path)
            return


def is_held(run: Path) -> bool:
    """Whether another process trains in a folder; not for the one that does, which would let go of it."""
    if not os.path.isfile(run / FILE_NAME):
        return False
    with _opened(run / FILE_NAME) as file:
        return file is not None and not _take(file)


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes] | None]:
    """The lock's file, open; None where it cannot be written."""
    try:
        file = path.open("ab")
    except OSError:  # what is written next, such as a record or a checkpoint, will say so
        yield None
        return
    with file:
        yield file


def _take_or_refuse(file: IO[bytes] | None, folder: Path, doing: str) -> None:
    """Lock a file, if it could be opened, or say that another process has it."""
    if file is not None and not _take_soon(file):
        raise CaseError(
            f"{folder}: another process is {doing} this folder. Wait for its end or stop it, or choose "
            "another folder."
        )


def _lies_at(file: IO[bytes], path: Path) -> bool:
    """Whether an open file is the one that has this name now."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except OSError:
        return False


def _remove(file: IO[bytes], path: Path) -> None:
    """Remove a file that is held; held still where that can be, so that it is not one made by another."""
    if sys.platform == "win32":
        file.close()  # nobody can remove what is open
    with suppress(OSError):
        path.unlink()


def _take_soon(file: IO[bytes]) -> bool:
    """:func:`_take`, tried for some seconds."""
    # is_held() in a panel takes the lock for a moment; a process that is ending has it a little longer
    deadline = time.monotonic() + _TAKE_TIMEOUT_S
    while not _take(file):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def _take(file: IO[bytes]) -> bool:
    """Lock until the file is closed; False where another process has it."""
    try:
        if sys.platform == "win32":
            import msvcrt

            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            # not flock: children made by forking would hold it along, and outlive a killed process
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in _TAKEN
    return True
