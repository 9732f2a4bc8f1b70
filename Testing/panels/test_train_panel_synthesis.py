"""The panel's section Synthesis: a real preview in the scene, and what it does when something is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import slicer
from slicer.util import arrayFromVolume

import slicer_standin
from event_loop import run_events
from small_cases import write_patients
from train_panel import choose, choose_item, line, look, opened_panel

layouts = slicer_standin.load_module("MissingModalityTrainLib.viewlayouts")
previewNodes = slicer_standin.load_module("MissingModalityTrainLib.synthesissection").previewNodes


@pytest.fixture
def panel(tmp_path: Path) -> Iterator[Any]:
    with opened_panel(tmp_path) as panel:
        yield panel


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_patients(tmp_path_factory.mktemp("cases"))


def names() -> list[str]:
    return sorted(node.GetName() for node in previewNodes())


def make_preview(panel: Any) -> None:
    panel.ui.previewButton.click()
    run_events(lambda: panel.ui.previewButton.enabled, 300)


def test_preview_needs_two_cases_that_differ(panel: Any, cases: Path) -> None:
    choose(panel, data=cases)
    assert "Look at the folder first" in panel.ui.previewButton.toolTip
    look(panel, cases)
    assert panel.ui.recipientSelector.currentText == "patient_a"
    assert panel.ui.donorSelector.currentText == "patient_b"
    assert panel.ui.previewButton.enabled
    choose_item(panel.ui.donorSelector, "patient_a")
    assert "two different cases" in panel.ui.previewButton.toolTip


def test_preview_shows_each_step_and_replaces_the_last_one(
    panel: Any, cases: Path, replaced_process: Callable[[str], None]
) -> None:
    look(panel, cases)
    mine = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Mine")
    make_preview(panel)
    first = names()
    assert first == [
        "D_B asymmetry of patient_b",
        "T_B tumor of patient_b",
        "X_A FLAIR of patient_a",
        "X_AB FLAIR with tumor",
        "Y_AB labels",
    ]
    assert "X_AB: the sum" in panel.ui.synthesisStatusLabel.text
    assert slicer.app.layoutManager().layout == layouts.PREVIEW_LAYOUT
    shown = []
    for view in layouts.PREVIEW_VIEWS:
        logic = slicer.app.layoutManager().sliceWidget(view).sliceLogic()
        shown.append(logic.GetBackgroundLayer().GetVolumeNode().GetName().split()[0])
    assert shown == list(layouts.PREVIEW_VIEWS)
    by_name = {node.GetName().split()[0]: node for node in previewNodes()}
    x_a, t_b, x_ab = (arrayFromVolume(by_name[name]) for name in ("X_A", "T_B", "X_AB"))
    assert x_ab == pytest.approx(x_a + t_b, abs=1e-5)
    segmentation = by_name["Y_AB"].GetSegmentation()
    assert segmentation.GetNumberOfSegments() == 3
    assert by_name["Y_AB"].GetDisplayNode().GetNumberOfViewNodeIDs() == 1

    files = Path(panel.synthesis._folder.name) / "preview"
    written = {name: str(files / f"{name}.nrrd") for name in ("x_a", "d_b", "t_b", "x_ab", "y_ab")}
    result = json.dumps({"event": "result", "result": {**written, "center": [1, 1, 1]}})
    choose_item(panel.ui.donorSelector, "patient_c")
    panel.ui.modalitySelector.setCurrentIndex(1)
    replaced_process(f"echo '{result}'")
    make_preview(panel)
    assert len(names()) == 5
    assert "X_A T1ce of patient_a" in names() and "T_B tumor of patient_c" in names()
    assert slicer.mrmlScene.IsNodePresent(mine)

    shown = names()
    for script in (
        "echo 'missing-modality: error: no such thing' >&2; exit 2",
        f"rm '{written['y_ab']}'; echo '{result}'",
    ):
        replaced_process(script)
        make_preview(panel)
        assert names() == shown, "what failed replaces nothing"
    assert "y_ab.nrrd" in panel.ui.synthesisStatusLabel.text


def test_options_reach_the_preview_and_cancel_leaves_the_scene(
    panel: Any, cases: Path, tmp_path: Path, replaced_process: Callable[[str], None]
) -> None:
    look(panel, cases)
    panel.ui.differenceSelector.setCurrentIndex(1)
    panel.ui.placementSelector.setCurrentIndex(1)
    panel.ui.blendSpinBox.setValue(1.5)
    panel.ui.clipCheckBox.setChecked(True)
    panel.ui.seedSpinBox.setValue(4)
    replaced_process(f"echo \"$*\" > '{tmp_path}/said'; echo '{line('tumors', 0, 1)}'; exec sleep 600")
    panel.ui.previewButton.click()
    run_events(lambda: "Cutting out the tumors 0/1" in panel.ui.synthesisStatusLabel.text)
    said = (tmp_path / "said").read_text()
    assert "synthesize --pair patient_a patient_b --modality FLAIR" in said
    assert (
        f"--data {cases} --seed 4 --set difference=signed placement=random clip_to_brain=true feather_mm=1.5"
        in said
    )
    panel.ui.synthesisCancelButton.click()
    assert panel.ui.synthesisStatusLabel.text == "Canceled."
    assert names() == []


def test_closing_the_scene_ends_a_preview_but_no_generation(
    panel: Any, cases: Path, tmp_path: Path, replaced_process: Callable[[str], None]
) -> None:
    look(panel, cases)
    replaced_process("exec sleep 600")
    panel.ui.previewButton.click()
    assert not panel.ui.synthesisCancelButton.isHidden()
    slicer.mrmlScene.Clear(0)
    assert panel.ui.synthesisCancelButton.isHidden()
    choose(panel, data=cases, synthesis=tmp_path / "set")
    panel.ui.generateButton.click()
    slicer.mrmlScene.Clear(0)
    assert not panel.ui.synthesisCancelButton.isHidden()
    panel.ui.synthesisCancelButton.click()
    assert "Whole cases stay in the folder" in panel.ui.synthesisStatusLabel.text


def test_generate_writes_the_set_and_says_so(
    panel: Any, cases: Path, tmp_path: Path, replaced_process: Callable[[str], None]
) -> None:
    choose(panel, data=cases)
    assert "output folder" in panel.ui.generateButton.toolTip
    choose(panel, synthesis=tmp_path / "set")
    panel.ui.factorSpinBox.setValue(2)
    warnings = [{"case": f"patient_{number}", "warning": "Its label lies on air."} for number in range(9)]
    warnings.append({"case": "", "warning": "No case has a label ET."})
    made = {"synthetic": ["a", "b", "c"], "warnings": warnings}
    result = json.dumps({"event": "result", "result": made})
    replaced_process(f"echo \"$*\" > '{tmp_path}/said'; echo '{result}'")
    panel.ui.generateButton.click()
    assert "A synthesis is running." in panel.ui.generateButton.toolTip
    run_events(lambda: panel.ui.generateButton.enabled)
    wrote, *told = panel.ui.synthesisStatusLabel.text.splitlines()
    assert wrote.startswith(f"Synthetic cases in {tmp_path / 'set'}: 3;")
    assert told[0] == "Warning: 2 more in the report." and len(told) == 9
    assert told[-1] == "Warning: No case has a label ET."
    expected = f"synthesize --output {tmp_path / 'set'} --factor 2 --data {cases} --seed 0 --progress json"
    assert expected in (tmp_path / "said").read_text()


@pytest.mark.slow
def test_a_real_set_is_generated_outside_of_the_data_only(panel: Any, cases: Path, tmp_path: Path) -> None:
    choose(panel, data=cases, synthesis=cases / "set")
    panel.ui.factorSpinBox.setValue(2)
    panel.ui.generateButton.click()
    run_events(lambda: panel.ui.generateButton.enabled, 600)
    assert "lies inside the real cases' folder" in panel.ui.synthesisStatusLabel.text
    assert not (cases / "set").exists()
    choose(panel, synthesis=tmp_path / "set")
    panel.ui.generateButton.click()
    run_events(lambda: panel.ui.generateButton.enabled, 600)
    assert panel.ui.synthesisStatusLabel.text.startswith("Synthetic cases in ")
    assert len(list((tmp_path / "set").glob("synthetic_*"))) == 4
