"""Recipes: which stages a run goes through, and what sets each apart.

A network and a preset say what a stage looks like otherwise (:mod:`presets`); :mod:`plan` puts all together.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from ..core.aliases import OLD_PLAN_SETTINGS, OLD_SETTINGS
from ..core.errors import OptionError
from ..core.registry import Registry
from .settings import Settings

STAGES = ("pretrain", "train", "posttrain")
"""Of the recipes that the library brings, in the order in which they run."""


_OF_THE_RUN = {
    *(
        "network",
        "network_options",
        "validation_fraction",
        "exclude",
        "resection_cavity",
        "patient",
        "missing_rates",
        "stages",
    ),
    *OLD_PLAN_SETTINGS,
}
"""Fields of a :class:`.plan.Plan`, which imports this file, and their earlier names."""


@dataclass(frozen=True)
class Recipe:
    """Which stages there are.

    Attributes:
        summary: one line for people.
        stages: by name, what sets a stage apart from the network's own settings.
        network: that it is made for, the default where none is named.
        on_request: stages gone through only where they are named.
        paper: by stage, what the preset "paper" has beside, for what the paper's own tables are made with.

    Raises:
        OptionError: a stage whose name stands for something else where settings are given.
    """

    summary: str
    stages: Mapping[str, Mapping[str, Any]]
    network: str = "segresnet"
    on_request: tuple[str, ...] = ()
    paper: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_stage_names(self.stages)


_MOST_STAGES = 50
"""Far beyond any recipe; the settings of each take time to check."""


def check_stage_names(names: Iterable[str]) -> None:
    """Raise OptionError for too many, or one that names no file or stands for something else in settings."""
    names = list(names)
    if len(names) > _MOST_STAGES:
        raise OptionError(f"There are {len(names)} stages; a run has at most {_MOST_STAGES}.")
    # methods of other packages are no part of this: what happens to be installed must not forbid a recipe
    taken = {item.name for item in fields(Settings)} | {*OLD_SETTINGS, *_OF_THE_RUN}
    for name in names:
        # names files of the run's folder and begins keys such as train.epochs
        if name in taken or not re.fullmatch(r"[a-z][a-z0-9_-]*", str(name)):
            raise OptionError(
                f"'{name}' cannot name a stage. Use lower-case letters, digits, - and _, and no name "
                "of a setting or of a method of this library."
            )


_OF_TRANSFORMERS_AND_LOGITS = ("joint.attention", "joint.multiscale", "joint.logits", "joint.kl_divergence")
_PUBLISHED = {"joint.consistency": 10.0, "joint.dice": "sum"}
"""Of the public codes of SMU-Net, ACN and AdaMM; beside a mean over four channels 10 would be 40."""
_TIMES_EIGHT = {"pretrain": {"synthesis.factor": 8}}
"""AEM of all tables of Liu et al. but Table 7, which has x2 and x4 too."""

_BUILTIN: Mapping[str, Recipe] = {
    "baseline": Recipe("Training on the real cases alone.", {"train": {}}),
    "aem": Recipe(
        "Pre-training on real cases and transplanted tumors, then training on the real ones.",
        {"pretrain": {"synthesis.method": "aem"}, "train": {}},
        paper=_TIMES_EIGHT,
    ),
    "mixup": Recipe(
        "As aem, with mixed images in place of transplanted tumors.",
        {"pretrain": {"synthesis.method": "mixup"}, "train": {}},
        paper=_TIMES_EIGHT,
    ),
    "aem-kd": Recipe(
        "As aem, then post-training with a teacher that sees one modality more (Liu et al.).",
        {"pretrain": {"synthesis.method": "aem"}, "train": {}, "posttrain": {"method": "distillation"}},
        paper={**_TIMES_EIGHT, "posttrain": {"epochs": 900}},
    ),
    "nnunet-dropout": Recipe(
        "nnU-Net's training (Isensee et al.), with sequences left out at random.",
        {
            "train": {
                "augmentation": "nnunet",
                "oversample_foreground": 0.5,
                "optimizer": "sgd",
                "learning_rate": 1e-2,
                "weight_decay": 3e-5,
                "max_grad_norm": 12.0,
                "ema_decay": 0.0,
            }
        },
        network="dynunet",
    ),
    "ra-hved": Recipe(
        "All sequences beside a random subset, and a discriminator of both results (RA-HVED, Jeong et al.).",
        {"train": {"method": "adversarial"}},
        network="rahved",
    ),
    "m3ae": Recipe(
        "Hidden parts of images are restored, then two subsets teach each other (M3AE, Liu et al.).",
        # a mirrored or rotated crop would not lie where the substitute is learned for
        {"pretrain": {"method": "masked", "augmentation": "none"}, "train": {"method": "mutual"}},
        network="m3ae",
        paper={"pretrain": {"epochs": 600}},
    ),
    "mst-kd": Recipe(
        "A teacher that sees all, trained along, for attention, logits and style (MST-KDNet, Zhu et al.).",
        {"pretrain": {"synthesis.method": "aem"}, "train": {"method": "joint"}},
        network="mstkdnet",
        on_request=("pretrain",),
    ),
    "smu-net": Recipe(
        "A teacher that sees all, trained along, for predictions, content and style (SMU-Net, Azad et al.).",
        {
            "train": {
                "method": "joint",
                **dict.fromkeys(_OF_TRANSFORMERS_AND_LOGITS, 0.0),
                "joint.consistency": 1.0,
                # 0.02 and 0.1 gave 2.1 and 0.01 of the gradient of the labels after 20 steps
                # (bench_training.py, quick, 32^3)
                "joint.content": 0.004,
                "joint.adversarial": 2.0,
            }
        },
        network="smunet",
        paper={
            "train": {
                **_PUBLISHED,
                "joint.content": 0.2,
                # those of mst-kd, 0.1, beside a mean over four channels
                "joint.style": 0.4,
                "joint.adversarial": 0.4,
            }
        },
    ),
    "acn": Recipe(
        "A teacher that sees all, trained along, two discriminators and information (ACN, Wang et al.).",
        {
            "train": {
                "method": "joint",
                **dict.fromkeys((*_OF_TRANSFORMERS_AND_LOGITS, "joint.style"), 0.0),
                "joint.teacher_weight": 0.2,
                "joint.student_weight": 0.8,
                "joint.consistency": 1.0,
                # the published 2e-4 and 1e-3 gave both 1e-4 and 2e-4 of the gradient of the labels after 20
                # steps (bench_training.py, quick, 32^3)
                "joint.adversarial": 0.6,
                "joint.doubt": 1.0,
                "joint.information": 0.5,
                "joint.ramp_epochs": 0,
            }
        },
        network="acn",
        paper={"train": {**_PUBLISHED, "joint.adversarial": 2e-4, "joint.doubt": 1e-3}},
    ),
    "adamm": Recipe(
        "Adapters per subset, presence of classes, and a teacher trained along for style (AdaMM).",
        {
            "pretrain": {"synthesis.method": "aem"},
            "train": {
                "method": "joint",
                **dict.fromkeys(_OF_TRANSFORMERS_AND_LOGITS, 0.0),
                "joint.style": 0.3,
                # 0.5 gave 0.06 and 1 gave 0.09 of the gradient of the labels after 20 steps
                # (bench_training.py, quick, 32^3)
                "joint.adversarial": 2.0,
                "joint.presence": 1.0,
                "joint.consistency": 1.0,
                "joint.content": 0.02,
            },
        },
        network="adamm",
        on_request=("pretrain",),
        paper={
            "train": {
                **_PUBLISHED,
                "joint.content": 0.2,
                # not published: 0.3 and 0.5 beside a mean over four channels
                "joint.style": 1.2,
                "joint.adversarial": 2.0,
            }
        },
    ),
}


def _check(name: str, recipe: Any) -> None:
    if not isinstance(recipe, Recipe):
        raise OptionError(f"The recipe '{name}' is {recipe!r}. Make it a Recipe of {__name__}.")


RECIPES: Registry[Recipe] = Registry("recipe", "missing_modality.recipes", _BUILTIN, _check)
"""Another package adds its own by the entry point group ``missing_modality.recipes``."""
