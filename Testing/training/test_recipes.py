"""Settings, recipes and plans: what can be set, how, and what is refused."""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from MissingModalityLib.core.aliases import OLD_JOINT_OPTIONS, OLD_SETTINGS
from MissingModalityLib.core.errors import OptionError
from MissingModalityLib.core.modalities import Modality
from MissingModalityLib.core.registry import PLUGINS
from MissingModalityLib.core.setting_texts import as_text
from MissingModalityLib.core.settings import at_least, check, flat
from MissingModalityLib.methods.method import Method
from MissingModalityLib.methods.options import DistillationOptions, JointOptions, SupervisedOptions
from MissingModalityLib.methods.registry import METHODS
from MissingModalityLib.networks import build
from MissingModalityLib.networks.options import OPTIONS
from MissingModalityLib.networks.registry import NETWORKS
from MissingModalityLib.runtime.processes import child_environment
from MissingModalityLib.training.describe import describe_settings, to_yaml
from MissingModalityLib.training.plan import Plan, change_plan, from_json, make_plan, read_config, to_json
from MissingModalityLib.training.presets import PRESET_NAMES, PRESETS
from MissingModalityLib.training.recipes import RECIPES, Recipe
from MissingModalityLib.training.settings import Settings, SynthesisSettings, named_subsets


