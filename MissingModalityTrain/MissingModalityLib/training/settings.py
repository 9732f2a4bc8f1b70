"""Settings of a training stage, recipes and presets: what can be set, and where the defaults come from."""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from ..errors import OptionError
from ..modalities import SUBSETS, Subset, subset_name


def _facts(meaning: str, allowed: str, fine: Callable[[Any], bool] = lambda value: True) -> dict[str, Any]:
    """What a field knows about itself: its meaning and the values it allows, for messages and help."""
    return {"meaning": meaning, "allowed": allowed, "fine": fine}


def _setting(default: Any, *facts: Any) -> Any:
    return field(default=default, metadata=_facts(*facts))


def _at_least(least: int, default: float, meaning: str) -> Any:
    return _setting(default, meaning, f"{least} or more", lambda value: value >= least)


def _choice(default: str, meaning: str, *names: str) -> Any:
    return _setting(default, meaning, f"one of {', '.join(names)}", lambda value: value in names)


def _share(default: float, meaning: str) -> Any:
    return _setting(default, meaning, "0 to less than 1", lambda value: 0 <= value < 1)


def _are_sides(value: tuple[Any, ...]) -> bool:
    return len(value) == 3 and all(type(side) is int and side >= 8 for side in value)


def named_subsets(names: Iterable[str]) -> list[Subset]:
    """Subsets from names such as "FLAIR+T1ce" (any case and order), as :data:`modalities.SUBSETS` sorts them.

    Raises:
        OptionError: a name is none of a subset.
    """
    known = {frozenset(subset_name(subset).upper().split("+")): subset for subset in SUBSETS}
    wanted = {name: frozenset(name.upper().split("+")) for name in names}
    unknown = [f"'{name}'" for name, parts in wanted.items() if parts not in known]
    if unknown:
        raise OptionError(
            f"Setting subsets names {', '.join(unknown)}, which is no subset of the modalities. "
            f"Choose among: {', '.join(map(subset_name, SUBSETS))}."
        )
    return [subset for parts, subset in known.items() if parts in wanted.values()]


@dataclass(frozen=True)
class Settings:
    """One stage. Defaults: the paper's (RFNet: Ding et al., ICCV 2021, and its public training script).

    Raises:
        OptionError: a value out of its range, or an unknown subset.
    """

    epochs: int = _at_least(1, 300, "Epochs of the stage; the learning rate reaches 0 at the end of the last")
    iterations: int = _at_least(
        1, 150, "Optimizer steps in an epoch; cases are visited in turn, whatever their number"
    )
    batch: int = _at_least(1, 2, "Crops per step")
    crop: tuple[int, int, int] = _setting(
        (80, 80, 80),
        "Voxels (z, y, x) of 1 mm per crop; multiples of the network's divisor",
        "three whole numbers of 8 or more",
        _are_sides,
    )
    foreground: float = _setting(
        0.0,
        "Share of crops around a tumor voxel of a random class; the others lie anywhere in the brain box",
        "0 to 1",
        lambda value: 0 <= value <= 1,
    )
    augmentation: str = _choice("paper", "How much crops are changed at random", "none", "paper", "strong")
    learning_rate: float = _setting(
        2e-4, "Learning rate of the first epoch", "more than 0", lambda value: value > 0
    )
    weight_decay: float = _at_least(0, 1e-4, "L2 penalty on the weights")
    power: float = _at_least(0, 0.9, "Power of the polynomial decay of the learning rate, per epoch")
    clip: float = _at_least(0, 0.0, "Largest norm of the gradient, 0 for no limit")
    average: float = _share(
        0.0, "Decay per step of the running average of weights that is validated and exported; 0: none"
    )
    fusion_start: int = _at_least(
        0, 0, "Epochs during which a network with separate decoders trains those alone"
    )
    precision: str = _choice(
        "auto",
        "Number format to compute in; auto is half precision on GPU, float32 on CPU",
        *("auto", "float32", "bfloat16", "float16"),
    )
    validation: float = _share(
        0.1, "Share of the cases held out to watch the training; at least one case unless 0"
    )
    validate_every: int = _at_least(1, 25, "Epochs between validations")
    subsets: tuple[str, ...] = _setting(
        ("FLAIR+T1ce+T1+T2", "FLAIR+T1ce", "T1ce", "T2"),
        "Subsets that validation scores, as far as a case allows",
        "names joined by commas",
    )
    exclude: tuple[str, ...] = _setting((), "Cases of the folder to leave out", "names joined by commas")
    workers: int = _at_least(0, 0, "Processes that cut and augment crops beside the training one")
    network: dict[str, Any] = field(
        default_factory=dict,
        metadata=_facts(
            "Options of the network, each set as network.OPTION=VALUE",
            "filters, blocks, flags, head, dropout for segresnet; width for rfnet",
        ),
    )

    def __post_init__(self) -> None:
        for item in fields(self):
            value, allowed = getattr(self, item.name), item.metadata["allowed"]
            if not item.metadata["fine"](value):
                raise OptionError(f"Setting {item.name}={_text(value)} is out of range. Allowed: {allowed}.")
        named_subsets(self.subsets)


@dataclass(frozen=True)
class Recipe:
    """A named way to train: a network and the settings of each preset."""

    network: str
    summary: str
    presets: Mapping[str, Settings]


