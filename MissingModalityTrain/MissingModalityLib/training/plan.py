"""Plans: the stages of one run with all their settings, and how choices, texts and files become one.

A plan is put together from three choices: the recipe says which stages there are, the network and the preset
("paper", "light" or "quick") what a stage looks like; then single settings are changed.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from ..core import strict_yaml
from ..core.aliases import OLD_PLAN_SETTINGS, plan_of_today, renamed
from ..core.errors import OptionError
from ..core.files import read_text
from ..core.kinds import checked
from ..core.labels import CAVITY_RULES
from ..core.setting_texts import as_text
from ..core.settings import (
    SettingError,
    all_old_names,
    check,
    choice,
    facts,
    flat,
    fraction,
    reads_old_names,
    setting,
    with_changes,
)
from ..core.words import unknown_name
from ..datasets.patients import check_pattern
from ..networks.options import CAVITY, HEAD_NAMES, OPTIONS, PREFIX, named_today
from ..networks.registry import NETWORKS
from .missing_rates import missing_rates
from .presets import network_preset, validation_fraction
from .recipes import RECIPES, STAGES, check_stage_names
from .settings import Settings, change_settings, check_known

FIVE = 5
"""Classes of BraTS 2015, background included: the option ``classes`` of a network."""


@reads_old_names(OLD_PLAN_SETTINGS, plan_of_today)
@dataclass(frozen=True)
class Plan:
    """A whole run.

    Raises:
        OptionError: a value of the wrong kind or out of its range, or a name that no stage can have.
    """

    network: str = setting(
        "segresnet", "Network", f"one of {', '.join(NETWORKS)}", lambda value: value in NETWORKS
    )
    network_options: dict[str, Any] = field(
        default_factory=dict,
        metadata=facts(
            "Options of the network, each set as network.OPTION=VALUE",
            "; ".join(
                f"{', '.join(item.name for item in fields(options))} for {name}"
                for name, options in OPTIONS.items()
            ),
        ),
    )
    validation_fraction: float = fraction(
        0.1, "Share of the cases held out to watch the training; at least one case unless 0"
    )
    exclude: tuple[str, ...] = setting((), "Cases of the folder to leave out", "names joined by commas")
    stages: dict[str, Settings] = field(
        default_factory=dict, metadata=facts("Stages by name, in the order in which they run", "")
    )
    resection_cavity: str = choice(
        "background",
        "What a labeled resection cavity counts as: "
        + "; ".join(f"{name}: {text}" for name, text in CAVITY_RULES.items()),
        *CAVITY_RULES,
    )
    patient: str | None = setting(
        None,
        "Regular expression that finds the patient in a case's path inside the data, by its first group "
        "where it has one; all cases of a patient are on one side of a split (none: as names of cases tell)",
        "a regular expression or none",
        check_pattern,
    )
    missing_rates: tuple[str, ...] = setting(
        (),
        "Share of the training cases that lack a sequence, as if it had never been taken; drawn once for "
        "each case, by the seed, and no case loses all",
        "SEQUENCE=RATE joined by commas, 0 to less than 1",
    )

    def __post_init__(self) -> None:
        check(self)
        options = named_today(self.network, self.network_options)
        object.__setattr__(self, "network_options", options)
        if self.network in OPTIONS:  # one from outside would load PyTorch; it is checked when built
            with_changes(OPTIONS[self.network](), options, PREFIX)
        missing_rates(self.missing_rates)
        check_stage_names(self.stages)
        for name, settings in self.stages.items():
            if not isinstance(settings, Settings):
                raise SettingError(f"stages.{name}", f"={settings!r} must be Settings.")

    @property
    def tells_non_enhancing(self) -> bool:
        """Whether the network tells the non-enhancing core from necrosis, as labels of BraTS 2015 can."""
        return self.network_options.get("classes") == FIVE


OF_THE_RUN = {
    "network": "network_options",
    "network_options": "network_options",
    "validation_fraction": "validation_fraction",
    "exclude": "exclude",
    "resection_cavity": "resection_cavity",
    "patient": "patient",
    "missing_rates": "missing_rates",
}
"""Field of a plan by the name under which ``--set`` changes it; these hold for all stages."""


@checked
def make_plan(
    recipe: str = "baseline",
    network: str | None = None,
    preset: str = "paper",
    stages: Sequence[str] | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Plan:
    """The plan of a recipe, a network and a preset, with single settings put over it.

    Args:
        recipe: one of :data:`recipes.RECIPES`.
        network: one of :data:`presets.PRESETS`; default the recipe's own.
        preset: "paper", "light" or "quick".
        stages: those of the recipe to go through; default all but those it has on request.
        settings: as the changes of :func:`change_plan`.

    Raises:
        OptionError: an unknown name, or as :func:`change_plan`.
    """
    chosen = RECIPES.get(recipe)
    network = network or chosen.network
    common, options = network_preset(network, preset)
    for stage in stages or ():
        _known(f"stage of recipe {recipe}", stage, chosen.stages)
    if stages is None:
        stages = [stage for stage in chosen.stages if stage not in chosen.on_request]
    published = chosen.paper if preset == "paper" else {}
    of_stages = {
        stage: change_settings(common, {**special, **published.get(stage, {})})
        for stage, special in chosen.stages.items()
        if stage in stages
    }
    held_out = validation_fraction(network, preset)
    plan = Plan(network, dict(options), validation_fraction=held_out, stages=of_stages)
    return change_plan(plan, settings or {})


def change_plan(plan: Plan, changes: Mapping[str, Any], finished: Sequence[str] = ()) -> Plan:
    """A plan with settings put over it.

    Args:
        plan: what to start from.
        changes: values or texts by key. "epochs" is set in every stage, "pretrain.epochs" in one,
            "network.OPTION", "validation_fraction", "exclude", "resection_cavity", "patient" and
            "missing_rates" for the run; mappings may be nested instead, ``{"pretrain": {"epochs": 30}}``.
            Earlier names are read.
        finished: stages that are over: a key that names one may only say what it was, one for all stages
            passes them by.

    Raises:
        OptionError: an unknown key, or a value of the wrong kind or out of its range.
    """
    of_run: dict[str, Any] = {}
    of_stage: dict[str, dict[str, Any]] = {name: {} for name in plan.stages}
    typed: set[str] = set()
    for key, value in flattened(changes).items():
        name, _, rest = key.partition(".")
        if name in OF_THE_RUN:
            rest = next(iter(named_today(plan.network, {rest: value})))
            path = ".".join(filter(None, (OF_THE_RUN[name], rest)))
            if path in of_run:
                raise OptionError(f"{key} is given by another name too. Give {name}.{rest} alone.")
            of_run[path] = value
        elif name in STAGES or name in plan.stages:
            _known("stage of this run", name, plan.stages)
            if not rest:
                raise OptionError(f"{key}={as_text(value)}: a stage has settings. Give {name}.SETTING.")
            if name in finished:
                if change_settings(plan.stages[name], {rest: value}) != plan.stages[name]:
                    raise OptionError(f"Setting {key}: stage {name} is over. Restart it to change it.")
            else:
                check_known(rest, typed=key)
                of_stage[name][rest] = value
                typed.add(key)
        else:
            check_known(
                key,
                (
                    *("network.OPTION", "validation_fraction", "exclude", "resection_cavity", "patient"),
                    "missing_rates",
                ),
            )
            for stage in of_stage:
                of_stage[stage].setdefault(key, value)
    if of_run.get("resection_cavity") == "class" and "network_options.head" not in of_run:
        head = _head(plan)
        if head in HEAD_NAMES and not head.endswith(CAVITY):
            of_run["network_options.head"] = f"{head}{CAVITY}"
    stages = {
        name: settings if name in finished else _change_stage(name, settings, of_stage[name], typed)
        for name, settings in plan.stages.items()
    }
    return replace(with_changes(plan, of_run), stages=stages)


def _head(plan: Plan) -> str:
    """The option of the plan's network, empty where the network has none or is from outside."""
    options = OPTIONS.get(plan.network)
    return plan.network_options.get("head", getattr(options() if options else None, "head", ""))


