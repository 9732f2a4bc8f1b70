"""What the panels keep in the scene: changes from outside, scenes of other versions, and unknown values."""

from __future__ import annotations

import gc
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import slicer

import seg_panel
import slicer_standin
import train_panel
from MissingModalityLib.core.modalities import MODALITIES
from seg_panel import add_volumes, seg
from train_panel import train


@pytest.fixture
def training(tmp_path: Path) -> Iterator[Any]:
    with train_panel.opened_panel(tmp_path) as panel:
        yield panel


@pytest.fixture
def segmentation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    with seg_panel.opened_panel(monkeypatch, tmp_path) as panel:
        yield panel


def write_outside(panel: Any, **values: Any) -> None:
    """As a script does, with a wrapper of its own."""
    state = panel.logic.getParameterNode()
    for name, value in values.items():
        setattr(state, name, value)


TRAINING = {
    "dataPath": ("dataPathEdit", "/cases"),
    "convention": ("conventionSelector", "brats2023"),
    "validationPercent": ("validationSpinBox", 30),
    "seed": ("seedSpinBox", 7),
    "resectionCavity": ("resectionCavitySelector", "ignore"),
    "modality": ("modalitySelector", "T2"),
    "difference": ("differenceSelector", "signed"),
    "placement": ("placementSelector", "random"),
    "clip": ("clipCheckBox", True),
    "blend": ("blendSpinBox", 1.5),
    "factor": ("factorSpinBox", 8),
    "synthesisPath": ("synthesisPathEdit", "/synthetic"),
    "recipe": ("recipeSelector", "aem"),
    "network": ("networkSelector", "rfnet"),
    "preset": ("presetSelector", "paper"),
    "device": ("deviceSelector", "cpu"),
    "runPath": ("runPathEdit", "/run"),
    "studentPath": ("studentPathEdit", "/student.safetensors"),
    "evaluationPath": ("evaluationPathEdit", "/test"),
}


def shown(widget: Any) -> Any:
    """What a widget says, as its parameter has it."""
    for name in ("currentPath", "value", "checked"):
        if hasattr(widget, name):
            return getattr(widget, name)
    return widget.itemData(widget.currentIndex)


def test_a_change_from_outside_is_shown_by_the_training_panel(training: Any) -> None:
    for name, (widget, value) in TRAINING.items():
        write_outside(training, **{name: value})
        assert shown(getattr(training.ui, widget)) == value, name
        assert getattr(training.state, name) == value, "and is not written over by what was shown before"


def test_a_volume_chosen_from_outside_is_shown_and_can_be_segmented(segmentation: Any) -> None:
    (node,) = add_volumes("volume")
    for name in (modality.name.lower() for modality in MODALITIES):
        selector = getattr(segmentation.ui, f"{name}Selector")
        write_outside(segmentation, **{name: node})
        assert selector.currentNode() is node
        assert segmentation.ui.applyButton.enabled
        write_outside(segmentation, **{name: None})
        assert selector.currentNode() is None
        assert not segmentation.ui.applyButton.enabled


def test_observers_of_the_scene_are_told_of_every_parameter(segmentation: Any, tmp_path: Path) -> None:
    changes = {
        "folderDataPath": ("folderDataPathEdit", str(tmp_path)),
        "folderOutputPath": ("folderOutputPathEdit", str(tmp_path / "out")),
        "device": ("deviceSelector", "cpu"),
        "regions": ("regionsCheckBox", True),
        "keepSteps": ("keepStepsCheckBox", True),
        "stripSkull": ("stripSkullCheckBox", False),
    }
    for name, (widget, value) in changes.items():
        write_outside(segmentation, **{name: value})
        assert shown(getattr(segmentation.ui, widget)) == value, name
    assert segmentation.ui.folderButton.enabled


def test_an_imported_scene_brings_its_choices_and_one_more_choice_leaves_them(
    training: Any, tmp_path: Path
) -> None:
    for name, (_widget, value) in TRAINING.items():
        write_outside(training, **{name: value})
    path = str(tmp_path / "scene.mrml")
    slicer.mrmlScene.SetURL(path)
    assert slicer.mrmlScene.Commit()
    slicer.mrmlScene.Clear(0)
    slicer.mrmlScene.SetURL(path)
    slicer.mrmlScene.Import()
    train_panel.choose_item(training.ui.conventionSelector, "brats2021")
    expected = {name: value for name, (_widget, value) in TRAINING.items()} | {"convention": "brats2021"}
    assert {name: getattr(training.state, name) for name in TRAINING} == expected
    assert {name: shown(getattr(training.ui, widget)) for name, (widget, _) in TRAINING.items()} == expected


