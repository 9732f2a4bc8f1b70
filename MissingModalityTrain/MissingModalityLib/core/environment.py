"""The machine-readable report that every job leaves beside its output."""

from __future__ import annotations

import hashlib
import json
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from .. import __version__
from .files import atomic_write

_PACKAGES = ("torch", "monai", "numpy", "SimpleITK")


def versions() -> dict[str, str]:
    """Versions of what computes: this library, Python, the system and the packages behind the numbers."""
    found = {
        "MissingModality": __version__,
        "Python": platform.python_version(),
        "system": platform.platform(),
    }
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:  # Slicer builds some of its packages without metadata
            found[package] = getattr(sys.modules.get(package), "__version__", "unknown")
    return found


def peak_memory() -> int:
    """The most main memory that this process has held so far, bytes; 0 where the system does not tell."""
    if sys.platform == "linux":
        # not getrusage: there a child process starts from the peak of the parent that launched it
        status = Path("/proc/self/status").read_text(encoding="utf-8")
        return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM"))
    if sys.platform == "darwin":
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        import psutil
    except ImportError:
        return 0
    return psutil.Process().memory_info().peak_wset


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_report(report: dict[str, Any], path: Path) -> None:
    """Write JSON in one step, so that nobody ever reads half a report."""
    with atomic_write(path) as unfinished:
        unfinished.write_text(json.dumps(report, indent=2, allow_nan=False) + "\n", encoding="utf-8")
