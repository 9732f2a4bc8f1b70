"""Settings of one training stage: what can be set, the paper's values, and how texts become values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields
from math import prod
from typing import Any

from ..core.aliases import OLD_SETTINGS, OLD_SYNTHESIS_OPTIONS
from ..core.errors import OptionError
from ..core.modalities import MODALITIES, SUBSETS, Modality, Subset, subset_name, subset_named
from ..core.setting_texts import as_text
from ..core.settings import (
    SettingError,
    above_zero,
    at_least,
    check,
    choice,
    facts,
    flat,
    fraction,
    reads_old_names,
    setting,
    with_changes,
    within,
)
from ..core.words import unknown_name
from ..methods.options import (
    MOST_EPOCHS,
    MOST_WEIGHT,
    AdversarialOptions,
    DistillationOptions,
    EnsembleOptions,
    JointOptions,
    MaskedOptions,
    MutualOptions,
    SupervisedOptions,
)
from ..methods.registry import METHODS
from ..synthesis.options import MOST_FACTOR, SYNTHESIS_METHODS, SynthesisOptions
from .augmentation_levels import AUGMENTATIONS
from .subset_weights import NAMED_WEIGHTS, subset_weights

# Far beyond what any paper trains with: for mistyped numbers, which would cost days or all memory.
_MOST_STEPS = 1_000_000
_MOST_CROPS = 1024

_MOST_VOXELS = 2**32
"""Of all crops of a step together: one crop of MST-KDNet's 128x192x160 voxels on each of a thousand GPUs."""

LONGEST_SIDE = 512
"""Voxels of 1 mm along a side of a crop; no head is longer."""

CONTRAST_PAIR = (Modality.FLAIR, Modality.T1CE)
"""One sequence that shows the edema, and one that shows the enhancing tumor."""

OWN_METHODS = ("supervised", "distillation", "joint", "ensemble", "adversarial", "masked", "mutual")
"""Those whose options are fields of :class:`Settings`."""


def named_subsets(names: Iterable[str], setting_name: str = "validation_subsets") -> list[Subset]:
    """Subsets from names such as "FLAIR+T1ce" (any case and order), as :data:`modalities.SUBSETS` sorts them.

    Raises:
        OptionError: a name is none of a subset.
    """
    found = {name: subset_named(name) for name in names}
    unknown = [f"'{name}'" for name, subset in found.items() if subset is None]
    if unknown:
        raise OptionError(
            f"Setting {setting_name} names {', '.join(unknown)}, which is no subset of the modalities. "
            f"Choose among: {', '.join(map(subset_name, SUBSETS))}."
        )
    return [subset for subset in SUBSETS if subset in found.values()]


@dataclass(frozen=True)
class _SynthesisChoice:
    """Whether there are synthetic cases, and how many."""

    method: str = choice(
        "none",
        "None, tumors transplanted (AEM), images mixed (MixUp), or tumors grown in healed brains",
        *("none", *SYNTHESIS_METHODS),
    )
    factor: int = at_least(
        2, 4, "Real and synthetic cases together, times the number of real ones", MOST_FACTOR
    )


@reads_old_names(OLD_SYNTHESIS_OPTIONS)
@dataclass(frozen=True)
class SynthesisSettings(SynthesisOptions, _SynthesisChoice):
    """The synthetic cases of a stage: whether there are any, how many, and how they are made.

    Raises:
        OptionError: a value of the wrong kind or out of its range.
    """

    @property
    def options(self) -> SynthesisOptions:
        """How they are made, without the rest."""
        return SynthesisOptions(**{item.name: getattr(self, item.name) for item in fields(SynthesisOptions)})


