"""Plans and settings for people: the help of ``--set``, and a plan as a commented YAML file."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import Field, fields, is_dataclass
from typing import Any

from ..core.setting_texts import as_text
from ..methods.registry import METHODS
from .plan import OF_THE_RUN, Plan
from .presets import PRESET_NAMES, PRESETS
from .recipes import RECIPES, Recipe
from .settings import OWN_METHODS, Settings

_WIDTH = 79
"""Of lines of help and comments: terminals are 80 wide."""


def describe_recipes() -> str:
    """What ``--recipe`` can be, with the stages of each."""
    lines = ["Recipes, stages that --stages must name in brackets:"]
    own = {name: RECIPES.get(name) for name in RECIPES.own_names()}
    lines += [f"  {name} ({_stages_of(recipe)}): {recipe.summary}" for name, recipe in own.items()]
    # every command makes this text: to look at those of other packages would import them each time, and one
    # that cannot be imported would stop commands that have nothing to do with it
    lines += [f"  {name}: of another package" for name in RECIPES if name not in own]
    return "\n".join(lines)


def describe_settings() -> str:
    """What ``--set`` can change, for people: every setting's name, defaults, meaning and range."""
    lines = ["Settings of the run, changed by --set NAME=VALUE:"]
    of_plan = {item.name: item for item in fields(Plan)}
    for name, field_name in OF_THE_RUN.items():
        if name != "network_options":
            default = _network_defaults() if name == "network" else as_text(getattr(Plan(), field_name))
            lines += _about(name, of_plan[field_name], default)
    lines += [
        "",
        "Settings of every stage, changed by --set NAME=VALUE, those of one by --set STAGE.NAME=VALUE:",
    ]
    for path, item in _settings_of(Settings()):
        lines += _about(path, item, _defaults(path))
    for method in METHODS:
        if method not in OWN_METHODS:  # naming its options would import it
            lines += [f"  {method}.OPTION", f"      Of the method {method}, which another package brings."]
    return "\n".join(lines)


def to_yaml(plan: Plan) -> str:
    """A plan as YAML that ``train --config`` reads, the meaning of each setting where it first stands."""
    lines = ["# Plan of a training run; train --config FILE carries it out."]
    commented: set[str] = set()
    for item in fields(Plan):
        if item.name != "stages":
            lines += _entry(item.name, item, getattr(plan, item.name), "", commented)
    lines.append("stages:")
    for name, settings in plan.stages.items():
        lines += [f"  {name}:", *_entries(settings, "    ", commented)]
    return "\n".join(lines) + "\n"


def _entries(settings: Any, indent: str, commented: set[str], path: str = "") -> Iterator[str]:
    """Lines of a dataclass of settings, comments for those whose path is not yet ``commented``."""
    for item in fields(settings):
        value = getattr(settings, item.name)
        if is_dataclass(value):
            yield f"{indent}{item.name}:"
            yield from _entries(value, indent + "  ", commented, f"{path}{item.name}.")
        elif item.name == "other_methods":
            for method, options in value.items():
                yield f"{indent}{method}: {_yaml(options)}"
        else:
            yield from _entry(path + item.name, item, value, indent, commented)


def _entry(path: str, item: Field[Any], value: Any, indent: str, commented: set[str]) -> Iterator[str]:
    if path not in commented:
        commented.add(path)
        yield from textwrap.wrap(
            _meaning(item), _WIDTH, initial_indent=f"{indent}# ", subsequent_indent=f"{indent}# "
        )
    yield f"{indent}{item.name}: {_yaml(value)}"


def _yaml(value: Any) -> str:
    """A value on one line."""
    import yaml

    plain = list(value) if isinstance(value, tuple) else value
    # a document of a lone scalar ends with a marker of its own
    return yaml.safe_dump(plain, default_flow_style=True, width=10_000).removesuffix("...\n").strip()


def _settings_of(settings: Any, path: str = "") -> Iterator[tuple[str, Field[Any]]]:
    """Path and field of every setting, those of groups by GROUP.OPTION."""
    for item in fields(settings):
        value = getattr(settings, item.name)
        if is_dataclass(value):
            yield from _settings_of(value, f"{path}{item.name}.")
        elif item.name != "other_methods":
            yield path + item.name, item


def _meaning(item: Field[Any]) -> str:
    return f"{item.metadata['meaning']}. Allowed: {item.metadata['allowed']}."


def _about(name: str, item: Field[Any], default: str) -> list[str]:
    return [
        f"  {name} = {default}",
        *textwrap.wrap(_meaning(item), _WIDTH, initial_indent=" " * 6, subsequent_indent=" " * 6),
    ]


def _stages_of(recipe: Recipe) -> str:
    """Their names; those on request in brackets."""
    return ", ".join(f"[{name}]" if name in recipe.on_request else name for name in recipe.stages)


def _network_defaults() -> str:
    return ", ".join(
        f"{as_text(options)} ({network} {preset})"
        for network, presets in PRESETS.items()
        for preset, (_, options) in presets.items()
        if options
    )


def _defaults(path: str) -> str:
    """One value where all presets agree, else e.g. "1 (quick), 2 (rfnet paper), 3 (segresnet paper)"."""
    owners: dict[str, list[tuple[str, str]]] = {}
    for preset in reversed(PRESET_NAMES):
        for network, presets in PRESETS.items():
            value: Any = presets[preset][0]
            for name in path.split("."):
                value = getattr(value, name)
            owners.setdefault(as_text(value), []).append((network, preset))
    if len(owners) == 1:
        return next(iter(owners))
    return ", ".join(f"{value} ({', '.join(_owners(pairs))})" for value, pairs in owners.items())


def _owners(pairs: list[tuple[str, str]]) -> list[str]:
    names = []
    for preset in dict.fromkeys(preset for _, preset in pairs):
        networks = [network for network, other in pairs if other == preset]
        names += [preset] if len(networks) == len(PRESETS) else [f"{one} {preset}" for one in networks]
    return names
