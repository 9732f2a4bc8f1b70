"""Dataclasses of settings whose fields know what they mean and allow, for messages, help and panels.

Settings come in as keywords, as texts of ``--set``, from YAML and from JSON: all end in :func:`check`, which
knows the kinds from the annotations. A library such as pydantic would do that too, but panels list
recipes and settings before anything is installed, so this file needs the standard library alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, field, fields, is_dataclass, replace
from functools import cache, wraps
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from .aliases import renamed
from .errors import OptionError
from .setting_kinds import as_kind, in_words
from .setting_texts import as_text, literal
from .words import counted, unknown_name

T = TypeVar("T")


def facts(
    meaning: str, allowed: str = "", is_valid: Callable[[Any], bool] = lambda value: True
) -> dict[str, Any]:
    """What a field knows about itself: its meaning and the values it allows, for messages and help.

    Metadata of a field without :func:`setting`, such as a group of options: a dataclass of settings of its
    own, whose options are set as GROUP.OPTION.
    """
    return {"meaning": meaning, "allowed": allowed, "is_valid": is_valid}


def setting(
    default: Any, meaning: str, allowed: str, is_valid: Callable[[Any], bool] = lambda value: True
) -> Any:
    """A field of a dataclass of settings.

    Args:
        default: its value where none is given.
        meaning: one sentence for people, with the unit.
        allowed: the range in words.
        is_valid: whether a value of the field's kind is in that range.
    """
    return field(default=default, metadata=facts(meaning, allowed, is_valid))


def at_least(least: int, default: float, meaning: str, most: int | None = None) -> Any:
    """A number from ``least`` upward, as far as ``most`` where that is given.

    Give a ``most`` far beyond what anybody needs where a mistyped number would cost days or memory.
    """
    if most is None:
        return setting(default, meaning, f"{least} or more", lambda value: value >= least)
    allowed = f"{least} or more, at most {most}"
    return setting(default, meaning, allowed, lambda value: least <= value <= most)


def above_zero(most: int, default: float, meaning: str) -> Any:
    """A number above 0, as far as ``most``."""
    return setting(default, meaning, f"more than 0, at most {most}", lambda value: 0 < value <= most)


def within(low: float, high: float, default: float, meaning: str) -> Any:
    """A number from ``low`` to ``high``, both included."""
    return setting(default, meaning, f"{low:g} to {high:g}", lambda value: low <= value <= high)


def choice(default: str, meaning: str, *names: str) -> Any:
    """One of some names."""
    return setting(default, meaning, f"one of {', '.join(names)}", lambda value: value in names)


def fraction(default: float, meaning: str) -> Any:
    """A number from 0 to less than 1."""
    return setting(default, meaning, "0 to less than 1", lambda value: 0 <= value < 1)


def switch(default: bool, meaning: str) -> Any:
    """True or false."""
    return setting(default, meaning, "true or false")


def reads_old_names(
    old_names: Mapping[str, str], rearranged: Callable[[Mapping[str, Any]], Mapping[str, Any]] = dict
) -> Callable[[type[T]], type[T]]:
    """A dataclass of settings whose fields may be given by earlier names too, see :mod:`aliases`.

    Args:
        old_names: name of today by earlier name.
        rearranged: called with the values first, where an earlier name means something else today.
    """

    def decorate(cls: type[T]) -> type[T]:
        construct = cls.__init__

        @wraps(construct)
        def __init__(self: Any, *args: Any, **values: Any) -> None:
            named = _nested(renamed(rearranged(values), old_names))
            _check_arguments(cls, args, named)
            construct(self, *args, **named)

        cls.__init__ = __init__  # type: ignore[misc]
        cls._old_names = dict(old_names)  # type: ignore[attr-defined]
        return cls

    return decorate


def _check_arguments(cls: type, values: tuple[Any, ...], named: Mapping[str, Any]) -> None:
    """Refuse keywords that are no field, and more values than there are fields, in the words of ``--set``."""
    names = [item.name for item in fields(cls) if item.init]
    if others := [name for name in named if name not in names]:
        raise OptionError(unknown_name("setting", others[0], names, "Settings"))
    by_place = names[: len(values)]
    if twice := [name for name in by_place if name in named]:
        raise SettingError(twice[0], f" is given twice, by its place and by its name. Give {twice[0]} alone.")
    if len(values) > len(names):
        raise OptionError(
            f"{counted(len(values), 'value')} for {counted(len(names), 'setting')}. Give them by name."
        )


def all_old_names(cls: type) -> dict[str, str]:
    """Earlier names of a dataclass of settings and of its groups of options, as paths joined by dots."""
    names = dict(getattr(cls, "_old_names", {}))
    for name, kind in _kinds(cls).items():
        if is_dataclass(kind):
            names |= {f"{name}.{old}": f"{name}.{new}" for old, new in all_old_names(kind).items()}
    return names


class SettingError(OptionError):
    """A setting of the wrong kind or out of its range.

    Args:
        name: of the setting.
        problem: what follows the name in the message.
    """

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(f"Setting {name}{problem}")
        self.name = name
        self.problem = problem

    def within(self, prefix: str) -> SettingError:
        """The same of a setting in a group, whose options may know the group's name or not."""
        name = self.name if self.name.startswith(prefix) else prefix + self.name
        return SettingError(name, self.problem)