@reads_old_names(OLD_SETTINGS)
@dataclass(frozen=True)
class Settings:
    """One stage. Defaults: the papers' (RFNet: Ding et al., ICCV 2021; AEM+KD: Liu et al., Sec. 4.1).

    Raises:
        OptionError: a value out of its range, or an unknown subset or method.
    """

    epochs: int = at_least(
        1, 300, "Epochs of the stage; the learning rate reaches 0 at the end of the last", MOST_EPOCHS
    )
    iterations_per_epoch: int = at_least(
        1,
        150,
        "Optimizer steps in an epoch, however many cases there are",
        _MOST_STEPS,
    )
    batch_size: int = at_least(
        1, 2, "Crops per step, over all processes of a distributed run together", _MOST_CROPS
    )
    patch_size: tuple[int, int, int] = setting(
        (80, 80, 80),
        "Voxels (z, y, x) of 1 mm per crop; multiples of the network's divisor",
        f"three whole numbers of 8 or more, at most {LONGEST_SIDE}",
        # the divisor of rfnet and adamm, whose levels halve each side three times
        lambda value: min(value) >= 8 and max(value) <= LONGEST_SIDE,
    )
    oversample_foreground: float = within(
        0,
        1,
        0.0,
        "Share of crops around a tumor voxel of a random class; the others lie anywhere in the brain",
    )
    augmentation: str = choice("paper", "How much crops are changed at random", *AUGMENTATIONS)
    training_subsets: tuple[str, ...] = setting(
        (),
        "Subsets to train for, as far as a case allows; none named: all 15",
        "names joined by commas",
    )
    subset_weights: tuple[str, ...] = setting(
        ("uniform",),
        "How often each subset is drawn: all alike; clinical: those with T1ce and FLAIR or T2 twice, all "
        "four modalities four times as often; or weights of your own, 1 for a subset that has none",
        f"{', '.join(NAMED_WEIGHTS)}, or SUBSET=WEIGHT joined by commas, weights above 0",
        bool,
    )
    all_modalities_epochs: int = at_least(
        0,
        0,
        "Epochs at the beginning of the stage that show all that a case has, before subsets are drawn",
        MOST_EPOCHS,
    )
    synthesis: SynthesisSettings = field(
        default_factory=SynthesisSettings, metadata=facts("Synthetic cases beside the real ones")
    )
    method: str = setting(
        "supervised",
        "What the stage learns from: the labels; also a frozen teacher that sees one modality more; or also "
        "a teacher that sees all and is trained along; or also models that are there already and see all; "
        "or all that is present too, and a discriminator of both results; or images whose hidden parts it "
        "restores, without labels; or a second subset of the same crop, each the other's target",
        f"one of {', '.join(OWN_METHODS)}, or a method of another package that is installed",
    )
    supervised: SupervisedOptions = field(
        default_factory=SupervisedOptions, metadata=facts("Of the method supervised")
    )
    distillation: DistillationOptions = field(
        default_factory=DistillationOptions, metadata=facts("Of the method distillation")
    )
    joint: JointOptions = field(
        default_factory=JointOptions, metadata=facts("Of the method joint; weights of 0 leave a term out")
    )
    other_methods: dict[str, Any] = field(
        default_factory=dict,
        metadata=facts(
            "Of methods of other packages, each set as METHOD.OPTION=VALUE", "what the method says"
        ),
    )
    # a step of Adam moves each weight by about the learning rate, and weights are below 1
    learning_rate: float = above_zero(1, 2e-4, "Learning rate of the first epoch")
    adam_beta2: float = fraction(0.999, "Adam: decay per step of the running mean of squared gradients")
    weight_decay: float = at_least(0, 1e-4, "L2 penalty on the weights", MOST_WEIGHT)
    lr_decay_power: float = at_least(
        0, 0.9, "Power of the polynomial decay of the learning rate, per epoch", MOST_WEIGHT
    )
    max_grad_norm: float = at_least(0, 0.0, "Largest norm of the gradient, 0 for no limit", _MOST_STEPS)
    ema_decay: float = fraction(
        0.0, "Decay per step of the running average of weights that is validated and exported; 0: none"
    )
    precision: str = choice(
        "auto",
        "Number format to compute in; auto is half precision on GPU, float32 on CPU",
        *("auto", "float32", "bfloat16", "float16"),
    )
    validation_interval: int = at_least(1, 25, "Epochs between validations", MOST_EPOCHS)
    validation_subsets: tuple[str, ...] = setting(
        tuple(map(subset_name, (MODALITIES, CONTRAST_PAIR, (Modality.T1CE,), (Modality.T2,)))),
        "Subsets that validation scores, as far as a case allows",
        "names joined by commas",
    )
    num_workers: int = at_least(
        0, 0, "Processes that cut crops beside the training one, at most one per core", _MOST_CROPS
    )
    optimizer: str = choice(
        "adam",
        "Adam with AMSGrad, Adam without it, AdamW, whose weight decay does not pass through its running "
        "means, or SGD with nnU-Net's Nesterov momentum of 0.99",
        *("adam", "adam-plain", "adamw", "sgd"),
    )
    lr_schedule: str = choice(
        "poly",
        "Course of the learning rate: polynomial decay, half a cosine, or constant and linear to 0",
        *("poly", "cosine", "constant-linear"),
    )
    lr_warmup_steps: int = at_least(
        0, 0, "First steps of the stage, over which the learning rate rises", _MOST_STEPS
    )
    lr_decay_fraction: float = within(
        0, 1, 0.2, "Last share of the steps, over which constant-linear lets the learning rate fall"
    )
    case_cache: str = choice(
        "auto",
        "Where crops are cut from: files on disk, or whole cases in the memory of the device; auto is the "
        "device where it is a GPU and they take a quarter of its free memory at most",
        *("auto", "disk", "device"),
    )
    compile: str = choice(
        "none",
        "Mode in which torch.compile makes kernels of the network for training; reduce-overhead starts those "
        "of a GPU all at once (CUDA graphs)",
        *("none", "default", "reduce-overhead"),
    )
    ensemble: EnsembleOptions = field(
        default_factory=EnsembleOptions, metadata=facts("Of the method ensemble")
    )
    case_order: str = choice(
        "endless",
        "Order of the cases: one after the other through all of them again and again, over the epochs of a "
        "stage; or each epoch begins anew, so some are seen more often than others",
        *("endless", "per-epoch"),
    )
    adversarial: AdversarialOptions = field(
        default_factory=AdversarialOptions, metadata=facts("Of the method adversarial")
    )
    masked: MaskedOptions = field(default_factory=MaskedOptions, metadata=facts("Of the method masked"))
    mutual: MutualOptions = field(default_factory=MutualOptions, metadata=facts("Of the method mutual"))

    def __post_init__(self) -> None:
        check(self)
        if self.method not in METHODS:
            raise SettingError(
                "method",
                f"={self.method} is unknown. Choose one of: {', '.join(METHODS)}. If it comes with another "
                "package, install that one.",
            )
        voxels = self.batch_size * prod(self.patch_size)
        if voxels > _MOST_VOXELS:
            raise SettingError(
                "batch_size",
                f"={self.batch_size} crops of patch_size={as_text(self.patch_size)} are {voxels} voxels, "
                f"more than {_MOST_VOXELS}. Lower one of them.",
            )
        named_subsets(self.validation_subsets, "validation_subsets")
        named_subsets(self.training_subsets, "training_subsets")
        subset_weights(self.subset_weights)
        object.__setattr__(self, "other_methods", _checked_options(self.other_methods, self.method))

    def method_options(self) -> Any:
        """The options of the method that is chosen, a dataclass of its own."""
        if self.method in OWN_METHODS:
            return getattr(self, self.method)
        return with_changes(
            METHODS.get(self.method).Options(), self.other_methods.get(self.method, {}), f"{self.method}."
        )


