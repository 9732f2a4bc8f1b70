"""Output that nobody reads any more, as when ``head`` or a pager has seen enough."""

from __future__ import annotations

import io
import os
import select
import sys

EXIT_CODE = 141
"""What shells say of a program that such a pipe has ended."""


def print_the_rest() -> None:
    """Find out while it can be answered, and not while Python ends, whether the last lines are read.

    Raises:
        BrokenPipeError: they are not.
    """
    try:
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.flush()
    except BrokenPipeError:
        raise
    except (OSError, ValueError):
        pass  # a full disk, or closed: Python's end tells of it


def is_read() -> bool:
    """Whether anyone reads what is printed, as far as this system tells; another pipe may have broken."""
    if not hasattr(select, "poll"):
        return True
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)
    return not any(state & (select.POLLERR | select.POLLHUP) for _, state in poll.poll(0))


def discard_the_rest() -> None:
    """Leave nothing to print while Python ends, which would complain of the pipe."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
