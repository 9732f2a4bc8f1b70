"""Slicer's own Python files in the place of the stand-ins, from a folder that MISSINGMODALITY_SLICER names.

The folder is that of an installed Slicer or of a checkout of its sources; nothing of it is copied. Its
parameter nodes, module base classes, translation, package installation and sample data then run over the MRML
libraries of ``slicer-core`` and over Qt, as in an application. ``slicer.util`` is that of ``slicer-core``;
what another version has beside it comes from the folder.
"""

from __future__ import annotations

import importlib.util
import sys
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import slicer
import slicer.util

from slicer_folder import package


def use(root: Path) -> None:
    """Let ``slicer.NAME`` come from the folder where ``slicer-core`` has no such file."""
    slicer.__path__.append(str(package(root)))
    sys.meta_path.append(_AnyPythonQt())
    slicer.util.__getattr__ = _UtilOf(package(root) / "util.py")
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


class _UtilOf:
    """Answers names that ``slicer.util`` of ``slicer-core`` lacks, from the file of the folder."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._module: ModuleType | None = None

    def __call__(self, name: str) -> Any:
        if name.startswith("__") or not self._path.is_file():
            raise AttributeError(f"module 'slicer.util' has no attribute {name!r}")
        if self._module is None:
            spec = importlib.util.spec_from_file_location("slicer_util_of_folder", self._path)
            self._module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(self._module)
        return getattr(self._module, name)


class _AnyPythonQt(MetaPathFinder, Loader):
    """Compiled modules of the application, such as qSlicerBaseQTGUIPythonQt: empty classes of any name."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        return ModuleSpec(name, self) if name.endswith("PythonQt") else None

    def create_module(self, spec: ModuleSpec) -> None:
        """The usual one."""

    def exec_module(self, module: ModuleType) -> None:
        _name_any_widget(module, ("q", "ctk"))
