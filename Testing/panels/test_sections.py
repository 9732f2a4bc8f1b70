"""Panels made of sections: how a section is added, and what of it the scene keeps."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import slicer
from PySide6.QtCore import Qt, QTimer

import qt_standin
import slicer_standin
from MissingModalityLib.core.modalities import MODALITIES
from train_panel import new_panel

seg = slicer_standin.load_module("MissingModalitySeg")
train = slicer_standin.load_module("MissingModalityTrain")
PanelLib = {
    name: slicer_standin.load_module(f"MissingModalityPanelLib.{name}") for name in ("section", "parameters")
}

NOTES_UI = """<?xml version='1.0' encoding='UTF-8'?>
<ui version="4.0">
 <class>Notes</class>
 <widget class="qMRMLWidget" name="Notes">
  <layout class="QVBoxLayout" name="notesLayout">
   <item>
    <widget class="QCheckBox" name="urgentCheckBox">
     <property name="SlicerParameterName" stdset="0">
      <string notr="true">urgent</string>
     </property>
    </widget>
   </item>
   <item>
    <widget class="QComboBox" name="readerSelector" />
   </item>
  </layout>
 </widget>
</ui>
"""


class NotesParameters:
    urgent: bool = False
    reader: str = "nobody"


class NotesSection(PanelLib["section"].Section):
    """A section as somebody would add it."""

    name = "notes"
    Parameters = NotesParameters
    choices = ("reader",)

    def __init__(self, panel: Any) -> None:
        super().__init__(panel)
        self.offer("reader", {"nobody": "Nobody", "ana": "Ana"})


SECTIONS = (*seg.SECTIONS, NotesSection)
readParameterNode = PanelLib["parameters"].readParameterNode
ParameterNode = PanelLib["parameters"].makeParameterNodeClass("ParameterNode", SECTIONS)


class MissingModalitySegLogic(seg.MissingModalitySegLogic):
    def getParameterNode(self) -> Any:
        return readParameterNode(ParameterNode, super().getParameterNode().parameterNode)


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Any]:
    """The segmentation panel with one section more."""
    (tmp_path / "Notes.ui").write_text(NOTES_UI)

    class MissingModalitySegWidget(seg.MissingModalitySegWidget):
        logicClass = MissingModalitySegLogic
        sectionClasses = SECTIONS

        def resourcePath(self, name: str) -> str:
            return str(tmp_path / "Notes.ui") if name == "UI/Notes.ui" else super().resourcePath(name)

    slicer_standin.new_scene()
    panel = MissingModalitySegWidget(slicer_standin.module_area())
    panel.setup()
    yield panel
    panel.cleanup()


def test_a_section_is_a_class_a_ui_file_and_a_name_in_the_tuple(opened: Any) -> None:
    opened.ui.urgentCheckBox.setChecked(True)
    opened.ui.readerSelector.setCurrentIndex(1)
    state = opened.logic.getParameterNode()
    assert (state.urgent, state.reader) == (True, "ana")
    state.reader = "nobody"
    assert opened.notes.ui.readerSelector.currentText == "Nobody"
    slicer.mrmlScene.Clear(0)
    assert not opened.ui.urgentCheckBox.checked


def test_two_sections_with_a_parameter_of_one_name_are_refused() -> None:
    class Other(NotesSection):
        Parameters = type("OtherParameters", (), {"__annotations__": {"reader": str}, "reader": ""})

    with pytest.raises(TypeError, match="NotesParameters and OtherParameters both have a parameter reader"):
        PanelLib["parameters"].makeParameterNodeClass("Node", (NotesSection, Other))


@pytest.mark.parametrize("module", [seg, train], ids=["segmentation", "training"])
def test_no_two_sections_of_a_panel_have_a_widget_of_one_name(module: Any) -> None:
    slicer_standin.new_scene()
    panel = getattr(module, f"{module.__name__}Widget")(slicer_standin.module_area())
    panel.setup()
    owners: dict[str, str] = {}
    for section in panel.sectionClasses:
        for name in vars(getattr(panel, section.name).ui):
            if not name.startswith("qt_"):  # those are Qt's own, inside of other widgets
                assert name not in owners, f"{name} is in {owners[name]} and {section.name}"
                owners[name] = section.name
    panel.cleanup()


@pytest.mark.parametrize("module", [seg, train], ids=["segmentation", "training"])
def test_a_panel_that_is_not_shown_and_runs_nothing_costs_nothing(module: Any, tmp_path: Path) -> None:
    qt_standin.keep_settings_in(str(tmp_path))
    slicer_standin.new_scene()
    panel = getattr(module, f"{module.__name__}Widget")(slicer_standin.module_area())
    panel.setup()
    owners = [panel.logic, *(getattr(panel, section.name) for section in panel.sectionClasses)]
    timers = [one for owner in owners for one in vars(owner).values() if isinstance(one, QTimer)]
    assert timers and not any(timer.isActive() for timer in timers)
    panel.cleanup()


def test_there_is_a_selector_for_every_sequence_of_the_library(opened: Any) -> None:
    for modality in MODALITIES:
        selector = getattr(opened.ui, f"{modality.name.lower()}Selector")
        assert isinstance(selector, qt_standin.qMRMLNodeComboBox)
        assert modality.title in selector.toolTip


def test_choices_that_older_scenes_kept_by_the_names_of_enumerations_are_read(tmp_path: Path) -> None:
    qt_standin.keep_settings_in(str(tmp_path))
    slicer_standin.new_scene()
    node = train.MissingModalityTrainLogic().getParameterNode().parameterNode
    stored = {"network": "MSTKDNET", "preset": "LIGHT", "device": "GPU", "modality": "T1CE"}
    for name, text in stored.items():
        node.SetParameter(name, text)
    panel = new_panel()
    state = panel.logic.getParameterNode()
    assert (state.network, state.preset, state.device) == ("mstkdnet", "light", "cuda")
    assert panel.ui.networkSelector.currentText == "MST-KDNet (needs a GPU)"
    assert panel.ui.presetSelector.currentText.startswith("Light")
    assert panel.ui.modalitySelector.currentText == "T1ce"
    panel.cleanup()


def test_every_entry_of_a_list_is_told_in_full() -> None:
    panel = new_panel()
    selector = panel.ui.resectionCavitySelector
    texts = [selector.itemText(row) for row in range(selector.count)]
    assert texts and texts == [
        selector.itemData(row, Qt.ItemDataRole.ToolTipRole) for row in range(len(texts))
    ]
    panel.cleanup()


NARROW = 440
"""Pixels of a module's panel that leave most of a laptop's screen to the views."""


@pytest.mark.parametrize("kind", ["MissingModalitySeg", "MissingModalityTrain"])
def test_a_narrow_panel_shows_its_whole_width(kind: str) -> None:
    """A long entry of a list would make all sections as wide as it is, and Slicer cut them off."""
    widget = getattr({"MissingModalitySeg": seg, "MissingModalityTrain": train}[kind], f"{kind}Widget")
    panel = widget(slicer_standin.module_area())
    panel.setup()
    panel.enter()
    panel.parent.show()
    for _ in range(2):  # text that wraps tells its height only after it has been laid out
        slicer.app.processEvents()
        panel.parent.resize(NARROW, 2000)
    slicer.app.processEvents()
    assert panel.parent.geometry.width() <= NARROW
    panel.cleanup()
