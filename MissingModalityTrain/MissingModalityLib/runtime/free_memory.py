"""How much memory a training can still take: not what others hold, nor more than its job may have."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch

from .devices import memory_of

_PROC, _GROUPS = Path("/proc"), Path("/sys/fs/cgroup")
"""Where Linux tells of processes and of control groups, which containers and jobs of a cluster are."""


def free_memory(device: torch.device) -> int:
    """Bytes that are free now: of a GPU, or of main memory as far as this process may take it.

    Where the system does not tell what is free, all that there is; 0 where it does not tell that either.
    """
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    known = [memory_of(device), *_available(), *_limits()]
    return min((number for number in known if number), default=0)


def _available() -> Iterator[int]:
    """What Linux would give without swapping."""
    for line in _text(_PROC / "meminfo").splitlines():
        name, _, value = line.partition(":")
        if name == "MemAvailable":
            yield int(value.split()[0]) * 1024


def _limits() -> Iterator[int]:
    """Of the control groups that this process is in, and of those around them, in either version."""
    for line in _text(_PROC / "self" / "cgroup").splitlines():
        _, kinds, path = line.split(":", 2)
        if kinds and "memory" not in kinds.split(","):
            continue
        root, name = (_GROUPS / "memory", "memory.limit_in_bytes") if kinds else (_GROUPS, "memory.max")
        inside = Path(path.lstrip("/"))
        # a container sees its own group as the root, whatever path it is told
        for folder in (inside, *inside.parents):
            limit = _text(root / folder / name).strip()
            if limit.isdecimal():  # "max" where there is none
                yield int(limit)


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
