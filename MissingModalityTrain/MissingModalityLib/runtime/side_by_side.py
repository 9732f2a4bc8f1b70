"""The same work for several things at once, in threads: for code that frees Python's lock, as ITK's does."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

Thing = TypeVar("Thing")
Result = TypeVar("Result")


def usable_cores() -> int:
    """Processor cores that this process may use."""
    with suppress(AttributeError):  # only Linux keeps a process to some of them
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def side_by_side(work: Callable[[Thing], Result], things: Iterable[Thing]) -> Iterator[Result]:
    """Results in the order of the things, as many at a time as there are cores.

    An error is raised where its result would come, as if one had been done after the other; what has not
    begun by then is left out.
    """
    pool = ThreadPoolExecutor(usable_cores())
    try:
        yield from pool.map(work, things)
    finally:
        pool.shutdown(cancel_futures=True)
