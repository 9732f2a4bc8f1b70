"""Registries: how networks, methods, recipes and layouts get their names, ours and those of other packages.

Four sources, in this order; an earlier one keeps its name:

1. built in, named in the code of this library;
2. registered in this process, with :meth:`Registry.register`;
3. registered in the process that started this one: ``MISSINGMODALITY_PLUGINS`` in the environment lists them
   as ``kind.name=module:attribute``, separated by ``;``, so that jobs and torchrun's processes know them too.
   Whoever starts the command line by hand can set it as well;
4. entry points of installed packages, such as ``[project.entry-points."missing_modality.networks"]``.

Names are listed without importing anything; only :meth:`Registry.get` imports, and only what one of these
sources names. A file that is read (student, run folder, plan) chooses among the names and never adds one.
"""

from __future__ import annotations

import functools
import os
import re
import sys
import sysconfig
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module, metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Generic, TypeVar

from .errors import OptionError
from .words import unknown_name

T = TypeVar("T")

PLUGINS = "MISSINGMODALITY_PLUGINS"
"""Environment variable by which registrations reach child processes."""

_UNREACHABLE = "__main__"
"""In place of a location: what was registered lives in the parent's console alone."""


class Registry(Generic[T]):
    """Items of one kind by name.

    Args:
        kind: what messages call an item, such as "network".
        group: of entry points.
        builtin: name -> ``"module:attribute"``, imported when it is asked for, or the item itself.
        check: called with name and item before one from outside is accepted; raises OptionError.
    """

    def __init__(
        self,
        kind: str,
        group: str,
        builtin: Mapping[str, Any],
        check: Callable[[str, Any], None] = lambda name, item: None,
    ) -> None:
        self.kind = kind
        self.group = group
        self._builtin = dict(builtin)
        self._registered: dict[str, Any] = {}
        self._check = check

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def __contains__(self, name: object) -> bool:
        return name in self.names()

    def __repr__(self) -> str:
        return f"<{self.kind}: {', '.join(self.names())}>"

    def names(self) -> tuple[str, ...]:
        """All names, the built-in ones first; imports nothing."""
        sources = (self._builtin, self._registered, self._inherited(), self._installed())
        return tuple(dict.fromkeys(name for source in sources for name in source))

    def own_names(self) -> tuple[str, ...]:
        """Names that come with this library: their items can be looked at wherever a list is shown."""
        return tuple(self._builtin)

    def get(self, name: str) -> T:
        """The item of a name, imported if need be.

        Raises:
            OptionError: there is none of that name, or its package cannot be imported.
        """
        if name in self._builtin:
            item = self._builtin[name]
            return _load(item) if isinstance(item, str) else item
        location = self._outside(name)
        if not isinstance(location, str):
            return location
        if location == _UNREACHABLE:
            raise OptionError(
                f"The {self.kind} '{name}' was registered from an object that only the process which defined "
                "it can see. Write it into a .py file and register it from there, or as 'module:attribute'."
            )
        try:
            item = _load(location)
        except Exception as error:  # the import runs another package's code, which may raise anything
            remedy = "Mend or remove the package that brings it."
            if isinstance(error, ModuleNotFoundError) and error.name:
                remedy = f"Install the Python package '{error.name}', which it needs."
            raise OptionError(
                f"The {self.kind} '{name}' cannot be loaded from {location} "
                f"({type(error).__name__}: {error}). {remedy}"
            ) from error
        self._check(name, item)
        return item

    def package(self, name: str) -> str:
        """The distribution that brings an item, "" for ours; for a registered one its top module.

        Raises:
            OptionError: there is none of that name.
        """
        if name in self._builtin:
            return ""
        location = self._outside(name)
        if name not in self._registered and name not in self._inherited():
            entry = self._installed()[name]
            return entry.dist.name if entry.dist else entry.module
        location = location if isinstance(location, str) else _location(location)
        return "" if location == _UNREACHABLE else location.partition(":")[0].partition(".")[0]

    def register(self, name: str, item: T | str) -> None:
        """Add an item for this process and for those that it starts.

        Args:
            name: letters, digits, ``-`` and ``_``; one that was registered before is replaced.
            item: the item, or ``"module:attribute"`` where it is to be found. Child processes find an item
                that a module has, or what such a text names.

        Raises:
            OptionError: the name is built in, taken by an installed package or not a name, or the item does
                not do as one of this kind.
        """
        if not re.fullmatch(r"\w[\w-]*", name):
            raise OptionError(f"'{name}' cannot name a {self.kind}. Use letters, digits, - and _.")
        if name in self._builtin or name in self._installed():
            raise OptionError(f"There is a {self.kind} '{name}' already. Register yours by another name.")
        if not isinstance(item, str):
            self._check(name, item)
        elif not re.fullmatch(r"[\w.]+:[\w.]+", item) or not _folder_on_path(item):
            raise OptionError(
                f"{item} is no module:attribute that can be found. Put its folder into sys.path."
            )
        self._registered[name] = item
        location = item if isinstance(item, str) else _location(item)
        _tell_children(f"{self.kind}.{name}", location)

    def _outside(self, name: str) -> Any:
        """What is not built in: the item itself or its location."""
        if name in self._registered:
            return self._registered[name]
        if name in (inherited := self._inherited()):
            return inherited[name]
        if name in (installed := self._installed()):
            return installed[name].value
        raise OptionError(unknown_name(self.kind, name, self.names()))

    def _inherited(self) -> dict[str, str]:
        """Name -> location, of what the parent process has registered."""
        begin = f"{self.kind}."
        return {
            key.removeprefix(begin): location for key, location in _plugins().items() if key.startswith(begin)
        }

    def _installed(self) -> dict[str, metadata.EntryPoint]:
        """Name -> entry point; the first package on the path keeps a name that two of them claim."""
        found = _entry_points(self.group, _state_of_path())
        return {entry.name: entry for entry in reversed(found)}


