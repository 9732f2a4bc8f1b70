"""The training panel's choices: recipe, network, stages, and what Start needs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import slicer_standin
from event_loop import run_events
from MissingModalityLib.training.plan import make_plan
from MissingModalityLib.training.presets import PRESETS
from MissingModalityLib.training.recipes import RECIPES
from train_panel import arguments, choose, choose_item, opened_panel, start, write_run

qt = slicer_standin.load_module("qt")


@pytest.fixture
def panel(tmp_path: Path) -> Iterator[Any]:
    with opened_panel(tmp_path) as panel:
        yield panel


def test_every_recipe_can_be_chosen_and_is_kept_in_the_scene(panel: Any) -> None:
    selector = panel.ui.recipeSelector
    assert [selector.itemText(index) for index in range(selector.count)] == list(RECIPES)
    selector.setCurrentIndex(1)
    panel.ui.presetSelector.setCurrentIndex(2)
    state = panel.logic.getParameterNode()
    assert state.recipe == list(RECIPES)[1]
    assert state.preset == "paper"


def test_a_recipe_brings_the_network_it_is_made_for(panel: Any) -> None:
    state = panel.logic.getParameterNode()
    choose_item(panel.ui.networkSelector, "rfnet")
    choose_item(panel.ui.recipeSelector, "aem-kd")
    assert state.network == "rfnet", "both recipes are for any network"
    for recipe, network in (("mst-kd", "mstkdnet"), ("adamm", "adamm"), ("baseline", "segresnet")):
        choose_item(panel.ui.recipeSelector, recipe)
        assert state.network == network


def test_every_network_can_be_chosen_and_is_kept_in_the_scene(panel: Any) -> None:
    """In an order of the panel's own; one without a title would go by its name."""
    selector = panel.ui.networkSelector
    offered = {selector.itemData(index): selector.itemText(index) for index in range(selector.count)}
    assert set(offered) == set(PRESETS) and not set(offered) & set(offered.values())
    for name in offered:
        choose_item(selector, name)
        assert panel.logic.getParameterNode().network == name


OUTSIDE = """
from dataclasses import dataclass
from MissingModalityLib.networks.network import Network
from MissingModalityLib.networks.options import NetworkOptions

@dataclass(frozen=True)
class Options(NetworkOptions):
    pass

class Outside(Network):
    name = "outside"
    Options = Options
    presets = {"quick": ({"epochs": 2}, {})}
"""


def test_a_network_of_another_package_can_be_chosen_and_brings_its_preset(
    tmp_path: Path, replaced_process: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "outside_package.py").write_text(OUTSIDE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("MISSINGMODALITY_PLUGINS", "network.outside=outside_package:Outside")
    replaced_process('echo "arguments: $*" >&2')
    with opened_panel(tmp_path) as panel:
        choose_item(panel.ui.networkSelector, "outside")
        assert panel.ui.networkSelector.currentText == "outside"
        assert panel.ui.stagesTable.cellWidget(0, 1).value == 2
        start(panel, tmp_path)
        run_events(lambda: not panel.training.alive)
        assert "--network outside --preset quick" in arguments(tmp_path / "run")


def test_a_recipe_that_cannot_be_imported_can_be_left_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MISSINGMODALITY_PLUGINS", "recipe.broken=package_that_is_not_there:RECIPE")
    with opened_panel(tmp_path) as panel:
        choose(panel, data=tmp_path, run=tmp_path / "run")
        choose_item(panel.ui.recipeSelector, "broken")
        assert not panel.ui.startButton.enabled
        assert "package_that_is_not_there" in panel.ui.startButton.toolTip
        choose_item(panel.ui.recipeSelector, "adamm")
        assert panel.ui.startButton.enabled and panel.logic.getParameterNode().network == "adamm"


def test_start_offers_pytorch_to_a_network_that_cannot_be_looked_at_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "outside_package.py").write_text(f"import torch_that_is_absent\n{OUTSIDE}")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "outside_package", raising=False)
    monkeypatch.setenv("MISSINGMODALITY_PLUGINS", "network.outside=outside_package:Outside")
    with opened_panel(tmp_path) as panel:
        choose(panel, data=tmp_path, run=tmp_path / "run")
        choose_item(panel.ui.networkSelector, "outside")
        assert not panel.ui.startButton.enabled
        assert "Install the Python package 'torch_that_is_absent'" in panel.ui.startButton.toolTip
        section = sys.modules[type(panel.training).__module__]
        monkeypatch.setattr(section, "isTorchInstalled", lambda: False)
        panel.updateGui()
        assert panel.ui.startButton.enabled