def _change_stage(
    name: str, settings: Settings, changes: Mapping[str, Any], typed: Container[str]
) -> Settings:
    """As :func:`change_settings`; errors name a setting as it was typed, with the stage or without."""
    try:
        return change_settings(settings, changes)
    except SettingError as error:
        raise error.within(f"{name}.") if f"{name}.{error.name}" in typed else error from None


_OLD_STAGE_NAMES = all_old_names(Settings)
_OLD_NAMES = {
    **OLD_PLAN_SETTINGS,
    **_OLD_STAGE_NAMES,
    **{f"{stage}.{old}": f"{stage}.{new}" for stage in STAGES for old, new in _OLD_STAGE_NAMES.items()},
}


def flattened(changes: Mapping[str, Any]) -> dict[str, Any]:
    """Nested mappings as one, under the names of today, keys joined by dots.

    Raises:
        OptionError: no mapping, or a setting under its earlier and its name of today.
    """
    if not isinstance(changes, Mapping) or not all(isinstance(key, str) for key in changes):
        raise OptionError(
            f"{changes!r} holds no settings by name. Give them as a mapping such as {{'epochs': 100}}."
        )
    try:
        return renamed(flat(changes), _OLD_NAMES)
    except RecursionError:  # of a mapping that holds itself, too
        raise OptionError("The settings nest too deep. Give them as KEY.OPTION.") from None