def check(settings: Any, prefix: str = "") -> None:
    """Hold every field of a dataclass of settings against its kind and its range; for ``__post_init__``.

    A value that can be read as one of the kind becomes one: 1 as 1.0, a list as a tuple, 80 as (80, 80, 80)
    where three whole numbers are asked for, a text as ``--set`` takes it, a mapping as a group of options.

    Args:
        settings: a dataclass whose annotations are int, float, bool, str, a tuple of one of these, a
            dataclass of settings, ``dict[str, Any]``, or one of these or None.
        prefix: of names in messages, where these are options of a setting.

    Raises:
        OptionError: naming the setting, its value and what is allowed.
    """
    kinds = _kinds(type(settings))
    for item in fields(settings):
        name = prefix + item.name
        value = _read(name, getattr(settings, item.name), kinds[item.name], item)
        object.__setattr__(settings, item.name, value)  # the dataclass is frozen, and being made
        if not item.metadata["is_valid"](value):
            raise SettingError(
                name, f"={as_text(value)} is out of range. Allowed: {item.metadata['allowed']}."
            )


def with_changes(settings: T, changes: Mapping[str, Any], prefix: str = "") -> T:
    """A dataclass of settings with values put over it.

    Args:
        settings: an instance.
        changes: values, or texts as ``--set`` takes them, by field; those of a group by "GROUP.OPTION" or in
            a mapping of their own. Earlier names are read.
        prefix: of the keys in messages.

    Raises:
        OptionError: an unknown key, or a value of the wrong kind or out of its range.
    """
    values: dict[str, Any] = {}
    for name, given in _nested(renamed(flat(changes), all_old_names(type(settings)))).items():
        present = getattr(settings, name, None)
        is_group = is_dataclass(present) or isinstance(present, dict)
        if is_group and not isinstance(given, Mapping):
            raise SettingError(prefix + name, _not_options(prefix + name, given))
        if name not in _kinds(type(settings)) or isinstance(given, Mapping) > is_group:
            path = next(iter(flat({name: given})))
            raise OptionError(unknown_name("setting", prefix + path, _listed(settings, prefix), "Settings"))
        if isinstance(present, dict):
            values[name] = {**present, **{key: literal(value) for key, value in given.items()}}
        else:
            values[name] = with_changes(present, given, f"{prefix}{name}.") if is_group else given
    try:
        return replace(settings, **values)
    except SettingError as error:
        raise error.within(prefix) from None


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one, keys joined by dots."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found


def _nested(values: Mapping[str, Any]) -> dict[str, Any]:
    """Paths of the same beginning in a mapping of their own: the first level of what :func:`flat` undoes."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        name, dot, rest = key.partition(".")
        options, present = {rest: value} if dot else value, found.get(name)
        if is_dataclass(present) and isinstance(options, Mapping):
            options = with_changes(present, options, f"{name}.")
        elif isinstance(present, Mapping) and isinstance(options, Mapping):
            options = {**present, **options}
        elif name in found:
            raise SettingError(name, f"={as_text(present)} and {key}={as_text(value)} exclude each other.")
        found[name] = options
    return found


@cache
def _kinds(cls: type) -> dict[str, Any]:
    """The annotations of a dataclass's fields, as types."""
    hints = get_type_hints(cls)
    return {item.name: hints[item.name] for item in fields(cls)}


def _listed(settings: Any, prefix: str) -> list[str]:
    values = {item.name: getattr(settings, item.name) for item in fields(settings)}
    grouped = {name for name, value in values.items() if is_dataclass(value) or isinstance(value, dict)}
    return [f"{prefix}{name}.OPTION" if name in grouped else prefix + name for name in values]


def _read(name: str, value: Any, kind: Any, item: Any) -> Any:
    """``value`` as one of a kind.

    Raises:
        OptionError: it cannot be read as one.
    """
    kinds = [kind]
    if get_origin(kind) in (Union, UnionType):
        kinds = [part for part in get_args(kind) if part is not NoneType]
        if len(kinds) < len(get_args(kind)) and (literal(value) is None or value == "none"):
            return None
        # a whole number stays one, as 1 would also be read as 1.0
        kinds.sort(key=lambda part: part is float)
    kind = kinds[-1]
    if is_dataclass(kind):
        return _read_group(name, value, kind)
    found = (as_kind(value, part) for part in kinds)
    read = next((one for one in found if one is not None), None)
    if read is None:
        default = "" if item.default in (MISSING, None) else f", such as {as_text(item.default)}"
        raise SettingError(name, f"={as_text(value)} must be {in_words(kind)}{default}.")
    return read


def _read_group(name: str, value: Any, kind: type) -> Any:
    if isinstance(value, kind):
        return value
    if not isinstance(value, Mapping):
        raise SettingError(name, _not_options(name, value))
    return with_changes(kind(), value, f"{name}.")


def _not_options(name: str, value: Any) -> str:
    return f"={as_text(value)} must be options, each given as {name}.OPTION=VALUE."
