"""Files of settings and plans: what YAML and JSON may hold, and what is said of what they may not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from MissingModalityLib.core.errors import OptionError
from MissingModalityLib.training.describe import to_yaml
from MissingModalityLib.training.plan import make_plan, read_config
from MissingModalityLib.training.presets import PRESET_NAMES, PRESETS
from MissingModalityLib.training.recipes import RECIPES


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
