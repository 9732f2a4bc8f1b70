"""Settings, recipes and plans: what can be set, how, and what is refused."""

from __future__ import annotations

import inspect
import json
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from MissingModalityLib.core.aliases import OLD_SETTINGS
from MissingModalityLib.core.errors import OptionError
from MissingModalityLib.core.modalities import Modality
from MissingModalityLib.networks import build, network_class
from MissingModalityLib.training.recipes import (
    NETWORKS,
    RECIPES,
    Plan,
    change_plan,
    describe_settings,
    from_json,
    make_plan,
    read_config,
    to_json,
)
from MissingModalityLib.training.settings import Settings, named_subsets


def test_validation_subsets_are_found_by_name_in_any_order() -> None:
    assert set(named_subsets(["t1ce+flair", "T2"])) == {(Modality.T2,), (Modality.FLAIR, Modality.T1CE)}


def test_settings_are_checked_and_survive_json() -> None:
    changes = {
        "patch_size": "64",
        "network.filters": "16",
        "validation_subsets": "T2,FLAIR+T1",
        "batch_size": "3",
    }
    plan = make_plan(settings={**changes, "network.blocks": "[1, 1]"})
    settings = plan.stages["train"]
    assert (
        settings.patch_size == (64, 64, 64)
        and plan.network_options["filters"] == 16
        and settings.batch_size == 3
    )
    assert settings.validation_subsets == ("T2", "FLAIR+T1")
    assert from_json(json.loads(json.dumps(to_json(plan)))) == plan


@pytest.mark.parametrize(
    ("override", "allowed"),
    [
        ({"epochs": "0"}, "1 or more"),
        ({"weight_decay": "-1"}, "0 or more"),
        ({"max_grad_norm": "-1"}, "0 or more"),
        ({"ema_decay": "1"}, "0 to less than 1"),
        ({"oversample_foreground": "1.5"}, "0 to 1"),
        ({"learning_rate": "0"}, "more than 0"),
        ({"precision": "half"}, "one of auto, float32, bfloat16, float16"),
        ({"patch_size": "4"}, "three whole numbers of 8 or more"),
    ],
    ids=str,
)
def test_a_setting_out_of_range_is_answered_with_its_range(override: dict[str, str], allowed: str) -> None:
    with pytest.raises(OptionError, match=rf"{next(iter(override))}=.*Allowed: {allowed}\."):
        make_plan(settings=override)


def test_settings_describe_themselves_without_loading_torch() -> None:
    code = (
        "import sys; from MissingModalityLib.training.recipes import describe_settings as d; print(d()); "
        "assert not {'torch', 'monai', 'numpy'} & sys.modules.keys()"
    )
    text = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert text.strip() == describe_settings()
    for item in fields(Settings):
        assert f"  {item.name} = " in text
    assert "Allowed: 1 or more." in text
    words = " ".join(text.split())
    for preset in ("quick", "light"):
        settings = make_plan(preset=preset).stages["train"]
        for name in ("epochs", "iterations_per_epoch"):
            assert re.search(rf"\b{name} = [^.]*\b{getattr(settings, name)} \({preset}\)", words), (
                name,
                preset,
            )
    options = {name: list(inspect.signature(network_class(name)).parameters) for name in NETWORKS}
    options["rfnet"].remove("classes")
    for network, names in options.items():
        assert f"{', '.join(names)} for {network}" in words


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("batch_size=two", "a whole number, such as 2"),
        ("learning_rate=fast", "a number, such as 0.002"),
        ("method=3", "a name, such as supervised"),
        ("patch_size=1.5", "whole numbers joined by commas, such as 144,176,144"),
        ("synthetic.clip=maybe", "true or false, such as False"),
    ],
)
def test_a_value_of_the_wrong_kind_is_answered_with_the_right_one(setting: str, words: str) -> None:
    name, _, value = setting.partition("=")
    with pytest.raises(OptionError, match=rf"Setting {setting} must be {words}\."):
        make_plan(settings={name: value})


@pytest.mark.parametrize("preset", ["quick", "light"])
@pytest.mark.parametrize("network", NETWORKS)
def test_every_recipe_has_a_plan_whose_network_can_be_built(network: str, preset: str) -> None:
    for recipe in RECIPES:
        plan = make_plan(recipe, network, preset)
        stages = [name for name in RECIPES[recipe].stages if name not in RECIPES[recipe].on_request]
        assert list(plan.stages) == stages
        assert build(plan.network, **plan.network_options).name == network


