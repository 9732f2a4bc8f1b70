"""Recipes: which stages a run goes through, and with what settings.

A plan is put together from three choices: the recipe says which stages there are, the network and the preset
("paper", "light" or "quick") what a stage looks like; then single settings are changed.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from ..core.aliases import OLD_PLAN_SETTINGS, OLD_SETTINGS, renamed
from ..core.errors import OptionError
from ..core.settings import as_text, check, facts, setting, share
from .settings import Settings, changed

STAGES = ("pretrain", "train", "posttrain")
"""In the order in which they run."""


@dataclass(frozen=True)
class Recipe:
    """Which stages there are.

    Attributes:
        summary: one line for people.
        stages: by name, what sets a stage apart from the network's own settings.
        network: that it is made for, the default where none is named.
        on_request: stages gone through only where they are named.
    """

    summary: str
    stages: Mapping[str, Mapping[str, Any]]
    network: str = "segresnet"
    on_request: tuple[str, ...] = ()


RECIPES: Mapping[str, Recipe] = {
    "baseline": Recipe("Training on the real cases alone.", {"train": {}}),
    "aem": Recipe(
        "Pre-training on real cases and transplanted tumors, then training on the real ones.",
        {"pretrain": {"synthesis": "aem"}, "train": {}},
    ),
    "mixup": Recipe(
        "As aem, with mixed images in place of transplanted tumors.",
        {"pretrain": {"synthesis": "mixup"}, "train": {}},
    ),
    "aem-kd": Recipe(
        "As aem, then post-training with a teacher that sees one modality more (Liu et al.).",
        {"pretrain": {"synthesis": "aem"}, "train": {}, "posttrain": {"method": "distillation"}},
    ),
    "mst-kd": Recipe(
        "A teacher that sees all, trained along, for attention, logits and style (MST-KDNet, Zhu et al.).",
        {"pretrain": {"synthesis": "aem"}, "train": {"method": "joint"}},
        network="mstkdnet",
        on_request=("pretrain",),
    ),
    "adamm": Recipe(
        "Adapters per subset, presence of classes, and a teacher trained along for style (AdaMM).",
        {
            "pretrain": {"synthesis": "aem"},
            "train": {
                "method": "joint",
                "joint": {
                    **dict.fromkeys(("attention", "scales", "logits", "divergence"), 0.0),
                    "style": 0.2,
                    "presence": 0.4,
                },
            },
        },
        network="adamm",
        on_request=("pretrain",),
    ),
}

_QUICK = Settings(
    epochs=4,
    iterations_per_epoch=10,
    batch_size=1,
    patch_size=(64, 64, 64),
    oversample_foreground=0.67,
    learning_rate=1e-3,
    validation_interval=4,
    validation_subsets=("FLAIR+T1ce+T1+T2", "FLAIR+T1ce"),
)

_JOINT = Settings(
    epochs=250,
    iterations_per_epoch=1080,
    batch_size=1,
    learning_rate=1e-4,
    adam_beta2=0.99,
    weight_decay=1e-5,
    num_workers=4,
)
"""MST-KDNet and AdaMM see every one of about 1,080 cases once in an epoch."""
_LIGHT = Settings(
    epochs=80,
    iterations_per_epoch=50,
    batch_size=1,
    patch_size=(96, 96, 96),
    oversample_foreground=0.67,
    augmentation="strong",
    learning_rate=1e-3,
    max_grad_norm=1.0,
    ema_decay=0.99,
    validation_interval=10,
    joint={"entropy": 1.0},
)
"""Hours on two cores of a CPU; what the bundled student's stages are, but for their lengths and rates."""
_QUICK_JOINT = replace(_QUICK, max_grad_norm=1.0, joint={"entropy": 1.0})

NETWORKS: Mapping[str, Mapping[str, tuple[Settings, Mapping[str, Any]]]] = {
    "segresnet": {
        "paper": (
            Settings(
                iterations_per_epoch=250,
                patch_size=(144, 176, 144),
                oversample_foreground=0.67,
                augmentation="strong",
                learning_rate=2e-3,
                max_grad_norm=1.0,
                ema_decay=0.999,
                num_workers=4,
            ),
            {"fold": 2},
        ),
        "light": (replace(_LIGHT, patch_size=(128, 128, 128)), {"fold": 2}),
        "quick": (
            replace(_QUICK, max_grad_norm=1.0, patch_size=(96, 96, 96), learning_rate=4e-3),
            {"filters": 8, "fold": 2},
        ),
    },
    "rfnet": {
        "paper": (Settings(fusion_start_epoch=20, num_workers=4), {}),
        "light": (replace(_LIGHT, patch_size=(80, 80, 80), fusion_start_epoch=10), {"width": 8}),
        "quick": (_QUICK, {"width": 4}),
    },
    "mstkdnet": {
        # student and teacher part the more slowly, the lower the learning rate: so weights differ
        "paper": (replace(_JOINT, patch_size=(128, 192, 160), joint={"divergence": 3.0, "scales": 0.4}), {}),
        "light": (
            replace(_LIGHT, joint={**_LIGHT.joint, "attention": 0.2, "scales": 0.2, "logits": 0.025}),
            {
                "embedding": 192,
                "layers": 4,
                "heads": 6,
                "hidden": 512,
                "decoder": 128,
                "grid": [3, 3, 3],
            },
        ),
        "quick": (
            replace(_QUICK_JOINT, joint={**_QUICK_JOINT.joint, "attention": 0.2}),
            {
                "width": 8,
                "embedding": 48,
                "layers": 4,
                "heads": 4,
                "hidden": 96,
                "decoder": 32,
                "grid": [2, 2, 2],
            },
        ),
    },
    "adamm": {
        "paper": (replace(_JOINT, epochs=200, patch_size=(128, 192, 160)), {}),
        "light": (_LIGHT, {"width": 8, "adapters": 16}),
        "quick": (_QUICK_JOINT, {"width": 8, "adapters": 8}),
    },
}
"""For each network and preset, the settings of a stage and the options of the network.

segresnet is the light network that a laptop can train and run; folding lets a step see a whole brain. rfnet
is the one of the AEM+KD paper, with the settings of its public training script; mstkdnet and adamm are those
of their papers. "light" networks have fewer or narrower layers, and crops that a laptop can hold.
"""