def _load(location: str) -> Any:
    """What stands at ``module:attribute``."""
    module, _, attribute = location.partition(":")
    return functools.reduce(getattr, attribute.split("."), import_module(module))


def _location(item: Any) -> str:
    """Where another process can import an item from, :data:`_UNREACHABLE` if nowhere."""
    module, attribute = getattr(item, "__module__", None), getattr(item, "__qualname__", None)
    if not attribute:  # neither class nor function, such as a recipe
        return _location_of_object(item)
    if not module or module == "__main__":
        return _UNREACHABLE
    try:
        return f"{module}:{attribute}" if _load(f"{module}:{attribute}") is item else _UNREACHABLE
    except (ImportError, AttributeError):  # made within a function
        return _UNREACHABLE


def _location_of_object(item: Any) -> str:
    """The same of an object that does not know its name: the module that has it by one."""
    for module in list(sys.modules.values()):
        if getattr(module, "__file__", None) and module.__name__ != "__main__":
            for attribute, value in list(vars(module).items()):
                if value is item:
                    return f"{module.__name__}:{attribute}"
    return _UNREACHABLE


def _plugins() -> dict[str, str]:
    """``kind.name`` -> location, as the environment lists them."""
    entries = os.environ.get(PLUGINS, "").split(";")
    return dict(entry.split("=", 1) for entry in map(str.strip, entries) if "=" in entry)


def _tell_children(key: str, location: str) -> None:
    """Write a registration into the environment, and its module's folder into the children's search path."""
    os.environ[PLUGINS] = ";".join(f"{name}={place}" for name, place in {**_plugins(), key: location}.items())
    listed = [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    folder = None if location == _UNREACHABLE else _folder_on_path(location)
    # every Python finds its own folders by itself; among those of PYTHONPATH they would come too early
    own = {str(Path(place).resolve()) for place in sysconfig.get_paths().values()}
    if folder and folder not in {*listed, *own}:
        os.environ["PYTHONPATH"] = os.pathsep.join([*listed, folder])


def _folder_on_path(location: str) -> str | None:
    """The entry of ``sys.path`` that the module of a location comes from; None if it cannot be found."""
    try:
        spec = find_spec(location.partition(":")[0].partition(".")[0])
    except (ImportError, ValueError):
        return None
    places = spec and (list(spec.submodule_search_locations or ()) or [spec.origin])
    return str(Path(places[0]).resolve().parent) if places and places[0] else None


def _state_of_path() -> tuple[tuple[str, float], ...]:
    """Changes whenever a package may have been installed or removed."""
    return tuple((entry, _modified(entry or ".")) for entry in sys.path)


def _modified(folder: str) -> float:
    try:
        return os.stat(folder).st_mtime
    except OSError:
        return 0.0


# listing them reads a file per installed package, which is too slow for each look at a name
@functools.lru_cache(maxsize=8)
def _entry_points(group: str, state: tuple[tuple[str, float], ...]) -> tuple[metadata.EntryPoint, ...]:
    return tuple(metadata.entry_points(group=group))