_QUICK = Settings(epochs=4, iterations=10, batch=1, crop=(64, 64, 64), foreground=0.67, validate_every=2)

RECIPES: Mapping[str, Recipe] = {
    "segresnet": Recipe(
        "segresnet",
        "Early fusion with modality dropout; the light network that a laptop can train and run.",
        {
            "paper": Settings(
                iterations=250,
                crop=(96, 96, 96),
                foreground=0.67,
                augmentation="strong",
                learning_rate=5e-4,
                clip=1.0,
                average=0.999,
            ),
            "quick": replace(_QUICK, learning_rate=1e-3, clip=1.0, network={"filters": 8}),
        },
    ),
    "rfnet": Recipe(
        "rfnet",
        "Region-aware fusion (Ding et al., ICCV 2021) with the settings of its public training script.",
        {
            "paper": Settings(fusion_start=20),
            "quick": replace(_QUICK, learning_rate=1e-3, network={"width": 4}),
        },
    ),
}


def resolve(recipe: str, preset: str, overrides: Mapping[str, str], base: Settings | None = None) -> Settings:
    """Settings of a recipe's preset (or of ``base``) with ``key=value`` texts put over them.

    Raises:
        OptionError: unknown recipe, preset or key, or a value of the wrong kind.
    """
    if recipe not in RECIPES:
        raise OptionError(f"Unknown recipe '{recipe}'. Choose one of: {', '.join(RECIPES)}.")
    presets = RECIPES[recipe].presets
    if preset not in presets:
        raise OptionError(f"Unknown preset '{preset}'. Choose one of: {', '.join(presets)}.")
    settings = base or presets[preset]
    for key, text in overrides.items():
        settings = _override(settings, key, text)
    return settings


def from_json(record: Mapping[str, Any]) -> Settings:
    """The inverse of ``dataclasses.asdict`` after a trip through JSON."""
    return Settings(
        **{key: tuple(value) if isinstance(value, list) else value for key, value in record.items()}
    )


def describe_settings() -> str:
    """What ``--set`` can change, for people: every setting's name, defaults, meaning and range."""
    lines = ["Settings, changed by --set NAME=VALUE, with the defaults of the recipes' presets:"]
    for item in fields(Settings):
        about = f"{item.metadata['meaning']}. Allowed: {item.metadata['allowed']}."
        lines.append(f"  {item.name} = {_defaults(item.name)}")
        lines += textwrap.wrap(about, 79, initial_indent=" " * 6, subsequent_indent=" " * 6)
    return "\n".join(lines)


def _defaults(name: str) -> str:
    """One value where all presets agree, else e.g. "1 (quick), 2 (rfnet paper), 3 (segresnet paper)"."""
    owners: dict[str, list[tuple[str, str]]] = {}
    for preset in ("quick", "paper"):
        for recipe in RECIPES:
            value = _text(getattr(RECIPES[recipe].presets[preset], name))
            owners.setdefault(value, []).append((recipe, preset))
    if len(owners) == 1:
        return next(iter(owners))
    return ", ".join(f"{value} ({', '.join(_owners(pairs))})" for value, pairs in owners.items())


def _owners(pairs: list[tuple[str, str]]) -> list[str]:
    names = []
    for preset in dict.fromkeys(preset for _, preset in pairs):
        recipes = [recipe for recipe, other in pairs if other == preset]
        names += [preset] if len(recipes) == len(RECIPES) else [f"{recipe} {preset}" for recipe in recipes]
    return names


def _text(value: Any) -> str:
    """A value as ``--set`` takes it."""
    if isinstance(value, dict):
        return " ".join(f"network.{option}={item}" for option, item in value.items()) or "none"
    if isinstance(value, tuple):
        return ",".join(map(str, value)) or "none"
    return str(value)


def _override(settings: Settings, key: str, text: str) -> Settings:
    name, _, option = key.partition(".")
    names = [item.name for item in fields(Settings)]
    if name not in names or bool(option) != (name == "network"):
        raise OptionError(
            f"Unknown setting '{key}'. Settings: {', '.join(names)} (network as network.OPTION)."
        )
    value = _literal(text)
    if option:
        return replace(settings, network={**settings.network, option: value})
    return replace(settings, **{name: _coerce(key, value, getattr(settings, name))})


def _literal(text: str) -> Any:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _coerce(key: str, value: Any, default: Any) -> Any:
    """``value`` as the kind of ``default``; 80 becomes (80, 80, 80) for a crop, "a,b" a tuple of names."""
    kind = type(default)
    item = type(default[0]) if kind is tuple and default else str
    if kind is tuple and item is int:
        value = (value,) * 3 if isinstance(value, int) else value
    elif kind is tuple and isinstance(value, str):
        value = tuple(part.strip() for part in value.split(","))
    elif kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if kind is tuple and isinstance(value, list):
        value = tuple(value)
    fits = isinstance(value, kind) and isinstance(value, bool) == (kind is bool)
    if not fits or (kind is tuple and not all(isinstance(part, item) for part in value)):
        raise OptionError(
            f"Setting {key}={_text(value)} must be of the kind of its default, {_text(default)}."
        )
    return value


def to_json(settings: Settings) -> dict[str, Any]:
    """Plain values for a JSON file."""
    return asdict(settings)
