"""Questions to the file system that a panel asks again at every change, such as each letter that is typed.

A network share that has gone may take many seconds for each answer, and Slicer stands still meanwhile. An
answer that took long is therefore kept for a while, so that waiting stays a small part of the time.
"""

import os
import time

LONG_SECONDS = 1.0
"""A local disk answers within milliseconds, on a computer that is busy too."""

PATIENCE = 20
"""How many times as long as an answer took nothing is asked: waiting is at most a twentieth of the time."""

_kept = {}
"""Answer, and until when it holds, by question and path."""


def isFolder(path):
    """Whether a text is the path of a folder; an empty one is not.

    ``os.path.isdir`` says no to a path that is longer than the system allows; ``Path.is_dir`` raises OSError.
    """
    return _ask(os.path.isdir, path)


def isFile(path):
    """Whether a text is the path of a file."""
    return _ask(os.path.isfile, path)


def modified(path):
    """When a file was changed last, in ns; None where there is none."""
    return _ask(_modified, path)


def _modified(path):
    try:
        return os.stat(path).st_mtime_ns
    except (OSError, ValueError):  # ValueError: a path with a null character
        return None


def _ask(question, path):
    answer, until = _kept.get((question, path), (None, 0.0))
    began = time.monotonic()
    if began < until:
        return answer
    answer = question(path)
    ended = time.monotonic()
    if ended - began > LONG_SECONDS:
        _kept[question, path] = (answer, ended + PATIENCE * (ended - began))
    return answer