@dataclass(frozen=True)
class Plan:
    """A whole run.

    Raises:
        OptionError: a value out of its range.
    """

    network: str = setting("segresnet", "Network", f"one of {', '.join(NETWORKS)}", NETWORKS.__contains__)
    network_options: dict[str, Any] = field(
        default_factory=dict,
        metadata=facts(
            "Options of the network, each set as network.OPTION=VALUE",
            "filters, blocks, flags, head, dropout, fold for segresnet; width for rfnet; "
            "width, embedding, layers, heads, hidden, decoder, grid, head, norm, dropout, recompute for "
            "mstkdnet; width, adapters, nodes, head, garm, presence, dropout, published, recompute for adamm",
        ),
    )
    validation_fraction: float = share(
        0.1, "Share of the cases held out to watch the training; at least one case unless 0"
    )
    exclude: tuple[str, ...] = setting((), "Cases of the folder to leave out", "names joined by commas")
    stages: dict[str, Settings] = field(
        default_factory=dict, metadata=facts("Stages by name, in the order in which they run", "")
    )

    def __post_init__(self) -> None:
        check(self)


_OF_THE_RUN = {
    "network": "network_options",
    "validation_fraction": "validation_fraction",
    "exclude": "exclude",
}
"""Fields of a plan by the name under which ``--set`` changes them; they hold for all stages."""


_OLD_NAMES = {
    **OLD_PLAN_SETTINGS,
    **OLD_SETTINGS,
    **{f"{stage}.{old}": f"{stage}.{new}" for stage in STAGES for old, new in OLD_SETTINGS.items()},
}


