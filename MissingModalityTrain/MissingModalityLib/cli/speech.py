"""How much a command says and where: bars, nothing, lines with the time of day, a log file."""

from __future__ import annotations

import argparse
import errno
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ..core.errors import OptionError
from ..core.progress import STYLES, Event, Progress, in_a_line, progress_printer
from ..runtime.ranks import launched_rank

LOG = logging.getLogger("MissingModalityLib.command")
"""What a command did: one line for each step with a message of its own, its result, its error."""

_LINE = logging.Formatter("%(asctime)s %(message)s")


def add_speech(parser: Any) -> None:
    """``--progress``, one of :data:`progress.STYLES`, and how much is said beside it."""
    parser.add_argument(
        "--progress", choices=STYLES, default="bar", help="how to show progress (default: %(default)s)"
    )
    how_much = parser.add_mutually_exclusive_group()
    how_much.add_argument("-q", "--quiet", action="store_true", help="print warnings and errors alone")
    how_much.add_argument(
        "-v",
        "--verbose",
        action="store_true",
        help="print a line with the time of day for each step in place of bars, and where an error arose",
    )
    parser.add_argument(
        "--log-file", type=Path, metavar="FILE", help="add the same lines to this file, whatever is printed"
    )


@contextmanager
def spoken(options: argparse.Namespace) -> Iterator[None]:
    """Lines go where the options say, as long as the block lasts.

    Raises:
        OptionError: the log file cannot be written.
    """
    handlers = _handlers(options)
    level, LOG.propagate = LOG.level, False
    LOG.setLevel(logging.INFO if handlers else logging.CRITICAL)
    for handler in handlers:
        handler.setFormatter(_LINE)
        LOG.addHandler(handler)
    try:
        yield
    except Exception as error:
        LOG.error("%s: %s", type(error).__name__, error, exc_info=True)
        raise
    finally:
        LOG.setLevel(level)
        for handler in handlers:
            LOG.removeHandler(handler)
            handler.close()


class _LogFile(logging.FileHandler):
    """A file that, once its disk is full, is told of and left alone: what is computed counts more."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Called where a line cannot be written."""
        if self.level < logging.CRITICAL:
            print(f"Warning: {self.baseFilename}: the log ends here ({sys.exc_info()[1]}).", file=sys.stderr)
        self.setLevel(logging.CRITICAL)

    def close(self) -> None:
        """End, whatever of the last lines could not be written."""
        with suppress(OSError):
            super().close()


def _handlers(options: argparse.Namespace) -> list[logging.Handler]:
    # of several processes that torchrun has started, the first one speaks
    if launched_rank():
        return []
    found: list[logging.Handler] = []
    if getattr(options, "verbose", False):
        found.append(logging.StreamHandler(sys.stderr))
    path = getattr(options, "log_file", None)
    if path is not None:
        try:
            if path.is_fifo():  # for whose reader one would wait
                raise OSError(errno.EINVAL, "a pipe, not a file")
            found.append(_LogFile(path, encoding="utf-8"))
        except OSError as error:
            raise OptionError(
                f"--log-file {path} cannot be written ({error.strerror}). Choose another file."
            ) from error
    return found


@contextmanager
def shown_progress(options: argparse.Namespace) -> Iterator[Progress]:
    """What events go to: as :func:`progress.progress_printer` shows them, and as lines."""
    bars = options.progress == "bar"
    style = "none" if bars and (options.quiet or options.verbose) else options.progress
    last: tuple[str, str] | None = None

    def tell(event: Event) -> None:
        nonlocal last
        show(event)
        # of many steps alike, such as those of an epoch, the last one
        step = (event.stage, event.message)
        if step != last or event.step == event.total:
            LOG.info("%s", in_a_line(event))
        last = step

    with progress_printer(style) as show:
        yield tell