@pytest.fixture
def clean_plugins(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Registrations end with the test."""
    monkeypatch.setenv(PLUGINS, "")
    monkeypatch.setenv("PYTHONPATH", "")
    for registry in (RECIPES, METHODS):
        monkeypatch.setattr(registry, "_registered", {})
    yield


def test_validation_subsets_are_found_by_name_in_any_order() -> None:
    assert set(named_subsets(["t1ce+flair", "T2"])) == {(Modality.T2,), (Modality.FLAIR, Modality.T1CE)}


def test_settings_are_checked_and_survive_json() -> None:
    changes = {
        "patch_size": "64",
        "network.width": "16",
        "validation_subsets": "T2,FLAIR+T1",
        "batch_size": "3",
    }
    plan = make_plan(settings={**changes, "network.blocks": "[1, 1]"})
    settings = plan.stages["train"]
    assert (
        settings.patch_size == (64, 64, 64)
        and plan.network_options["width"] == 16
        and settings.batch_size == 3
    )
    assert settings.validation_subsets == ("T2", "FLAIR+T1")
    assert from_json(json.loads(json.dumps(to_json(plan)))) == plan


@pytest.mark.parametrize(
    ("override", "allowed"),
    [
        ({"epochs": "0"}, "1 or more, at most 100000"),
        ({"epochs": "3000000"}, "1 or more, at most 100000"),
        ({"iterations_per_epoch": str(10**9)}, "1 or more, at most 1000000"),
        ({"batch_size": "20000"}, "1 or more, at most 1024"),
        ({"synthesis.factor": "40000"}, "2 or more, at most 1000"),
        ({"num_workers": "99999"}, "0 or more, at most 1024"),
        ({"weight_decay": "-1"}, "0 or more, at most 1000"),
        ({"joint.style": "1e30"}, "0 or more, at most 1000"),
        ({"max_grad_norm": "-1"}, "0 or more, at most 1000000"),
        ({"ema_decay": "1"}, "0 to less than 1"),
        ({"oversample_foreground": "1.5"}, "0 to 1"),
        ({"learning_rate": "0"}, "more than 0, at most 1"),
        ({"learning_rate": "2e4"}, "more than 0, at most 1"),
        ({"precision": "half"}, "one of auto, float32, bfloat16, float16"),
        ({"patch_size": "4"}, "three whole numbers of 8 or more, at most 512"),
        ({"patch_size": "80,80,8000"}, "three whole numbers of 8 or more, at most 512"),
    ],
    ids=str,
)
def test_a_setting_out_of_range_is_answered_with_its_range(override: dict[str, str], allowed: str) -> None:
    with pytest.raises(OptionError, match=rf"{next(iter(override))}=.*Allowed: {allowed}\."):
        make_plan(settings=override)


def test_settings_describe_themselves_without_loading_torch() -> None:
    code = (
        "import sys; from MissingModalityLib.training.describe import describe_settings as d; print(d()); "
        "assert not {'torch', 'monai', 'numpy'} & sys.modules.keys()"
    )
    text = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert text.strip() == describe_settings()
    for item in fields(Settings):
        group = getattr(Settings(), item.name)
        options = [option.name for option in fields(group)] if is_dataclass(group) else []
        names = [f"{item.name}.{name}" for name in options if not is_dataclass(getattr(group, name))]
        assert item.name == "other_methods" or all(f"  {name} = " in text for name in names or [item.name])
    assert "Allowed: 1 or more, at most 100000." in text
    words = " ".join(text.split())
    for preset in ("quick", "light"):
        settings = make_plan(preset=preset).stages["train"]
        for name in ("epochs", "iterations_per_epoch"):
            value = getattr(settings, name)
            assert re.search(rf"\b{name} = [^.]*\b{value} \({preset}\)", words), (name, preset)
    for network, options in OPTIONS.items():
        assert f"{', '.join(item.name for item in fields(options))} for {network}" in words


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("batch_size=two", "a whole number, such as 2"),
        ("learning_rate=fast", "a finite number, such as 0.0002"),
        ("patch_size=1.5", "whole numbers joined by commas, such as 80,80,80"),
        ("synthesis.clip_to_brain=maybe", "true or false, such as False"),
    ],
)
def test_a_value_of_the_wrong_kind_is_answered_with_the_right_one(setting: str, words: str) -> None:
    name, _, value = setting.partition("=")
    with pytest.raises(OptionError, match=rf"Setting {setting} must be {words}\."):
        make_plan(settings={name: value})


@pytest.mark.parametrize("preset", ["quick", "light"])
@pytest.mark.parametrize("network", PRESETS)
def test_every_recipe_has_a_plan_whose_network_can_be_built(network: str, preset: str) -> None:
    options = make_plan("baseline", network, preset).network_options
    assert build(network, **options).name == network
    for recipe in RECIPES:
        plan = make_plan(recipe, network, preset)
        stages = [name for name in RECIPES.get(recipe).stages if name not in RECIPES.get(recipe).on_request]
        assert list(plan.stages) == stages
        assert (plan.network, plan.network_options) == (network, options)


def test_the_full_recipe_is_the_papers() -> None:
    stages = make_plan("aem-kd", "rfnet", "paper").stages
    assert list(stages) == ["pretrain", "train", "posttrain"]
    assert [settings.synthesis.method for settings in stages.values()] == ["aem", "none", "none"]
    assert (
        stages["posttrain"].method == "distillation"
        and stages["posttrain"].distillation.teacher_update_interval == 5
    )
    assert stages["pretrain"].synthesis.factor == 8
    assert [settings.epochs for settings in stages.values()] == [300, 300, 900]
    for settings in stages.values():
        assert (settings.learning_rate, settings.lr_decay_power, settings.precision) == (2e-4, 0.9, "float32")
        assert settings.patch_size == (80, 80, 80)
    assert stages["pretrain"].supervised.fusion_start_epoch == 20


@pytest.mark.parametrize(("recipe", "epochs", "beta2"), [("mst-kd", 250, 0.99), ("adamm", 200, 0.999)])
def test_the_paper_preset_of_a_teacher_trained_along_is_the_papers(
    recipe: str, epochs: int, beta2: float
) -> None:
    plan = make_plan(recipe)
    settings = plan.stages["train"]
    assert plan.validation_fraction == 0
    assert (settings.optimizer, settings.learning_rate, settings.weight_decay) == ("adam-plain", 1e-4, 1e-5)
    assert (settings.epochs, settings.adam_beta2, settings.augmentation) == (epochs, beta2, "flips")
    assert (settings.patch_size, settings.precision) == ((128, 192, 160), "float32")
    assert settings.joint.consistency == (10 if recipe == "adamm" else 0)
    assert settings.joint.content == (0.2 if recipe == "adamm" else 0)


@pytest.mark.parametrize("network", list(NETWORKS))
def test_papers_hold_no_case_out_and_all_else_does(network: str) -> None:
    own = network in ("segresnet", "gatedfusion", "dynunet")
    assert make_plan("baseline", network).validation_fraction == (0.1 if own else 0)
    assert make_plan("baseline", network, "light").validation_fraction == 0.1


def test_a_setting_is_for_all_stages_or_for_one() -> None:
    changes = {
        "pretrain.epochs": 7,
        "epochs": "2",
        "pretrain.synthesis.difference": "signed",
        "validation_fraction": 0,
    }
    plan = make_plan("aem-kd", settings=changes)
    assert [settings.epochs for settings in plan.stages.values()] == [7, 2, 2]
    assert plan.stages["pretrain"].synthesis.difference == "signed"
    assert plan.stages["train"].synthesis == SynthesisSettings()
    assert plan.validation_fraction == 0
    nested = {
        "pretrain": {"epochs": 7, "synthesis": {"difference": "signed"}},
        "epochs": 2,
        "validation_fraction": 0,
    }
    assert make_plan("aem-kd", settings=nested) == plan


@pytest.mark.parametrize("names", ["1234", "12,13", "0012,1_3", "none", "['12', '13']"])
def test_names_that_look_like_numbers_stay_names(names: str) -> None:
    expected = {"none": (), "['12', '13']": ("12", "13")}.get(names, tuple(names.split(",")))
    assert make_plan(settings={"exclude": names}).exclude == expected


def test_stages_can_be_left_out_and_unknown_ones_are_named() -> None:
    assert list(make_plan("aem-kd", stages=["train", "posttrain"]).stages) == ["train", "posttrain"]
    with pytest.raises(OptionError, match=r"'posttrain'.*pretrain, train"):
        make_plan("aem", stages=["posttrain"])
    with pytest.raises(OptionError, match=r"'pretrain'.*train"):
        make_plan("baseline", settings={"pretrain.epochs": 3})


def test_a_stage_that_is_over_keeps_its_settings() -> None:
    plan = make_plan("aem-kd", preset="quick")
    later = change_plan(plan, {"epochs": 9}, finished=["pretrain"])
    assert [settings.epochs for settings in later.stages.values()] == [4, 9, 9]
    with pytest.raises(OptionError, match=r"pretrain\.epochs: stage pretrain is over"):
        change_plan(plan, {"pretrain.epochs": 9}, finished=["pretrain"])
    same = {"pretrain": {"epochs": "4", "patch_size": 96, "synthesis": {"method": "aem"}}}
    assert change_plan(plan, same, finished=["pretrain"]) == plan


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"synthesis.difference": "squared"}, r"Setting synthesis\.difference=squared"),
        ({"synthesis.depth": 3}, r"'synthesis\.depth'"),
        ({"synthesis": 3}, r"synthesis=3.*synthesis\.OPTION"),
        ({"synthesis.factor": 1}, r"synthesis\.factor=1.*2 or more"),
        ({"joint.style": -1}, r"Setting joint\.style=-1.*0 or more"),
        ({"method": "magic"}, "one of: supervised, distillation"),
        ({"training_subsets": "T7"}, "training_subsets names 'T7'"),
    ],
    ids=str,
)
def test_settings_of_synthesis_and_distillation_are_checked(changes: dict, word: str) -> None:
    with pytest.raises(OptionError, match=word):
        make_plan("aem-kd", settings=changes)


@pytest.mark.parametrize("text", ["010", "-007", "+012", "0_10", "00", "1:30"])
@pytest.mark.parametrize(
    "line", ["validation_interval: {}", "train: {{epochs: {}}}", "patch_size: [16, 16, {}]"]
)
def test_a_number_that_yaml_reads_as_another_one_is_refused(text: str, line: str, tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text(line.format(text))
    with pytest.raises(OptionError, match=rf"plan\.yaml: .*'{re.escape(text)}' is no decimal number"):
        read_config(path)
    path.write_text(line.format("0x10"))
    assert read_config(path)
    path.write_text("validation_interval: 0\nseed_of_nothing: 0b1")
    assert read_config(path)["validation_interval"] == 0


def test_a_yaml_file_longer_than_any_settings_is_refused_before_it_is_parsed(tmp_path: Path) -> None:
    (tmp_path / "plan.yaml").write_text("epochs: 3\n" + "# and more\n" * 10_000)
    with pytest.raises(OptionError, match=r"plan\.yaml: .*at most 65536 are read"):
        read_config(tmp_path / "plan.yaml")


def test_a_yaml_file_holds_what_set_takes(tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text(
        "epochs: 5\npatch_size: [32, 32, 32]\nnetwork:\n  width: 8\npretrain:\n  synthesis: {factor: 2}\n"
    )
    plan = make_plan("aem", settings=read_config(path))
    assert plan.stages["train"].epochs == 5 and plan.stages["pretrain"].synthesis.factor == 2
    assert plan.stages["train"].patch_size == (32, 32, 32) and plan.network_options["width"] == 8


UNREADABLE = [
    "- 1\n- 2\n",
    "a: [",
    "",
    "1: 2\n",
    "synthesis: &a {factor: *a}\n",
    "epochs: 1\nepochs: 2\n",
    "[" * 9999,
]


@pytest.mark.parametrize("text", UNREADABLE, ids=lambda text: text[:20])
def test_a_file_without_settings_is_named(text: str, tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text(text)
    with pytest.raises(OptionError, match=r"plan\.yaml"):
        read_config(path)
    with pytest.raises(OptionError, match=r"absent\.yaml"):
        read_config(tmp_path / "absent.yaml")


def test_a_key_that_a_file_gives_twice_is_named_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "plan.yaml").write_text("epochs: 1\ntrain:\n  batch_size: 1\n  batch_size: 2\n")
    with pytest.raises(OptionError, match=r"(?s)'batch_size' is given twice.*line 4"):
        read_config(tmp_path / "plan.yaml")
    (tmp_path / "merged.yaml").write_text("train: &a {epochs: 1}\nposttrain: {<<: *a, epochs: 3}\n")
    assert read_config(tmp_path / "merged.yaml") == {"train.epochs": 1, "posttrain.epochs": 3}


@pytest.mark.parametrize("name", ["epoch", "exclud", "netwrok.width", "focal.gamma"])
def test_an_unknown_setting_is_answered_with_all_that_can_be_set(name: str, clean_plugins: None) -> None:
    METHODS.register("tversky", "MissingModalityLib.methods.supervised:Supervised")
    with pytest.raises(OptionError, match=f"Unknown setting '{name}'") as caught:
        make_plan(settings={name: 1})
    listed = str(caught.value).partition("Settings: ")[2].rstrip(".").split(", ")
    assert {"network.OPTION", "exclude", "validation_fraction", "epochs", "joint.OPTION"} <= set(listed)
    assert "tversky.OPTION" in listed and "other_methods.OPTION" not in listed
    assert len(listed) == len(set(listed))


def test_an_unknown_setting_of_a_stage_is_not_answered_with_those_of_the_run() -> None:
    with pytest.raises(OptionError, match=r"Unknown setting 'train.exclude'\. Settings: epochs, "):
        make_plan(settings={"train.exclude": "a"})


def test_a_group_of_options_is_told_from_an_unknown_setting() -> None:
    with pytest.raises(OptionError, match=r"Setting synthesis=3 must be .* synthesis\.OPTION=VALUE"):
        make_plan(settings={"synthesis": 3})
    with pytest.raises(OptionError, match=r"Setting network_options=8 must be .* network"):
        make_plan(settings={"network": 8})


def test_two_names_of_one_option_of_the_network_are_refused() -> None:
    for both in ({"filters": 8, "width": 16}, {"width": 8, "filters": 16}):
        with pytest.raises(OptionError, match=r"another name too\. Give network\.width alone"):
            make_plan(settings={"network": both})


def test_a_stage_is_told_from_an_unknown_setting() -> None:
    with pytest.raises(OptionError, match=r"train=3: a stage has settings\. Give train\.SETTING"):
        make_plan(settings={"train": 3})


def test_an_unknown_method_is_answered_with_the_known_ones(clean_plugins: None) -> None:
    METHODS.register("tversky", "MissingModalityLib.methods.supervised:Supervised")
    with pytest.raises(OptionError, match=r"method=focal is unknown\..* joint, tversky\..* install"):
        make_plan(settings={"method": "focal"})


def test_a_plan_is_checked() -> None:
    with pytest.raises(OptionError, match="network=alexnet"):
        Plan("alexnet")


EARLIER = {
    "iterations": 7,
    "batch": 3,
    "crop": (16, 16, 16),
    "foreground": 0.5,
    "trained_subsets": ("T1",),
    "subsets": ("T2",),
    "validate_every": 4,
    "beta2": 0.9,
    "power": 0.5,
    "clip": 2.0,
    "average": 0.5,
    "fusion_start": 3,
    "workers": 2,
    "synthesis": "mixup",
    "factor": 8,
    "synthetic": {"clip": True, "alpha": 0.2, "difference": "signed"},
    "teacher_every": 50,
    "feature_weight": 2.0,
    "prediction_weight": 0.5,
    "distilled": "encoder",
    "joint": {
        "teacher": 0.1,
        "student": 0.2,
        "entropy": 0.3,
        "scales": 0.4,
        "divergence": 0.5,
        "standardized": "space",
        "discriminator_rate": 1e-3,
    },
}
"""Every setting that had another name, as run.json held it."""

TODAY = Settings(
    iterations_per_epoch=7,
    batch_size=3,
    patch_size=(16, 16, 16),
    oversample_foreground=0.5,
    training_subsets=("T1",),
    validation_subsets=("T2",),
    validation_interval=4,
    adam_beta2=0.9,
    lr_decay_power=0.5,
    max_grad_norm=2.0,
    ema_decay=0.5,
    supervised=SupervisedOptions(fusion_start_epoch=3),
    num_workers=2,
    synthesis=SynthesisSettings(
        method="mixup", factor=8, clip_to_brain=True, mixup_alpha=0.2, difference="signed"
    ),
    distillation=DistillationOptions(50, 2.0, 0.5, "encoder"),
    joint=JointOptions(
        teacher_weight=0.1,
        student_weight=0.2,
        cross_entropy=0.3,
        multiscale=0.4,
        kl_divergence=0.5,
        standardize_over="space",
        discriminator_learning_rate=1e-3,
    ),
)


def texts(settings: dict) -> dict[str, str]:
    return {name: as_text(value) for name, value in flat(settings).items()}


def test_settings_may_be_given_by_their_earlier_names(tmp_path: Path) -> None:
    assert EARLIER.keys() - {"joint"} == OLD_SETTINGS.keys()
    assert EARLIER["joint"].keys() == OLD_JOINT_OPTIONS.keys()
    assert Settings(**EARLIER) == TODAY
    path = tmp_path / "plan.yaml"
    path.write_text(json.dumps({**EARLIER, "validation": 0.25}))
    for given in (
        {**EARLIER, "validation": 0.25},
        {**texts(EARLIER), "validation": "0.25"},
        read_config(path),
    ):
        plan = make_plan("baseline", settings=given)
        assert plan.stages["train"] == replace(
            TODAY, **{name: getattr(plan.stages["train"], name) for name in KEPT}
        )
        assert plan.validation_fraction == 0.25
    of_one = make_plan("aem-kd", settings={"train.batch": "3", "posttrain": {"batch": 4}})
    assert [stage.batch_size for stage in of_one.stages.values()] == [2, 3, 4]


KEPT = ("epochs", "augmentation", "method", "learning_rate", "weight_decay", "precision")
"""Settings that never had another name."""


def test_a_record_with_earlier_names_gives_the_same_plan() -> None:
    record = {
        "architecture": "rfnet",
        "network": {"width": 4},
        "validation": 0.25,
        "exclude": ["a"],
        "stages": {"train": json.loads(json.dumps(EARLIER))},
    }
    today = Plan("rfnet", {"width": 4}, 0.25, ("a",), {"train": TODAY})
    assert from_json(record) == today
    assert Plan(**{**record, "exclude": ("a",), "stages": {"train": TODAY}}) == today


@pytest.mark.parametrize(
    ("old", "new"),
    [("batch", "batch_size"), ("factor", "synthesis.factor"), ("joint.scales", "joint.multiscale")],
)
def test_both_names_of_one_setting_are_refused(old: str, new: str) -> None:
    with pytest.raises(OptionError, match=f"{old} and {new} are two names of one setting"):
        make_plan(settings={old: 2, new: 3})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epochs", 2.5),
        ("epochs", True),
        ("epochs", None),
        ("epochs", "many"),
        ("batch_size", 1.0),
        ("learning_rate", math.inf),
        ("learning_rate", 1e400),
        ("learning_rate", math.nan),
        ("learning_rate", 10**400),
        ("max_grad_norm", math.inf),
        ("patch_size", 1.5),
        ("patch_size", (16, 16)),
        ("patch_size", True),
        ("augmentation", 3),
        ("validation_subsets", 7),
        ("joint", 3),
        ("joint", {"style": math.inf}),
        ("synthesis", {"flip": 1}),
        ("synthesis", {"depth": 1}),
    ],
    ids=str,
)
def test_a_value_of_the_wrong_kind_is_refused_in_every_door(name: str, value: Any, tmp_path: Path) -> None:
    """Keywords, ``settings={}``, texts of --set and YAML."""
    path = tmp_path / "settings.yaml"
    path.write_text(yaml.safe_dump({name: value}))
    doors: list[Callable[[], Any]] = [
        lambda: Settings(**{name: value}),
        lambda: make_plan(settings={name: value}),
        lambda: make_plan(settings={key: str(item) for key, item in flat({name: value}).items()}),
        lambda: make_plan(settings=read_config(path)),
    ]
    for door in doors:
        with pytest.raises(OptionError, match=name):
            door()


@pytest.mark.parametrize(
    ("name", "value", "read"),
    [
        ("patch_size", 80, (80, 80, 80)),
        ("patch_size", [16, 16, 24], (16, 16, 24)),
        ("learning_rate", 1, 1.0),
        ("training_subsets", ["T1"], ("T1",)),
        ("joint", {"style": 1}, JointOptions(style=1.0)),
        ("synthesis", {"flip": "yes"}, SynthesisSettings(flip=True)),
    ],
    ids=str,
)
def test_a_value_that_can_only_mean_one_thing_is_read_in_every_door(name: str, value: Any, read: Any) -> None:
    base = getattr(Settings(), name)
    expected = Settings(**{name: read})
    assert Settings(**{name: value}) == expected and type(getattr(expected, name)) is type(base)
    assert from_json({"stages": {"train": {name: value}}}).stages["train"] == expected


@pytest.mark.parametrize(
    ("text", "value"), [("no", False), ("False", False), ("off", False), ("yes", True), ("TRUE", True)]
)
def test_words_for_true_and_false_are_read_as_in_yaml(text: str, value: bool) -> None:
    plan = make_plan("adamm", settings={"network.presence": text, "synthesis.flip": text})
    assert plan.network_options["presence"] is value
    assert plan.stages["train"].synthesis.flip is value


def test_settings_without_names_are_refused() -> None:
    with pytest.raises(OptionError, match=r"settings='epochs=2': give a dict of values"):
        make_plan(settings="epochs=2")


@pytest.mark.parametrize("preset", PRESET_NAMES)
@pytest.mark.parametrize("network", PRESETS)
@pytest.mark.parametrize("recipe", RECIPES.names())
def test_a_plan_that_was_printed_is_read_as_the_same_plan(
    recipe: str, network: str, preset: str, tmp_path: Path
) -> None:
    stages = list(RECIPES.get(recipe).stages)
    plan = make_plan(recipe, network, preset, stages, {"exclude": "1234", "train.learning_rate": 1e-5})
    path = tmp_path / "plan.yaml"
    path.write_text(to_yaml(plan))
    assert read_config(path) == plan


def test_a_printed_plan_says_what_each_setting_means_once() -> None:
    text = to_yaml(make_plan("aem-kd"))
    assert text.count("# Optimizer steps in an epoch") == 1
    assert text.count("iterations_per_epoch: 250") == 3
    assert "      # Real and synthetic cases together" in text, "beside the setting that it is about"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"stages": {"train": {"epochs": 2.5}}}, "epochs=2.5"),
        ({"stages": {"train": {"epoch": 2}}}, "'epoch'"),
        ({"stages": ["train"]}, "holds no plan"),
        ({"stages": {"train": 3}}, "holds no plan"),
        ({"network": "alexnet", "stages": {"train": {}}}, "network=alexnet"),
        ({"seed": 3, "stages": {"train": {}}}, "'seed'"),
        ({"stages": {"../train": {}}}, r"'\.\./train' cannot name a stage"),
        ({"stages": {1: {}}}, "'1' cannot name a stage"),
    ],
    ids=str,
)
def test_a_file_that_is_no_plan_is_refused(content: dict, words: str, tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(OptionError, match=words):
        read_config(path)


@pytest.mark.parametrize(
    "stage",
    ["epochs", "joint", "clip", "Train", "a/b", "", "validation", *(item.name for item in fields(Plan))],
)
def test_a_recipe_cannot_name_a_stage_like_a_setting(stage: str) -> None:
    with pytest.raises(OptionError, match=f"'{stage}' cannot name a stage"):
        Recipe("One stage.", {stage: {}})


def test_a_recipe_of_ones_own_is_planned_by_name(clean_plugins: None) -> None:
    mine = Recipe(
        "Coarse, then fine.", {"coarse": {"patch_size": 64}, "fine": {"epochs": 5}}, network="rfnet"
    )
    RECIPES.register("two-steps", mine)
    plan = make_plan("two-steps", preset="quick", settings={"coarse.batch": 2, "learning_rate": 0.5})
    assert plan.network == "rfnet" and list(plan.stages) == ["coarse", "fine"]
    assert (plan.stages["coarse"].batch_size, plan.stages["fine"].batch_size) == (2, 1)
    assert plan.stages["fine"].epochs == 5 and plan.stages["fine"].learning_rate == 0.5


def run_command(*arguments: str) -> subprocess.CompletedProcess[str]:
    """A command of the command line, in a process that knows this one's registrations."""
    command = [sys.executable, "-m", "MissingModalityLib", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=child_environment())


def test_recipes_of_other_packages_are_listed_and_not_imported(clean_plugins: None, tmp_path: Path) -> None:
    """Every command makes the list: also one that a job of a panel runs, beside whatever is installed."""
    RECIPES.register("typed-in", Recipe("An object that no other process can see.", {"train": {}}))
    os.environ[PLUGINS] += ";recipe.broken=package_that_is_not_there:RECIPE"
    shown = run_command("train", "--help")
    assert shown.returncode == 0, shown.stderr
    for name in ("typed-in", "broken"):
        assert f"  {name}: of another package\n" in shown.stdout


def test_a_method_of_another_package_may_be_called_like_a_stage_of_ours(clean_plugins: None) -> None:
    os.environ[PLUGINS] = "method.train=package_that_is_not_there:Method"
    assert run_command("--version").returncode == 0


@dataclass(frozen=True)
class FocalOptions:
    gamma: float = at_least(0, 2.0, "Focus on voxels that are told wrongly")

    def __post_init__(self) -> None:
        check(self, "focal.")


class Focal(Method):
    Options = FocalOptions

    def loss(self, network: Any, batch: Any, epoch: int) -> dict:
        return {}


def test_a_method_of_ones_own_has_its_options_under_its_name(clean_plugins: None, tmp_path: Path) -> None:
    METHODS.register("focal", Focal)
    plan = make_plan(settings={"method": "focal", "focal.gamma": "3"})
    assert plan.stages["train"].method_options() == FocalOptions(3.0)
    assert change_plan(plan, {"epochs": 2}).stages["train"].method_options() == FocalOptions(3.0)
    assert from_json(json.loads(json.dumps(to_json(plan)))) == plan
    (tmp_path / "plan.yaml").write_text(to_yaml(plan))
    assert read_config(tmp_path / "plan.yaml") == plan
    untold = make_plan(settings={"method": "focal"})
    assert untold.stages["train"].method_options() == FocalOptions()
    # kept with the run: a later version of the package may have another default
    assert to_json(untold)["stages"]["train"]["other_methods"] == {"focal": {"gamma": FocalOptions().gamma}}
    with pytest.raises(OptionError, match=r"focal\.gamma=-1"):
        make_plan(settings={"focal.gamma": -1})
    with pytest.raises(OptionError, match=r"focal\.beta"):
        make_plan(settings={"focal.beta": 1})


@pytest.mark.parametrize("typed", ["train.epochs", "epochs", "train.synthesis.factor"])
def test_a_wrong_value_is_told_with_the_setting_as_it_was_typed(typed: str) -> None:
    with pytest.raises(OptionError, match=rf"^Setting {re.escape(typed)}=x must be a whole number"):
        make_plan(settings={typed: "x"})
