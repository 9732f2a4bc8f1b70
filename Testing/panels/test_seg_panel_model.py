"""The segmentation panel's choice of a model: what it promises, its card, and the device it runs on."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import slicer
from PySide6 import QtGui

from event_loop import run_events
from MissingModalityLib.core.files import file_sha256
from MissingModalityLib.evaluation.attach import store_choices
from MissingModalityLib.inference.student import Student
from MissingModalityLib.runtime import jobs
from seg_panel import Silence, add_volumes, choose_student, devicesection, opened_panel
from small_networks import write_student


@pytest.fixture
def panel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    with opened_panel(monkeypatch, tmp_path) as widget:
        yield widget


def test_model_file_that_is_absent_keeps_apply_off(panel: Any, tmp_path: Path) -> None:
    (node,) = add_volumes("T2")
    panel.ui.t2Selector.setCurrentNode(node)
    choose_student(panel, tmp_path / "nowhere.safetensors")
    assert "nowhere.safetensors: there is no such model file" in panel.ui.applyButton.toolTip
    assert panel.ui.expectationLabel.text == panel.ui.applyButton.toolTip


def test_file_that_is_no_student_is_told_before_anything_starts(panel: Any, tmp_path: Path) -> None:
    fake = tmp_path / "fake.safetensors"
    fake.write_text("not a student")
    (node,) = add_volumes("T2")
    choose_student(panel, fake)
    panel.ui.t2Selector.setCurrentNode(node)
    assert not panel.ui.applyButton.enabled
    assert "fake.safetensors: cannot be read as a model file" in panel.ui.expectationLabel.text


@pytest.fixture
def evaluated(tmp_path: Path) -> Path:
    """A student whose card tells scores of two subsets."""
    scores = {"T2": (0.8, 0.6, 0.31), "T1ce+T2": (0.75, 0.7, 0.7)}
    named = {name: dict(zip(("WT", "TC", "ET"), dice, strict=True)) for name, dice in scores.items()}
    subsets = [
        {"subset": name, "cases": 7, "dice": dice, "dice_std": dict.fromkeys(dice, 0.12)}
        for name, dice in named.items()
    ]
    gain = {"subset": "T2", "added": "T1ce", "cases": 1, "before": named["T2"], "after": named["T1ce+T2"]}
    path = write_student(tmp_path / "evaluated.safetensors")
    known = Student.load(path)
    known.card["evaluation"] = {"subsets": subsets, "gains": [gain]}
    known.card["license"] = "MIT"
    known.save(path)
    return path


def expected(panel: Any) -> list[str]:
    """Lines of the expectation, as they read without colors."""
    return QtGui.QTextDocumentFragment.fromHtml(panel.ui.expectationLabel.text).toPlainText().splitlines()


def test_the_panel_says_what_to_expect_and_what_a_further_sequence_would_change(
    panel: Any, evaluated: Path
) -> None:
    (node,) = add_volumes("T2")
    choose_student(panel, evaluated)
    assert not panel.ui.expectationLabel.text
    panel.ui.t2Selector.setCurrentNode(node)
    assert expected(panel) == [
        "T2 (1 of 4 sequences): what to expect, by mean Dice \u00b1 spread over 7 patients",
        "✓ Whole tumor: reliable (0.80 \u00b1 0.12)",
        "⚠ Tumor core: check (0.60 \u00b1 0.12)",
        "✗ Enhancing tumor: doubtful (0.31 \u00b1 0.12)",
        "Adding T1ce, in the same 1 patient: better: tumor core 0.60 → 0.70, enhancing tumor 0.31 → 0.70; "
        "worse: whole tumor 0.80 → 0.75.",
    ]


def test_the_panel_says_what_a_chosen_sequence_costs(panel: Any, evaluated: Path) -> None:
    choose_student(panel, evaluated)
    t1ce, t2 = add_volumes("T1CE", "T2")
    panel.ui.t1ceSelector.setCurrentNode(t1ce)
    panel.ui.t2Selector.setCurrentNode(t2)
    assert expected(panel)[-1] == (
        "Without T1ce, in the same 1 patient: better: whole tumor 0.75 → 0.80; worse: tumor core "
        "0.70 → 0.60, enhancing tumor 0.70 → 0.31."
    )


def test_nothing_is_promised_of_sequences_that_were_never_evaluated(panel: Any, evaluated: Path) -> None:
    (node,) = add_volumes("T1")
    choose_student(panel, evaluated)
    panel.ui.t1Selector.setCurrentNode(node)
    assert "never evaluated" in panel.ui.expectationLabel.text


def test_the_models_card_says_what_was_chosen_for_it(panel: Any, tmp_path: Path) -> None:
    student = write_student(tmp_path / "chosen.safetensors", head="regions")
    thresholds = {"WT": 0.4, "TC": 0.5, "ET": 0.35}
    store_choices(student, {"thresholds": thresholds, "mirror": [2], "min_component_voxels": 100})
    choose_student(panel, student)
    panel.ui.cardButton.click()
    assert (
        "chosen beside its weights: thresholds WT 0.4 TC 0.5 ET 0.35, min_component_voxels 100, mirror 2"
        in panel.ui.cardBrowser.plainText
    )


def test_the_models_card_is_shown_on_demand(panel: Any, evaluated: Path) -> None:
    choose_student(panel, evaluated)
    assert panel.ui.cardBrowser.isHidden()
    panel.ui.cardButton.click()
    assert not panel.ui.cardBrowser.isHidden()
    assert "license: MIT" in panel.ui.cardBrowser.plainText
    evaluated.with_suffix(".md").write_text(f"# All about {file_sha256(evaluated)}")
    panel.ui.cardButton.click()
    panel.ui.cardButton.click()
    assert panel.ui.cardBrowser.plainText.strip() == f"All about {file_sha256(evaluated)}"


@pytest.mark.parametrize(
    "content", [b"# Of another", b"\xff", b"# {own}" + b" " * (1 << 21)], ids=["other", "bytes", "long"]
)
def test_a_text_beside_a_model_that_is_no_card_of_it_is_not_shown(
    panel: Any, evaluated: Path, content: bytes
) -> None:
    content = content.replace(b"{own}", file_sha256(evaluated).encode())
    evaluated.with_suffix(".md").write_bytes(content)
    choose_student(panel, evaluated)
    panel.ui.cardButton.click()
    shown = panel.ui.cardBrowser.plainText
    assert "license: MIT" in shown and "evaluated.md beside this model is not shown" in shown


def test_the_card_of_the_bundled_model_is_of_its_very_file(panel: Any) -> None:
    panel.ui.cardButton.click()
    assert panel.ui.cardBrowser.plainText.startswith("Model card: glioma-any-subset")


def test_a_student_trained_here_appears_when_the_panel_is_entered(panel: Any, tmp_path: Path) -> None:
    selector = panel.ui.studentSelector
    count = selector.count
    (tmp_path / "models").mkdir()
    mine = write_student(tmp_path / "models" / "mine.safetensors")
    panel.enter()
    assert selector.count == count + 1
    assert selector.itemText(count - 1) == "mine (trained here)"
    selector.setCurrentIndex(count - 1)
    assert panel.logic.getParameterNode().studentPath == str(mine)
    panel.enter()
    assert selector.itemText(selector.currentIndex) == "mine (trained here)"
    mine.unlink()
    panel.enter()
    assert "mine.safetensors: there is no such model file" in panel.ui.applyButton.toolTip


def test_the_device_is_found_with_an_estimate_of_the_time(
    panel: Any, student: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    choose_student(panel, student)
    panel.ui.deviceSelector.setCurrentIndex(1)
    assert Silence.asked[-1] == ["devices", "--device", "cpu", "--student", str(student)]
    panel.ui.deviceSelector.setCurrentIndex(0)
    assert Silence.asked[-1][2] == "auto"
    monkeypatch.setattr(devicesection, "Job", jobs.Job)
    panel.ui.deviceSelector.setCurrentIndex(1)
    assert panel.ui.deviceFoundLabel.text == "Looking at the processor and the graphics card..."
    run_events(lambda: not panel.ui.deviceFoundLabel.text.startswith("Looking"), 180)
    assert re.fullmatch(r"CPU: .* cores.*; about \d+ s per patient", panel.ui.deviceFoundLabel.text)


def test_a_saved_scene_brings_the_choices_back(panel: Any, evaluated: Path, tmp_path: Path) -> None:
    (node,) = add_volumes("T2")
    choose_student(panel, evaluated)
    panel.ui.t2Selector.setCurrentNode(node)
    panel.ui.regionsCheckBox.setChecked(True)
    panel.ui.folderOutputPathEdit.setCurrentPath(str(tmp_path / "out"))
    storage = slicer.vtkMRMLNRRDStorageNode()
    storage.SetFileName(str(tmp_path / "t2.nrrd"))
    slicer.mrmlScene.AddNode(storage)
    node.SetAndObserveStorageNodeID(storage.GetID())
    assert storage.WriteData(node)
    slicer.mrmlScene.SetURL(str(tmp_path / "scene.mrml"))
    slicer.mrmlScene.SetRootDirectory(str(tmp_path))
    assert slicer.mrmlScene.Commit()
    slicer.mrmlScene.Clear(0)
    assert panel.ui.t2Selector.currentNode() is None and not panel.ui.regionsCheckBox.checked
    assert not panel.ui.folderOutputPathEdit.currentPath
    slicer.mrmlScene.SetURL(str(tmp_path / "scene.mrml"))
    assert slicer.mrmlScene.Import()
    assert panel.ui.t2Selector.currentNode().GetName() == "T2"
    assert panel.ui.regionsCheckBox.checked
    assert panel.ui.folderOutputPathEdit.currentPath == str(tmp_path / "out")
    assert panel.ui.studentPathEdit.currentPath == str(evaluated)
    assert "T2" in panel.ui.expectationLabel.text
    assert panel.ui.applyButton.enabled


def test_the_default_model_is_remembered_as_such_wherever_it_lies(panel: Any, student: Path) -> None:
    choose_student(panel, student)
    panel.ui.studentSelector.setCurrentIndex(0)
    assert panel.logic.getParameterNode().studentPath == ""
