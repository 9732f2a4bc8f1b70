"""One case of many that fails: told in a line, and the others go on."""

from __future__ import annotations

import traceback
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from .errors import MissingModalityError

LOG_FILE = "failures.log"


@dataclass(frozen=True)
class Failure:
    """Why a case could not be used.

    Attributes:
        reason: one line for tables and messages.
        unforeseen: no bad input but a fault of the program; its traceback is in the log.
    """

    reason: str
    unforeseen: bool


def note_failure(error: Exception, case: str, folder: Path) -> Failure:
    """What a case's exception says; of one that nobody foresaw, the traceback goes to the end of a log.

    Args:
        error: that the work on the case raised.
        case: its name.
        folder: for :data:`LOG_FILE`; made if needed.

    Raises:
        ModuleNotFoundError: the very error, for a package that is missing is missing for all cases.
    """
    if isinstance(error, MissingModalityError):
        return Failure(str(error), unforeseen=False)
    if isinstance(error, ModuleNotFoundError):
        raise error
    # a disk that is full must not take the other cases with it
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / LOG_FILE).open("a", encoding="utf-8") as log:
            log.write(f"{case}\n{''.join(traceback.format_exception(error))}\n")
    said = " ".join(str(error).split())
    kind = f"{type(error).__name__}: {said}" if said else type(error).__name__
    return Failure(f"{kind} (a fault of the program; {LOG_FILE} has the details)", unforeseen=True)
