"""Slicer's own Python files in the place of the stand-ins, from a folder that MISSINGMODALITY_SLICER names.

The folder is that of an installed Slicer or of a checkout of its sources; nothing of it is copied. Its
parameter nodes, module base classes, translation, package installation and sample data then run over the MRML
libraries of ``slicer-core`` and over Qt, as in an application. ``slicer.util`` is that of ``slicer-core``.
"""

from __future__ import annotations

import os
import sys
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import slicer

VARIABLE = "MISSINGMODALITY_SLICER"

PACKAGES = (
    "Base/Python/slicer",
    "bin/Python/slicer",
    "Contents/bin/Python/slicer",
    "Python/slicer",
    "slicer",
    ".",
)
"""Where Slicer's package lies below the folder: of sources, of an installed Slicer, on a Mac, and below."""

SAMPLE_DATA = ("Modules/Scripted/SampleData", "lib/Slicer-*/qt-scripted-modules")
"""Where the module SampleData lies, likewise."""


def folder() -> Path | None:
    """The folder that is named; None where none is."""
    named = os.environ.get(VARIABLE)
    return Path(named).expanduser().resolve() if named else None


def package(root: Path) -> Path:
    """The folder of Slicer's Python package.

    Raises:
        FileNotFoundError: there is none; the message says where was looked.
    """
    for place in PACKAGES:
        if (root / place / "ScriptedLoadableModule.py").is_file():
            return root / place
    raise FileNotFoundError(
        f"{VARIABLE}={root}: neither a Slicer nor its sources; no ScriptedLoadableModule.py in any of "
        f"{', '.join(PACKAGES)} below it."
    )


def sample_data(root: Path) -> Path | None:
    """The file SampleData.py of the same Slicer; None where only its package was named."""
    above = (root, *package(root).parents[:3])  # up to the folder with bin and lib, or Base and Modules
    found = (path for base in above for place in SAMPLE_DATA for path in base.glob(f"{place}/SampleData.py"))
    return next(found, None)


def use(root: Path) -> None:
    """Let ``slicer.NAME`` come from the folder where ``slicer-core`` has no such file."""
    slicer.__path__.append(str(package(root)))
    sys.meta_path.append(_AnyPythonQt())
    for module, prefixes in ((slicer, ("qMRML", "qSlicer")), (sys.modules["ctk"], ("ctk",))):
        _name_any_widget(module, prefixes)


def _name_any_widget(module: ModuleType, prefixes: tuple[str, ...]) -> None:
    """Answer the names of widgets that Slicer's files compare with and that no panel here has."""
    before = vars(module).get("__getattr__")

    def answer(name: str) -> Any:
        if name.startswith(prefixes):
            setattr(module, name, type(name, (), {}))
            return getattr(module, name)
        if before is not None:
            return before(name)
        raise AttributeError(f"module {module.__name__!r} has no attribute {name!r}")

    module.__getattr__ = answer


class _AnyPythonQt(MetaPathFinder, Loader):
    """Compiled modules of the application, such as qSlicerBaseQTGUIPythonQt: empty classes of any name."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        return ModuleSpec(name, self) if name.endswith("PythonQt") else None

    def create_module(self, spec: ModuleSpec) -> None:
        """The usual one."""

    def exec_module(self, module: ModuleType) -> None:
        _name_any_widget(module, ("q", "ctk"))