def change_settings(settings: Settings, changes: Mapping[str, Any]) -> Settings:
    """Settings of a stage with others put over them.

    Args:
        settings: what to start from.
        changes: values or texts as :func:`~..core.settings.with_changes` takes them; options of a method of
            another package by METHOD.OPTION too.

    Raises:
        OptionError: an unknown key, or a value of the wrong kind or out of its range.
    """
    names = {item.name for item in fields(Settings)}

    def place(key: str) -> str:
        check_known(key)
        method = key.partition(".")[0]
        return key if method in names or method not in METHODS else f"other_methods.{key}"

    return with_changes(settings, {place(key): value for key, value in flat(changes).items()})


def check_known(key: str, others: Iterable[str] = (), typed: str = "") -> None:
    """Raise OptionError where no setting of a stage, nor one of its groups, is called so.

    Args:
        key: as for ``--set``, without the stage.
        others: settings that could have been meant too, for the message.
        typed: the key as it was given, where that was not ``key``.
    """
    plain = [item.name for item in fields(Settings) if item.default_factory is MISSING]
    groups = ["synthesis", *METHODS]  # those of other packages are set by their own names too
    if key.partition(".")[0] not in {*plain, *groups, *OLD_SETTINGS, "other_methods"}:
        listed = [*others, *plain, *(f"{group}.OPTION" for group in groups)]
        raise OptionError(unknown_name("setting", typed or key, listed, "Settings"))


def _checked_options(options: Mapping[str, Any], chosen: str) -> dict[str, dict[str, Any]]:
    """Options of methods of other packages by method, each with all that the method has.

    Those of the chosen method are there even if none was given: a run keeps its defaults, whatever a later
    version of the package has.
    """
    given: dict[str, dict[str, Any]] = {} if chosen in OWN_METHODS else {chosen: {}}
    for key, value in flat(options).items():
        method, _, option = key.partition(".")
        given.setdefault(method, {})[option] = value
    return {
        method: asdict(with_changes(METHODS.get(method).Options(), values, f"{method}."))
        for method, values in given.items()
    }
