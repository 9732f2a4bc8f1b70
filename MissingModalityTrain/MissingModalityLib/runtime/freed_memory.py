"""Memory that one step of a loop frees and the next one needs again, kept in the process meanwhile.

glibc hands blocks of some megabytes back to the system as soon as they are freed. The next step gets them
anew, and the system clears every page of them first: a seventh of the time of a training step on a CPU.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -3, -4
"""Parameters of glibc's mallopt(3)."""
_NEVER = -1
_USUAL = {_MMAP_MAX: 65536, _MMAP_THRESHOLD: 2**25, _TRIM_THRESHOLD: 2**26}
"""What glibc itself arrives at in a process that has used blocks of 32 MB."""


@contextmanager
def freed_memory_kept() -> Iterator[None]:
    """While it lasts, memory that is freed stays with the process; afterwards what is free is given back.

    Nothing changes where the C library is not glibc. GPU memory is kept by PyTorch anyway.
    """
    library = _glibc()
    if library is None:
        yield
        return
    library.mallopt(_MMAP_MAX, 0)
    library.mallopt(_TRIM_THRESHOLD, _NEVER)
    try:
        yield
    finally:
        for parameter, value in _USUAL.items():
            library.mallopt(parameter, value)
        library.malloc_trim(0)


def give_back() -> None:
    """Hand to the system what is free; glibc keeps blocks of up to 32 MB, however many."""
    library = _glibc()
    if library is not None:
        library.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    if sys.platform != "linux":
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "mallopt") and hasattr(library, "malloc_trim") else None
