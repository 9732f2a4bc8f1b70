"""Settings of a training stage, recipes and presets: what can be set, and where the defaults come from."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from ..errors import OptionError


@dataclass(frozen=True)
class Settings:
    """One stage. Defaults: the paper's (RFNet: Ding et al., ICCV 2021, and its public training script)."""

    epochs: int = 300
    """Epochs of the stage; the learning rate reaches 0 at the end of the last."""
    iterations: int = 150
    """Optimizer steps in an epoch; cases are visited in turn, whatever their number."""
    batch: int = 2
    """Crops per step."""
    crop: tuple[int, int, int] = (80, 80, 80)
    """Voxels (z, y, x) of 1 mm per crop; multiples of the network's divisor."""
    foreground: float = 0.0
    """Share of crops around a tumour voxel of a random class; the others lie anywhere in the brain box."""
    augmentation: str = "paper"
    """"none", "paper" or "strong", see :class:`augmentation.Augmentation`."""
    learning_rate: float = 2e-4
    weight_decay: float = 1e-4
    power: float = 0.9
    """Of the polynomial decay of the learning rate, per epoch."""
    clip: float = 0.0
    """Largest norm of the gradient, 0 for no limit."""
    average: float = 0.0
    """Decay per step of the running average of weights that is validated and exported; 0: none."""
    fusion_start: int = 0
    """Epochs during which a network with separate decoders trains those alone."""
    precision: str = "auto"
    """"auto": half precision on GPU, float32 on CPU; or "float32", "bfloat16", "float16"."""
    validation: float = 0.1
    """Share of the cases held out to watch the training; at least one case unless 0."""
    validate_every: int = 25
    """Epochs between validations."""
    subsets: tuple[str, ...] = ("FLAIR+T1ce+T1+T2", "FLAIR+T1ce", "T1ce", "T2")
    """Subsets that validation scores, as far as a case allows."""
    exclude: tuple[str, ...] = ()
    """Cases of the folder to leave out, by name."""
    workers: int = 0
    """Processes that cut and augment crops beside the training one."""
    network: dict[str, Any] = field(default_factory=dict)
    """Options of the network, set as network.width=8."""

    def __post_init__(self) -> None:
        checks = {
            "epochs": self.epochs >= 1,
            "iterations": self.iterations >= 1,
            "batch": self.batch >= 1,
            "crop": len(self.crop) == 3 and min(self.crop) >= 8,
            "foreground": 0 <= self.foreground <= 1,
            "augmentation": self.augmentation in ("none", "paper", "strong"),
            "learning_rate": self.learning_rate > 0,
            "average": 0 <= self.average < 1,
            "precision": self.precision in ("auto", "float32", "bfloat16", "float16"),
            "validation": 0 <= self.validation < 1,
            "validate_every": self.validate_every >= 1,
            "workers": self.workers >= 0,
        }
        for name, fine in checks.items():
            if not fine:
                raise OptionError(
                    f"Setting {name}={getattr(self, name)} is out of range. See 'train --help'."
                )


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
    if kind is tuple and default and isinstance(default[0], int):
        value = (value,) * 3 if isinstance(value, int) else value
    elif kind is tuple and isinstance(value, str):
        value = tuple(part.strip() for part in value.split(","))
    elif kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if kind is tuple and isinstance(value, list):
        value = tuple(value)
    if not isinstance(value, kind) or isinstance(value, bool) != (kind is bool):
        raise OptionError(f"Setting {key}={value} must be of the kind of its default, {default}.")
    return value


def to_json(settings: Settings) -> dict[str, Any]:
    """Plain values for a JSON file."""
    return asdict(settings)