_LONGEST_CONFIG = 1 << 16
"""Bytes; a whole plan with every meaning has 20,000. PyYAML takes minutes for megabytes."""


def read_config(path: Path) -> dict[str, Any] | Plan:
    """Settings from a YAML file, or the whole plan that it holds.

    Args:
        path: of settings, keys as for ``--set``, nested or with dots; or of a plan, as ``train --show-plan``
            prints it.

    Raises:
        OptionError: the file cannot be read, or is no mapping of settings.
    """
    try:
        content = strict_yaml.loads(read_text(Path(path), _LONGEST_CONFIG))
    except (OSError, ValueError) as error:
        raise OptionError(f"{path}: cannot be read as YAML ({error}). Correct the file.") from error
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise OptionError(f"{path}: holds no settings. Write lines such as 'epochs: 100'.")
    try:
        return from_json(content) if "stages" in content else flattened(content)
    except OptionError as error:
        raise OptionError(f"{path}: {error}") from error
    except (TypeError, AttributeError, KeyError) as error:
        raise OptionError(
            f"{path}: holds no plan ({error}). Write it as train --show-plan prints it."
        ) from error


def to_json(plan: Plan) -> dict[str, Any]:
    """Plain values for a JSON file."""
    return asdict(plan)


def from_json(record: Mapping[str, Any]) -> Plan:
    """The inverse of :func:`to_json` after a trip through JSON; reads plans with earlier names too.

    Raises:
        OptionError: an unknown setting, or a value of the wrong kind or out of its range.
        KeyError, AttributeError: it is no plan.
    """
    record = plan_of_today(record)
    check_stage_names(record["stages"])
    stages = {name: change_settings(Settings(), values) for name, values in record.pop("stages").items()}
    others = [name for name in renamed(record, OLD_PLAN_SETTINGS) if name not in Plan.__dataclass_fields__]
    if others:
        raise OptionError(unknown_name("setting of a plan", others[0], [*OF_THE_RUN, "stages"], "Settings"))
    return Plan(**record, stages=stages)


def _known(what: str, name: str, names: Mapping[str, Any]) -> None:
    if name not in names:
        raise OptionError(unknown_name(what, name, names))