def test_the_full_recipe_is_the_papers() -> None:
    stages = make_plan("aem-kd", "rfnet", "paper").stages
    assert list(stages) == ["pretrain", "train", "posttrain"]
    assert [settings.synthesis for settings in stages.values()] == ["aem", "none", "none"]
    assert stages["posttrain"].method == "distillation" and stages["posttrain"].teacher_every == 5
    assert stages["pretrain"].factor == 4
    for settings in stages.values():
        assert (settings.epochs, settings.learning_rate, settings.lr_decay_power) == (300, 2e-4, 0.9)
        assert settings.patch_size == (80, 80, 80)
    assert stages["pretrain"].fusion_start_epoch == 20


def test_a_setting_is_for_all_stages_or_for_one() -> None:
    changes = {
        "pretrain.epochs": 7,
        "epochs": "2",
        "pretrain.synthetic.difference": "signed",
        "validation_fraction": 0,
    }
    plan = make_plan("aem-kd", settings=changes)
    assert [settings.epochs for settings in plan.stages.values()] == [7, 2, 2]
    assert plan.stages["pretrain"].synthesis_options().difference == "signed"
    assert plan.stages["train"].synthetic == {}
    assert plan.validation_fraction == 0
    nested = {
        "pretrain": {"epochs": 7, "synthetic": {"difference": "signed"}},
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
    same = {"pretrain": {"epochs": "4", "patch_size": 96, "synthesis": "aem"}}
    assert change_plan(plan, same, finished=["pretrain"]) == plan


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"synthetic.difference": "squared"}, "difference=squared"),
        ({"synthetic.depth": 3}, "synthetic.depth"),
        ({"synthetic": "signed"}, "synthetic"),
        ({"factor": 1}, "factor=1.*2 or more"),
        ({"method": "magic"}, "one of supervised, distillation"),
        ({"training_subsets": "T7"}, "training_subsets names 'T7'"),
    ],
    ids=str,
)
def test_settings_of_synthesis_and_distillation_are_checked(changes: dict, word: str) -> None:
    with pytest.raises(OptionError, match=word):
        make_plan("aem-kd", settings=changes)


def test_a_yaml_file_holds_what_set_takes(tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text("epochs: 5\npatch_size: [32, 32, 32]\nnetwork:\n  filters: 8\npretrain:\n  factor: 2\n")
    plan = make_plan("aem", settings=read_config(path))
    assert plan.stages["train"].epochs == 5 and plan.stages["pretrain"].factor == 2
    assert plan.stages["train"].patch_size == (32, 32, 32) and plan.network_options["filters"] == 8


@pytest.mark.parametrize("text", ["- 1\n- 2\n", "a: [", "", "1: 2\n"])
def test_a_file_without_settings_is_named(text: str, tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text(text)
    with pytest.raises(OptionError, match=r"plan\.yaml"):
        read_config(path)
    with pytest.raises(OptionError, match=r"absent\.yaml"):
        read_config(tmp_path / "absent.yaml")


def test_a_plan_is_checked() -> None:
    with pytest.raises(OptionError, match="network=alexnet"):
        Plan("alexnet")


FLAT_NAMES = {
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
}


def test_settings_may_be_given_by_their_earlier_names(tmp_path: Path) -> None:
    today = {OLD_SETTINGS[old]: value for old, value in FLAT_NAMES.items()}
    assert today.keys() == set(OLD_SETTINGS.values())
    assert Settings(**FLAT_NAMES) == Settings(**today) != Settings()
    path = tmp_path / "plan.yaml"
    path.write_text(json.dumps({**FLAT_NAMES, "validation": 0.25}))
    plan = make_plan("aem-kd", settings={**today, "validation_fraction": 0.25})
    for given in ({**FLAT_NAMES, "validation": 0.25}, read_config(path)):
        assert make_plan("aem-kd", settings=given) == plan
    of_one = make_plan("aem-kd", settings={"train.batch": "3", "posttrain": {"batch": 4}})
    assert [stage.batch_size for stage in of_one.stages.values()] == [2, 3, 4]


def test_a_record_with_earlier_names_gives_the_same_plan() -> None:
    record = {
        "architecture": "rfnet",
        "network": {"width": 4},
        "validation": 0.25,
        "exclude": ["a"],
        "stages": {"train": json.loads(json.dumps(FLAT_NAMES))},
    }
    stage = Settings(**{OLD_SETTINGS[old]: value for old, value in FLAT_NAMES.items()})
    assert from_json(record) == Plan("rfnet", {"width": 4}, 0.25, ("a",), {"train": stage})


def test_both_names_of_one_setting_are_refused() -> None:
    with pytest.raises(OptionError, match="batch and batch_size are two names of one setting"):
        make_plan(settings={"batch": 1, "batch_size": 2})
