"""Settings of a training: checked wherever they come in, and answered with what is allowed."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from MissingModalityLib.core.errors import OptionError
from MissingModalityLib.core.modalities import Modality
from MissingModalityLib.core.settings import flat
from MissingModalityLib.methods.options import JointOptions
from MissingModalityLib.networks.options import OPTIONS
from MissingModalityLib.training.describe import describe_settings
from MissingModalityLib.training.plan import from_json, make_plan, read_config, to_json
from MissingModalityLib.training.settings import Settings, SynthesisSettings, named_subsets


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


@pytest.mark.parametrize("names", ["1234", "12,13", "0012,1_3", "none", "", "12, 13,", "['12', '13']"])
def test_names_that_look_like_numbers_stay_names(names: str) -> None:
    expected = {"none": (), "": (), "12, 13,": ("12", "13"), "['12', '13']": ("12", "13")}.get(
        names, tuple(names.split(","))
    )
    assert make_plan(settings={"exclude": names}).exclude == expected


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


@pytest.mark.parametrize("typed", ["train.epochs", "epochs", "train.synthesis.factor"])
def test_a_wrong_value_is_told_with_the_setting_as_it_was_typed(typed: str) -> None:
    with pytest.raises(OptionError, match=rf"^Setting {re.escape(typed)}=x must be a whole number"):
        make_plan(settings={typed: "x"})
