"""Unknown names and values of the wrong kind refused where they come in: at public functions and options."""

from __future__ import annotations

import functools
import inspect
import numbers
import os
import reprlib
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, Union, get_args, get_origin, get_type_hints

from .errors import OptionError
from .words import unknown_name

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

_KINDS: Mapping[Any, tuple[Any, str, str]] = {
    Path: (os.PathLike, "a path", "paths"),
    str: (str, "a text", "texts"),
    int: (numbers.Integral, "a whole number", "whole numbers"),
    float: (numbers.Real, "a number", "numbers"),
    bool: (bool, "True or False", "True or False"),
    type(None): (type(None), "None", "None"),
}
"""What counts as of an annotation, and how one and many are called: NumPy's numbers are numbers too."""


def checked(function: Callable[P, R]) -> Callable[P, R]:
    """A public function that first looks whether each argument is of the kind that its annotation says.

    Mappings and sequences are looked into; a text is no sequence, though Python takes it for one. An argument
    ``student`` may be given as ``model`` too, as help and messages call it.

    Raises:
        OptionError: one is not, naming the argument, its value and the kinds it may have; or no argument has
            that name, naming the nearest one.
    """
    signature = inspect.signature(function)

    @functools.wraps(function)
    def call(*values: P.args, **named: P.kwargs) -> R:
        if "model" in named and "student" in signature.parameters.keys() - named.keys():
            named["student"] = named.pop("model")
        check_names(named, signature.parameters)
        kinds = _hints(function)
        for name, value in signature.bind(*values, **named).arguments.items():
            if name in kinds:
                check_kind(name, value, kinds[name])
        return function(*values, **named)

    return call


def takes_known_names(cls: type[T]) -> type[T]:
    """A dataclass that refuses names that it does not have, and says which values it lacks.

    Raises:
        OptionError: a name that is no field, naming the nearest one; or a value without a default is missing.
    """
    construct = cls.__init__
    given = [item for item in fields(cls) if item.init]  # type: ignore[arg-type]
    needed = [item.name for item in given if item.default is item.default_factory is MISSING]

    @functools.wraps(construct)
    def __init__(self: Any, *values: Any, **named: Any) -> None:
        check_names(named, [item.name for item in given])
        if lacking := [name for name in needed[len(values) :] if name not in named]:
            raise OptionError(f"Give {' and '.join(lacking)} too.")
        construct(self, *values, **named)

    cls.__init__ = __init__  # type: ignore[misc]
    return cls


def check_names(named: Iterable[str], known: Iterable[str]) -> None:
    """Raise OptionError for the first name that is not known, naming the nearest one."""
    known = list(known)
    for name in named:
        if name not in known:
            raise OptionError(unknown_name("option", name, known, "Options"))


def check_kind(name: str, value: Any, kind: Any) -> None:
    """Raise OptionError where ``value``, called ``name``, is not of a kind, which is a type annotation."""
    if not _fits(value, kind):
        raise OptionError(f"{name}={reprlib.repr(value)}: give {in_words(kind)}.")


def in_words(kind: Any, many: bool = False) -> str:
    """``Path | str | None`` -> ``"a path or None"``, of many ``"paths or None"``."""
    words = list(dict.fromkeys(_word(alternative, many) for alternative in _alternatives(kind)))
    path, text = (_KINDS[known][2 if many else 1] for known in (Path, str))
    # a text in place of a path is a path, and needs no word
    words = [word for word in words if word != text or path not in words]
    *most, last = words
    return f"{', '.join(most)} or {last}" if most else last


@functools.cache
def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    # when called, not when defined: modules of a function's own room may still be loading then
    return get_type_hints(function)


def _alternatives(kind: Any) -> tuple[Any, ...]:
    return get_args(kind) if get_origin(kind) in (Union, types.UnionType) else (kind,)


def _fits(value: Any, kind: Any) -> bool:
    return any(_is_of(value, alternative) for alternative in _alternatives(kind))


def _is_of(value: Any, kind: Any) -> bool:
    origin, inner = get_origin(kind) or kind, get_args(kind)
    if (
        origin is Any or not isinstance(origin, type) or issubclass(origin, Callable)
    ):  # the last by reporter()
        return True
    if origin in _KINDS:
        # True is a whole number to Python
        return isinstance(value, _KINDS[origin][0]) and (isinstance(value, bool) <= (origin is bool))
    if not isinstance(value, origin) or isinstance(value, (str, bytes)):  # of which Python can make a list
        return False
    if issubclass(origin, Mapping) and inner:
        return all(_fits(key, inner[0]) and _fits(part, inner[1]) for key, part in value.items())
    if issubclass(origin, Sequence) and inner:
        return all(_fits(part, inner[0]) for part in value)
    return True


def _word(kind: Any, many: bool) -> str:
    origin, inner = get_origin(kind) or kind, get_args(kind)
    if origin in _KINDS:
        return _KINDS[origin][2 if many else 1]
    if origin is Any or not isinstance(origin, type):
        return "values" if many else "a value"
    if origin.__module__ == "collections.abc":
        name = "dict" if issubclass(origin, Mapping) else "list"
        of = f" of {in_words(inner[-1], many=True)}" if inner else ""
        return f"{name}s{of}" if many else f"a {name}{of}"
    article = "an" if origin.__name__[0] in "AEIOU" else "a"
    return f"{origin.__name__}s" if many else f"{article} {origin.__name__}"
