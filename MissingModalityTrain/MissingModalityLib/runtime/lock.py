"""One process at a time in a run's folder: two would overwrite each other's checkpoints."""

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
    with _opened(run) as file:
        if file is not None and not _take_soon(file):
            raise CaseError(
                f"{run}: another process is training in this folder. Wait for its end or stop it, or choose "
                "another folder."
            )
        yield


def is_held(run: Path) -> bool:
    """Whether another process trains in a folder; not for the one that does, which would let go of it."""
    if not os.path.isfile(run / FILE_NAME):
        return False
    with _opened(run) as file:
        return file is not None and not _take(file)


@contextmanager
def _opened(run: Path) -> Iterator[IO[bytes] | None]:
    """The lock's file, open; None where it cannot be written."""
    try:
        file = (run / FILE_NAME).open("ab")
    except OSError:  # the record or the checkpoint, which are written next, will say so
        yield None
        return
    with file:
        yield file


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