def make_plan(
    recipe: str = "baseline",
    network: str | None = None,
    preset: str = "paper",
    stages: Sequence[str] | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Plan:
    """The plan of a recipe, a network and a preset, with single settings put over it.

    Args:
        recipe: one of :data:`RECIPES`.
        network: one of :data:`NETWORKS`; default the recipe's own.
        preset: "paper", "light" or "quick".
        stages: those of the recipe to go through; default all but those it has on request.
        settings: as the changes of :func:`change_plan`.

    Raises:
        OptionError: an unknown name, or as :func:`change_plan`.
    """
    _known("recipe", recipe, RECIPES)
    network = network or RECIPES[recipe].network
    _known("network", network, NETWORKS)
    _known("preset", preset, NETWORKS[network])
    offered = RECIPES[recipe].stages
    for stage in stages or ():
        _known(f"stage of recipe {recipe}", stage, offered)
    if stages is None:
        stages = [stage for stage in offered if stage not in RECIPES[recipe].on_request]
    common, options = NETWORKS[network][preset]
    chosen = {stage: _with(common, special) for stage, special in offered.items() if stage in stages}
    return change_plan(Plan(network, dict(options), stages=chosen), settings or {})


def _with(common: Settings, special: Mapping[str, Any]) -> Settings:
    """A network's settings of a stage, with what sets the stage apart put over them."""
    options = {
        name: {**getattr(common, name), **value} if isinstance(value, dict) else value
        for name, value in special.items()
    }
    return replace(common, **options)


def change_plan(plan: Plan, changes: Mapping[str, Any], finished: Sequence[str] = ()) -> Plan:
    """A plan with settings put over it.

    Args:
        plan: what to start from.
        changes: values or texts by key. "epochs" is set in every stage, "pretrain.epochs" in one,
            "network.OPTION", "validation_fraction" and "exclude" for the run; mappings may be nested instead,
            ``{"pretrain": {"epochs": 30}}``.
        finished: stages that are over: a key that names one may only say what it was, one for all stages
            passes them by.

    Raises:
        OptionError: an unknown key, or a value of the wrong kind or out of its range.
    """
    of_run: dict[str, Any] = {}
    of_stage: dict[str, dict[str, Any]] = {name: {} for name in plan.stages}
    for key, value in flattened(changes).items():
        name, _, rest = key.partition(".")
        if name in _OF_THE_RUN:
            of_run[".".join(filter(None, (_OF_THE_RUN[name], rest)))] = value
        elif name in STAGES:
            _known("stage of this run", name, plan.stages)
            if name in finished:
                if changed(plan.stages[name], {rest: value}) != plan.stages[name]:
                    raise OptionError(f"Setting {key}: stage {name} is over. Restart it to change it.")
            else:
                of_stage[name][rest] = value
        else:
            for stage in of_stage:
                of_stage[stage].setdefault(key, value)
    stages = {
        name: settings if name in finished else changed(settings, of_stage[name])
        for name, settings in plan.stages.items()
    }
    return replace(changed(plan, of_run), stages=stages)


def flattened(changes: Mapping[str, Any]) -> dict[str, Any]:
    """Nested mappings as one, under the names of today, keys joined by dots.

    Raises:
        OptionError: a setting under its earlier and its name of today.
    """
    return renamed(_flat(changes, ""), _OLD_NAMES)


def _flat(changes: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in changes.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def read_config(path: Path) -> dict[str, Any]:
    """Settings from a YAML file: keys as for ``--set``, nested or with dots.

    Raises:
        OptionError: the file cannot be read, or is no mapping of settings.
    """
    import yaml

    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise OptionError(f"{path}: cannot be read as YAML ({error}). Correct the file.") from error
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise OptionError(f"{path}: holds no settings. Write lines such as 'epochs: 100'.")
    return flattened(content)


def to_json(plan: Plan) -> dict[str, Any]:
    """Plain values for a JSON file."""
    return asdict(plan)


def from_json(record: Mapping[str, Any]) -> Plan:
    """The inverse of :func:`to_json` after a trip through JSON; reads plans with earlier names too."""
    if "architecture" in record:  # where the name of the network stood when "network" held its options
        record = {**record, "network": record["architecture"], "network_options": record.get("network", {})}
        del record["architecture"]
    record = renamed(record, OLD_PLAN_SETTINGS)
    stages = {name: Settings(**_with_tuples(values)) for name, values in record["stages"].items()}
    return Plan(**{**_with_tuples(record), "stages": stages})


def describe_settings() -> str:
    """What ``--set`` can change, for people: every setting's name, defaults, meaning and range."""
    lines = ["Recipes, stages that --stages must name in brackets:"]
    lines += [f"  {name} ({_stages_of(recipe)}): {recipe.summary}" for name, recipe in RECIPES.items()]
    lines += ["", "Settings of the run, changed by --set NAME=VALUE:"]
    of_plan = {item.name: item for item in fields(Plan)}
    for name, field_name in _OF_THE_RUN.items():
        default = _network_defaults() if name == "network" else as_text(getattr(Plan(), field_name))
        lines += _about(name, of_plan[field_name], default)
    lines += [
        "",
        "Settings of every stage, changed by --set NAME=VALUE, those of one by --set STAGE.NAME=VALUE:",
    ]
    for item in fields(Settings):
        lines += _about(item.name, item, _defaults(item.name))
    return "\n".join(lines)


def _stages_of(recipe: Recipe) -> str:
    """Their names; those on request in brackets."""
    return ", ".join(f"[{name}]" if name in recipe.on_request else name for name in recipe.stages)


def _about(name: str, item: Any, default: str) -> list[str]:
    text = f"{item.metadata['meaning']}. Allowed: {item.metadata['allowed']}."
    return [
        f"  {name} = {default}",
        *textwrap.wrap(text, 79, initial_indent=" " * 6, subsequent_indent=" " * 6),
    ]


def _network_defaults() -> str:
    return ", ".join(
        f"{as_text(options)} ({network} {preset})"
        for network, presets in NETWORKS.items()
        for preset, (_, options) in presets.items()
        if options
    )


def _defaults(name: str) -> str:
    """One value where all presets agree, else e.g. "1 (quick), 2 (rfnet paper), 3 (segresnet paper)"."""
    owners: dict[str, list[tuple[str, str]]] = {}
    for preset in ("quick", "light", "paper"):
        for network, presets in NETWORKS.items():
            value = as_text(getattr(presets[preset][0], name))
            owners.setdefault(value, []).append((network, preset))
    if len(owners) == 1:
        return next(iter(owners))
    return ", ".join(f"{value} ({', '.join(_owners(pairs))})" for value, pairs in owners.items())


def _owners(pairs: list[tuple[str, str]]) -> list[str]:
    names = []
    for preset in dict.fromkeys(preset for _, preset in pairs):
        networks = [network for network, other in pairs if other == preset]
        names += [preset] if len(networks) == len(NETWORKS) else [f"{one} {preset}" for one in networks]
    return names


def _known(what: str, name: str, names: Mapping[str, Any]) -> None:
    if name not in names:
        raise OptionError(f"Unknown {what}: '{name}'. Choose one of: {', '.join(names)}.")


def _with_tuples(record: Mapping[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in record.items()}