def test_a_network_that_is_not_installed_here_keeps_start_off_and_says_so(panel: Any, tmp_path: Path) -> None:
    """As in a scene that was saved where another package brought the network."""
    choose(panel, data=tmp_path, run=tmp_path / "run")
    assert panel.ui.startButton.enabled
    panel.logic.getParameterNode().network = "elsewhere"
    assert not panel.ui.startButton.enabled and "elsewhere" in panel.ui.startButton.toolTip
    assert panel.ui.stagesTable.rowCount == 0
    choose_item(panel.ui.networkSelector, "segresnet")
    assert panel.ui.startButton.enabled
    assert panel.ui.stagesTable.rowCount == 1


def test_the_table_of_stages_shows_what_the_choices_mean(panel: Any) -> None:
    choose_item(panel.ui.recipeSelector, "aem-kd")
    for preset, index in (("quick", 0), ("light", 1), ("paper", 2)):
        panel.ui.presetSelector.setCurrentIndex(index)
        stages = make_plan("aem-kd", "segresnet", preset).stages
        table = panel.ui.stagesTable
        shown = {table.item(row, 0).text(): table.cellWidget(row, 1).value for row in range(table.rowCount)}
        assert shown == {name: settings.epochs for name, settings in stages.items()}


def test_stages_on_request_are_offered_unticked(
    panel: Any, tmp_path: Path, replaced_process: Callable[[str], None]
) -> None:
    replaced_process('echo "arguments: $*" >&2')
    choose_item(panel.ui.recipeSelector, "mst-kd")
    table, state = panel.ui.stagesTable, panel.logic.getParameterNode()
    ticked = {table.item(row, 0).text(): table.item(row, 0).checkState() for row in range(table.rowCount)}
    assert ticked == {"pretrain": qt.Qt.Unchecked, "train": qt.Qt.Checked}
    table.item(0, 0).setCheckState(qt.Qt.Checked)
    table.item(0, 0).setCheckState(qt.Qt.Unchecked)
    assert state.stages == ""
    start(panel, tmp_path)
    run_events(lambda: not panel.training.alive)
    assert "--stages" not in arguments(tmp_path / "run") and "--set" not in arguments(tmp_path / "run")
    table.item(0, 0).setCheckState(qt.Qt.Checked)
    panel.ui.factorSpinBox.setValue(2)
    panel.ui.startButton.click()
    run_events(lambda: not panel.training.alive)
    said = arguments(tmp_path / "run")
    assert "--stages pretrain,train " in said and "--set pretrain.synthesis.factor=2 " in said


def test_start_passes_stages_epochs_and_synthesis_on(
    panel: Any, tmp_path: Path, replaced_process: Callable[[str], None]
) -> None:
    replaced_process('echo "arguments: $*" >&2')
    choose_item(panel.ui.recipeSelector, "aem-kd")
    table = panel.ui.stagesTable
    table.cellWidget(0, 1).setValue(7)
    table.item(2, 0).setCheckState(qt.Qt.Unchecked)
    assert not panel.ui.stagesTable.cellWidget(2, 1).enabled
    panel.ui.validationSpinBox.setValue(25)
    panel.ui.clipCheckBox.setChecked(True)
    panel.ui.factorSpinBox.setValue(2)
    choose_item(panel.ui.conventionSelector, "brats2023")
    choose_item(panel.ui.resectionCavitySelector, "ignore")
    start(panel, tmp_path)
    run_events(lambda: not panel.training.alive)
    said = arguments(tmp_path / "run")
    assert "--stages pretrain,train " in said
    assert "--convention brats2023" in said
    settings = (
        "pretrain.epochs=7 validation_fraction=0.25 resection_cavity=ignore "
        "pretrain.synthesis.factor=2 pretrain.synthesis.clip_to_brain=true"
    )
    assert f"--set {settings} " in said


def test_start_needs_data_a_fresh_run_folder_and_a_stage(panel: Any, tmp_path: Path) -> None:
    choose(panel, data=tmp_path)
    assert "run folder" in panel.ui.startButton.toolTip
    choose(panel, run=tmp_path / "run")
    assert panel.ui.startButton.enabled
    panel.ui.stagesTable.item(0, 0).setCheckState(qt.Qt.Unchecked)
    assert "one stage" in panel.ui.startButton.toolTip
    panel.ui.stagesTable.item(0, 0).setCheckState(qt.Qt.Checked)
    write_run(tmp_path / "old")
    choose(panel, run=tmp_path / "old")
    assert not panel.ui.startButton.enabled
    assert "resume it" in panel.ui.startButton.toolTip
    assert panel.ui.resumeButton.enabled


def test_a_folder_may_be_written_in_other_ways(panel: Any, tmp_path: Path) -> None:
    choose(panel, run=f"{write_run(tmp_path / 'run')}/")
    assert panel.ui.resumeButton.enabled
    assert panel.ui.studentPathEdit.currentPath.endswith("run.safetensors")
