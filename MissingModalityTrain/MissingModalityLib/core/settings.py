"""Fields of dataclasses of settings that know what they mean and allow, for messages, help and panels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field, fields
from functools import wraps
from typing import Any

from .aliases import renamed
from .errors import OptionError


def facts(meaning: str, allowed: str, fine: Callable[[Any], bool] = lambda value: True) -> dict[str, Any]:
    """What a field knows about itself: its meaning and the values it allows, for messages and help."""
    return {"meaning": meaning, "allowed": allowed, "fine": fine}


def setting(
    default: Any, meaning: str, allowed: str, fine: Callable[[Any], bool] = lambda value: True
) -> Any:
    """A field of a dataclass of settings."""
    return field(default=default, metadata=facts(meaning, allowed, fine))


def at_least(least: int, default: float, meaning: str) -> Any:
    return setting(default, meaning, f"{least} or more", lambda value: value >= least)


def choice(default: str, meaning: str, *names: str) -> Any:
    return setting(default, meaning, f"one of {', '.join(names)}", lambda value: value in names)


def share(default: float, meaning: str) -> Any:
    return setting(default, meaning, "0 to less than 1", lambda value: 0 <= value < 1)


def switch(default: bool, meaning: str) -> Any:
    return setting(default, meaning, "true or false", lambda value: isinstance(value, bool))


def reads_old_names(old_names: Mapping[str, str]) -> Callable[[type], type]:
    """A dataclass whose fields may be given by earlier names too, see :mod:`aliases`."""

    def decorate(cls: type) -> type:
        construct = cls.__init__

        @wraps(construct)
        def __init__(self: Any, *args: Any, **values: Any) -> None:
            construct(self, *args, **renamed(values, old_names))

        cls.__init__ = __init__  # type: ignore[misc]
        return cls

    return decorate


def check(settings: Any, prefix: str = "") -> None:
    """Hold every field of a dataclass of settings against its own range.

    Args:
        prefix: of names in messages, where these are options of a setting.

    Raises:
        OptionError: naming the setting, its value and what is allowed.
    """
    for item in fields(settings):
        value, allowed = getattr(settings, item.name), item.metadata["allowed"]
        if not item.metadata["fine"](value):
            name = f"{prefix}{item.name}"
            raise OptionError(f"Setting {name}={as_text(value)} is out of range. Allowed: {allowed}.")


def as_text(value: Any) -> str:
    """A value as ``--set`` takes it."""
    if isinstance(value, dict):
        return " ".join(f"{option}={item}" for option, item in value.items()) or "none"
    if isinstance(value, tuple):
        return ",".join(map(str, value)) or "none"
    return str(value)
