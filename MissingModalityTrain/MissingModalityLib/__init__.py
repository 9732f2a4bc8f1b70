"""Brain tumor segmentation from whatever MRI sequences there are: the library behind panels and command line.

Importing it loads nothing heavy; each public name brings its own file when first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_PUBLIC = {
    "Case": "cases",
    "Event": "progress",
    "MissingModalityError": "errors",
    "Modality": "modalities",
    "Student": "student",
    "Study": "preparation",
    "find_cases": "cases",
    "grow_patient": "phantom",
    "read_study": "cases",
    "segment_files": "segmentation",
    "write_segmentation": "segmentfile",
}

__all__ = ["__version__", *_PUBLIC]


def __getattr__(name: str) -> Any:
    """A public name, imported now (PEP 562)."""
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_PUBLIC[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_PUBLIC})