UNKNOWN = {"device": "MPS", "preset": "ENORMOUS", "difference": "CUBIC", "modality": "DWI", "seed": "many"}


def test_unknown_values_in_a_scene_are_replaced_and_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    slicer_standin.new_scene()
    state = train.MissingModalityTrainLogic().getParameterNode()
    defaults = {name: getattr(state, name) for name in UNKNOWN}
    node = state.parameterNode
    del state  # while the scene is loaded nobody reads it
    for name, text in UNKNOWN.items():
        node.SetParameter(name, text)
    with caplog.at_level(logging.WARNING):
        panel = train_panel.new_panel()
    assert {name: getattr(panel.state, name) for name in UNKNOWN} == defaults
    assert not panel.ui.sceneLabel.isHidden()
    panel.enter()
    panel.cleanup()
    for name, text in UNKNOWN.items():
        sentence = f"'{text}' for '{name}'"
        assert sentence in panel.ui.sceneLabel.text
        assert caplog.text.count(sentence) == 1


def test_an_unknown_device_does_not_stop_the_segmentation_panel(segmentation: Any) -> None:
    node = segmentation.state.parameterNode
    node.SetParameter("device", "MPS")
    slicer.mrmlScene.InvokeEvent(slicer.mrmlScene.EndImportEvent)
    assert segmentation.state.device == "auto"
    assert "'MPS' for 'device'" in segmentation.ui.sceneLabel.text


def test_stages_of_another_version_are_those_of_the_recipe(training: Any) -> None:
    for stages in ("no JSON", "[]", '{"of": "baseline/segresnet/quick"}'):
        write_outside(training, stages=stages)
        assert training.ui.stagesTable.item(0, 0).text() == "train"


@pytest.mark.parametrize("removes", [True, False])
def test_a_closed_panel_leaves_no_observer_in_the_scene(
    removes: bool, training: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a Slicer whose disconnectGui leaves one, too: VTK would call what Python has collected."""
    if not removes:
        monkeypatch.setattr(type(training.state), "disconnectGui", lambda self, tag: None)
    node = training.state.parameterNode
    assert node.HasObserver("ModifiedEvent")
    training.cleanup()
    gc.collect()
    assert not node.HasObserver("ModifiedEvent")


def test_a_recipe_that_is_not_there_is_told_beside_start(training: Any) -> None:
    write_outside(training, recipe="somebody-elses")
    assert training.ui.stagesTable.rowCount == 0
    assert "somebody-elses" in training.ui.startButton.toolTip
    assert training.state.recipe == "somebody-elses", "it may be installed here later"


def test_a_script_cannot_write_what_no_panel_offers() -> None:
    slicer_standin.new_scene()
    state = train.MissingModalityTrainLogic().getParameterNode()
    for name, value, error in (
        ("device", "tpu", ValueError),
        ("seed", "1", TypeError),
        ("seed", -1, ValueError),
    ):
        with pytest.raises(error):
            setattr(state, name, value)


def ui_files() -> list[Path]:
    modules = (Path(module.__file__).parent for module in (seg, train))
    return [path for folder in modules for path in sorted((folder / "Resources" / "UI").glob("*.ui"))]


@pytest.mark.parametrize("path", ui_files(), ids=lambda path: path.stem)
def test_every_ui_file_hands_the_scene_to_each_selector_of_nodes(path: Path) -> None:
    """Slicer's loader connects what the file says; a selector left out would stay empty."""
    root = ElementTree.parse(path).getroot()  # noqa: S314 - our own file
    top = root.find("widget")
    assert (top.get("class"), top.get("name")) == ("qMRMLWidget", path.stem)
    selectors = {one.get("name") for one in root.iter("widget") if one.get("class") == "qMRMLNodeComboBox"}
    parts = ("sender", "signal", "receiver", "slot")
    found = {tuple(map(one.findtext, parts)) for one in root.iter("connection")}
    ends = "mrmlSceneChanged(vtkMRMLScene*)", "setMRMLScene(vtkMRMLScene*)"
    assert found == {(path.stem, ends[0], selector, ends[1]) for selector in selectors}
