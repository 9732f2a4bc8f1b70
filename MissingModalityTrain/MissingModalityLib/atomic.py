"""Files that are whole or not there: written under a temporary name, then renamed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary name beside ``path`` with the same suffixes, renamed to it when the block ends well.

    After an error, or when the process is killed, ``path`` is as it was before.

    Example:
        >>> with replacing(Path("table.csv")) as temporary:
        ...     temporary.write_text("case,dice")
    """
    # lower case, because ITK knows suffixes in lower case only
    temporary = path.with_name(f".{os.getpid()}.{path.name.lower()}")
    try:
        yield temporary
        temporary.chmod(0o666 & ~_umask())  # safetensors makes files that nobody else may read
        os.replace(temporary, path)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _umask() -> int:
    """What this user's new files do not permit; it can only be read by setting it."""
    current = os.umask(0o077)
    os.umask(current)
    return current
