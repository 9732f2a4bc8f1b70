"""Settings of one training stage: what can be set, the paper's values, and how texts become values."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from ..core.aliases import OLD_SETTINGS
from ..core.errors import OptionError
from ..core.modalities import SUBSETS, Subset, subset_name
from ..core.settings import as_text, at_least, check, choice, facts, reads_old_names, setting, share
from ..methods.options import JointOptions
from ..synthesis.options import SynthesisOptions


def _are_sides(value: tuple[Any, ...]) -> bool:
    return len(value) == 3 and all(type(side) is int and side >= 8 for side in value)


def named_subsets(names: Iterable[str], setting_name: str = "validation_subsets") -> list[Subset]:
    """Subsets from names such as "FLAIR+T1ce" (any case and order), as :data:`modalities.SUBSETS` sorts them.

    Raises:
        OptionError: a name is none of a subset.
    """
    known = {frozenset(subset_name(subset).upper().split("+")): subset for subset in SUBSETS}
    wanted = {name: frozenset(name.upper().split("+")) for name in names}
    unknown = [f"'{name}'" for name, parts in wanted.items() if parts not in known]
    if unknown:
        raise OptionError(
            f"Setting {setting_name} names {', '.join(unknown)}, which is no subset of the modalities. "
            f"Choose among: {', '.join(map(subset_name, SUBSETS))}."
        )
    return [subset for parts, subset in known.items() if parts in wanted.values()]


@reads_old_names(OLD_SETTINGS)
@dataclass(frozen=True)
class Settings:
    """One stage. Defaults: the papers' (RFNet: Ding et al., ICCV 2021; AEM+KD: Liu et al., Sec. 4.1).

    Raises:
        OptionError: a value out of its range, or an unknown subset.
    """

    epochs: int = at_least(1, 300, "Epochs of the stage; the learning rate reaches 0 at the end of the last")
    iterations_per_epoch: int = at_least(
        1, 150, "Optimizer steps in an epoch, however many cases there are; each epoch orders them anew"
    )
    batch_size: int = at_least(1, 2, "Crops per step, over all processes of a distributed run together")
    patch_size: tuple[int, int, int] = setting(
        (80, 80, 80),
        "Voxels (z, y, x) of 1 mm per crop; multiples of the network's divisor",
        "three whole numbers of 8 or more",
        _are_sides,
    )
    oversample_foreground: float = setting(
        0.0,
        "Share of crops around a tumor voxel of a random class; the others lie anywhere in the brain box",
        "0 to 1",
        lambda value: 0 <= value <= 1,
    )
    augmentation: str = choice("paper", "How much crops are changed at random", "none", "paper", "strong")
    training_subsets: tuple[str, ...] = setting(
        (),
        "Subsets to train for, each drawn as often, as far as a case allows; none named: all 15",
        "names joined by commas",
    )
    synthesis: str = choice(
        "none",
        "Synthetic cases beside the real ones: tumors transplanted, or images mixed",
        "none",
        "aem",
        "mixup",
    )
    factor: int = at_least(2, 4, "Real and synthetic cases together, times the number of real ones")
    synthetic: dict[str, Any] = field(
        default_factory=dict,
        metadata=facts(
            "Options of the synthesis, each set as synthetic.OPTION=VALUE",
            ", ".join(item.name for item in fields(SynthesisOptions)),
        ),
    )
    method: str = choice(
        "supervised",
        "What the stage learns from: the labels; also a frozen teacher that sees one modality more; or also "
        "a teacher that sees all and is trained along",
        *("supervised", "distillation", "joint"),
    )
    teacher_every: int = at_least(1, 5, "Distillation: epochs after which the student replaces its teacher")
    feature_weight: float = at_least(0, 1.0, "Distillation: weight of the distance between features")
    prediction_weight: float = at_least(0, 1.0, "Distillation: weight of the teacher's predictions")
    distilled: str = choice(
        "fused",
        "Distillation: features after fusion, or of the encoders, which no missing modality changes",
        *("fused", "encoder"),
    )
    joint: dict[str, Any] = field(
        default_factory=dict,
        metadata=facts(
            "Options of the method joint, each set as joint.OPTION=VALUE",
            ", ".join(item.name for item in fields(JointOptions)),
        ),
    )
    learning_rate: float = setting(
        2e-4, "Learning rate of the first epoch", "more than 0", lambda value: value > 0
    )
    adam_beta2: float = share(0.999, "Adam: decay per step of the running mean of squared gradients")
    weight_decay: float = at_least(0, 1e-4, "L2 penalty on the weights")
    lr_decay_power: float = at_least(0, 0.9, "Power of the polynomial decay of the learning rate, per epoch")
    max_grad_norm: float = at_least(0, 0.0, "Largest norm of the gradient, 0 for no limit")
    ema_decay: float = share(
        0.0, "Decay per step of the running average of weights that is validated and exported; 0: none"
    )
    fusion_start_epoch: int = at_least(
        0, 0, "Epochs in which a network with separate decoders, starting from scratch, trains those alone"
    )
    precision: str = choice(
        "auto",
        "Number format to compute in; auto is half precision on GPU, float32 on CPU",
        *("auto", "float32", "bfloat16", "float16"),
    )
    validation_interval: int = at_least(1, 25, "Epochs between validations")
    validation_subsets: tuple[str, ...] = setting(
        ("FLAIR+T1ce+T1+T2", "FLAIR+T1ce", "T1ce", "T2"),
        "Subsets that validation scores, as far as a case allows",
        "names joined by commas",
    )
    num_workers: int = at_least(
        0, 0, "Processes that cut crops beside the training one, at most one per core"
    )

    def __post_init__(self) -> None:
        check(self)
        named_subsets(self.validation_subsets)
        named_subsets(self.training_subsets, "training_subsets")
        self.synthesis_options()
        self.joint_options()

    def synthesis_options(self) -> SynthesisOptions:
        """``synthetic`` as checked options.

        Raises:
            OptionError: an unknown option or a value out of its range.
        """
        return changed(SynthesisOptions(), self.synthetic, "synthetic.")

    def joint_options(self) -> JointOptions:
        """``joint`` as checked options.

        Raises:
            OptionError: an unknown option or a value out of its range.
        """
        return changed(JointOptions(), self.joint, "joint.")


def changed(settings: Any, changes: Mapping[str, Any], prefix: str = "") -> Any:
    """A dataclass of settings with values put over it.

    Args:
        settings: an instance.
        changes: values, or texts as ``--set`` takes them, by field; options of a dictionary field by
            "FIELD.OPTION".
        prefix: of the keys in messages.

    Raises:
        OptionError: an unknown key, or a value of the wrong kind or out of its range.
    """
    values: dict[str, Any] = {}
    names = {item.name: getattr(settings, item.name) for item in fields(settings)}
    for key, given in changes.items():
        name, _, option = key.partition(".")
        if name not in names or bool(option) != isinstance(names[name], dict):
            listed = ", ".join(f"{n}.OPTION" if isinstance(v, dict) else n for n, v in names.items())
            raise OptionError(f"Unknown setting '{prefix}{key}'. Settings: {listed}.")
        value = _literal(given) if isinstance(given, str) else given
        if _are_names(names[name]) and not _are_names(value):
            value = given  # names may look like numbers
        if option:
            values[name] = {**values.get(name, names[name]), option: value}
        else:
            values[name] = _coerce(prefix + key, value, names[name])
    return replace(settings, **values)


def _are_names(value: Any) -> bool:
    return isinstance(value, (tuple, list)) and all(isinstance(part, str) for part in value)


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
        value = tuple(part.strip() for part in value.split(",")) if value != "none" else ()
    elif kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if kind is tuple and isinstance(value, list):
        value = tuple(value)
    fits = isinstance(value, kind) and isinstance(value, bool) == (kind is bool)
    if not fits or (kind is tuple and not all(isinstance(part, item) for part in value)):
        kinds = {bool: "true or false", int: "a whole number", float: "a number", str: "a name"}
        items = "whole numbers" if item is int else "names"
        words = f"{items} joined by commas" if kind is tuple else kinds[kind]
        raise OptionError(f"Setting {key}={as_text(value)} must be {words}, such as {as_text(default)}.")
    return value
