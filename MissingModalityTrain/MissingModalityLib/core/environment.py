"""What a job ran on: versions of the software, and the most memory it held."""

from __future__ import annotations

import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from .. import __version__

_PACKAGES = ("torch", "monai", "numpy", "SimpleITK")
"""Those whose version can change the last digit of a result."""


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
    """The most main memory that this process has held so far, bytes; 0 where the system does not say."""
    if sys.platform == "linux":
        # not getrusage: there a child process starts from the peak of the parent that launched it
        status = Path("/proc/self/status").read_text(encoding="utf-8")
        return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM"))
    if sys.platform == "darwin":  # in bytes there, in kilobytes on other systems
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        import psutil
    except ImportError:
        return 0
    return psutil.Process().memory_info().peak_wset
