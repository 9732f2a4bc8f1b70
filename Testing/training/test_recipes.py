"""Recipes: the plans that they make, the papers' and those of other packages."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import pytest

from MissingModalityLib.core.errors import OptionError
from MissingModalityLib.core.registry import PLUGINS
from MissingModalityLib.core.settings import at_least, check
from MissingModalityLib.methods.method import Method
from MissingModalityLib.methods.registry import METHODS
from MissingModalityLib.networks import build
from MissingModalityLib.networks.registry import NETWORKS
from MissingModalityLib.runtime.processes import child_environment
from MissingModalityLib.training.describe import to_yaml
from MissingModalityLib.training.plan import Plan, change_plan, from_json, make_plan, read_config, to_json
from MissingModalityLib.training.presets import PRESETS
from MissingModalityLib.training.recipes import RECIPES, Recipe


@pytest.fixture
def clean_plugins(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Registrations end with the test."""
    monkeypatch.setenv(PLUGINS, "")
    monkeypatch.setenv("PYTHONPATH", "")
    for registry in (RECIPES, METHODS):
        monkeypatch.setattr(registry, "_registered", {})
    yield


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


@pytest.mark.parametrize("name", ["epoch", "exclud", "netwrok.width", "focal.gamma"])
def test_an_unknown_setting_is_answered_with_all_that_can_be_set(name: str, clean_plugins: None) -> None:
    METHODS.register("tversky", "MissingModalityLib.methods.supervised:Supervised")
    with pytest.raises(OptionError, match=f"Unknown setting '{name}'") as caught:
        make_plan(settings={name: 1})
    listed = str(caught.value).partition("Settings: ")[2].rstrip(".").split(", ")
    assert {"network.OPTION", "exclude", "validation_fraction", "epochs", "joint.OPTION"} <= set(listed)
    assert "tversky.OPTION" in listed and "other_methods.OPTION" not in listed
    assert len(listed) == len(set(listed))


def test_an_unknown_method_is_answered_with_the_known_ones(clean_plugins: None) -> None:
    METHODS.register("tversky", "MissingModalityLib.methods.supervised:Supervised")
    with pytest.raises(OptionError, match=r"method=focal is unknown\..* joint, .*, tversky\..* install"):
        make_plan(settings={"method": "focal"})


def test_a_plan_is_checked() -> None:
    with pytest.raises(OptionError, match="network=alexnet"):
        Plan("alexnet")


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
