"""Raw volumes in the segmentation panel: which steps they go through, and what these leave in the scene."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import slicer
import vtk
from PySide6 import QtGui

import slicer_standin
from event_loop import run_events, scene_state
from MissingModalityLib import mrml
from MissingModalityLib.core.progress import Event, ProgressStage
from mrml_nodes import add_transform, rotation
from seg_panel import Silence, add_volumes, choose_student, finish, made, opened_panel
from small_patient import brain_volume

seg_logic = slicer_standin.load_module("MissingModalitySegLib.logic")
rawsection = slicer_standin.load_module("MissingModalitySegLib.rawsection")
runsection = slicer_standin.load_module("MissingModalitySegLib.runsection")
stepslist = slicer_standin.load_module("MissingModalitySegLib.stepslist")

MOVEMENT = sitk.Euler3DTransform((1.0, 2.0, 3.0), 0.1, 0.0, 0.2, (5.0, -6.0, 7.0))


@pytest.fixture
def panel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    with opened_panel(monkeypatch, tmp_path) as widget:
        yield widget


def plain(label: Any) -> list[str]:
    """The lines that a label shows."""
    return QtGui.QTextDocumentFragment.fromHtml(label.text).toPlainText().splitlines()


def choose_flair_and_t1ce(panel: Any) -> tuple[Any, Any]:
    flair, t1ce = add_volumes("Axial FLAIR", "MPRAGE Gd")
    panel.ui.flairSelector.setCurrentNode(flair)
    panel.ui.t1ceSelector.setCurrentNode(t1ce)
    return flair, t1ce


def add_mask(inside: sitk.Image, volume: Any) -> Any:
    return mrml.add_brain_mask(
        slicer.mrmlScene, sitk.Cast(inside, sitk.sitkUInt8), f"{volume.GetName()} mask"
    )


def test_all_steps_are_on_and_no_mask_is_chosen_where_the_scene_knows_none_of_it(panel: Any) -> None:
    assert panel.ui.rawCollapsibleButton.collapsed
    assert panel.state.rawSteps() == rawsection.RawSteps()
    for name in ("registerVolumes", "stripSkull", "checkContent", "evenOut"):
        assert getattr(panel.ui, f"{name}CheckBox").checked
    assert not panel.ui.keepStepsCheckBox.checked
    assert panel.ui.brainMaskSelector.currentNode() is None


def test_nothing_is_asked_of_the_command_line_beyond_its_own_defaults() -> None:
    assert rawsection.RawSteps().arguments("brain", "steps") == []


def test_choices_reach_the_command_line(panel: Any) -> None:
    (flair,) = add_volumes("FLAIR")
    mask = add_mask(mrml.image_of(flair) > 0, flair)
    for name in ("registerVolumes", "stripSkull", "checkContent", "evenOut"):
        getattr(panel.ui, f"{name}CheckBox").setChecked(False)
    panel.ui.keepStepsCheckBox.setChecked(True)
    panel.ui.brainMaskSelector.setCurrentNode(mask)
    assert panel.state.rawSteps().arguments("brain.nrrd", "folder") == [
        *("--registration", "never", "--stripping", "never", "--no-content-check"),
        *("--bias-field", "never", "--brain-mask", "brain.nrrd", "--steps-output", "folder"),
    ]


def test_a_folder_is_segmented_by_the_same_choices_but_for_what_is_of_one_patient(
    panel: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (flair,) = add_volumes("FLAIR")
    panel.ui.brainMaskSelector.setCurrentNode(add_mask(mrml.image_of(flair) > 0, flair))
    panel.ui.keepStepsCheckBox.setChecked(True)
    panel.ui.registerVolumesCheckBox.setChecked(False)
    panel.ui.evenOutCheckBox.setChecked(False)
    monkeypatch.setattr(seg_logic, "Job", Silence)
    panel.ui.folderDataPathEdit.setCurrentPath(str(tmp_path))
    panel.ui.folderOutputPathEdit.setCurrentPath(str(tmp_path / "out"))
    panel.ui.folderButton.click()
    expected = ["--registration", "never", "--bias-field", "never"]
    asked = [arguments for arguments in Silence.asked if arguments[0] == "segment-folder"]
    assert asked[-1][-4:] == expected


@pytest.mark.parametrize("kind", ["vtkMRMLSegmentationNode", "vtkMRMLLabelMapVolumeNode"])
def test_a_saved_scene_brings_the_choices_back(panel: Any, tmp_path: Path, kind: str) -> None:
    slicer.mrmlScene.AddNewNodeByClass(kind, "My brain")
    panel.ui.brainMaskSelector.setCurrentNode(slicer.util.getNode("My brain"))
    panel.ui.registerVolumesCheckBox.setChecked(False)
    slicer.mrmlScene.SetURL(str(tmp_path / "scene.mrml"))
    slicer.mrmlScene.SetRootDirectory(str(tmp_path))
    assert slicer.mrmlScene.Commit()
    slicer.mrmlScene.Clear(0)
    assert panel.ui.brainMaskSelector.currentNode() is None and panel.ui.registerVolumesCheckBox.checked
    slicer.mrmlScene.SetURL(str(tmp_path / "scene.mrml"))
    assert slicer.mrmlScene.Import()
    assert panel.ui.brainMaskSelector.currentNode().GetName() == "My brain"
    assert not panel.ui.registerVolumesCheckBox.checked
    assert panel.ui.stripSkullCheckBox.checked and not panel.ui.stripSkullCheckBox.enabled


def test_the_list_tells_what_is_done_runs_and_is_still_to_come() -> None:
    steps = stepslist.StepsList({})
    assert {line[0] for line in steps.text().split("<br>")} == {"○"}
    for stage in (ProgressStage.READ, ProgressStage.REGISTER, ProgressStage.CHECK):
        steps.follow(Event(stage, 0, 1))
    assert steps.text().split("<br>") == [
        "✓ Read the volumes",
        "✓ Register: move them onto the first one",
        "– Strip: find the brain in the head (not needed)",  # noqa: RUF001 a dash is meant
        "▶ <b>Check which sequence each one is</b>",
        "○ Even out: take the coil's uneven brightness away",
        "○ Segment the tumor",
    ]
    steps.follow(Event(ProgressStage.PREPARE, 0, 1))
    assert steps.text().endswith("▶ <b>Segment the tumor</b>")


def test_the_list_tells_from_the_start_what_the_user_leaves_out() -> None:
    steps = stepslist.StepsList(
        rawsection.RawSteps(register=False, evenOut=False, brainMask="node").leftOut()
    )
    left_out = [line for line in steps.text().split("<br>") if line.endswith(")")]
    assert [line.rpartition(" (")[2] for line in left_out] == ["left out)", "own mask)", "left out)"]


# What a child process does that has moved T1ce and found the brain; its arguments are looked through for the
# folder and the result. Processes that read files are the real ones.
CHILD = """
case "$*" in *" segment "*) ;; *) exec "{python}" "$@" ;; esac
while [ $# -gt 0 ]; do
    case "$1" in
        --output) cp "{folder}/classes.nrrd" "$2" ;;
        --steps-output) cp -r "{folder}/steps" "$2" ;;
        --t1ce) t1ce="$2" ;;
    esac
    shift
done
echo '{{"event": "progress", "stage": "strip", "step": 0, "total": 1, "message": "", "values": {{}}}}'
{then}
cat <<END
{{"event": "result", "result": {report}}}
END
"""

REPORT = """{"warnings": ["$t1ce lay 9 mm off & was moved."], "seconds": {"total": 1},
"modalities": "FLAIR+T1ce",
"device": {"description": "CPU"}, "volumes_cm3": {"NCR": 0, "ED": 0, "ET": 0, "TC": 0, "WT": 0},
"axial_diameters_mm": {"NCR": 0, "ED": 0, "ET": 0, "TC": 0, "WT": 0},
"expectation": {"dice": {"WT": 0.8, "TC": 0.6, "ET": 0.3}, "cases": 16}}""".replace("\n", " ")


@pytest.fixture
def child(tmp_path: Path, replaced_process: Callable[[str], None]) -> Callable[..., None]:
    """Lets jobs run ``CHILD`` for a reference volume; ``then`` is done before the result is told."""

    def replace(reference: Any, then: str = "") -> None:
        image = mrml.image_of(reference)
        brain = sitk.Cast(image > 0, sitk.sitkUInt8)
        (tmp_path / "steps").mkdir()
        sitk.WriteImage(brain * 0, str(tmp_path / "classes.nrrd"))
        sitk.WriteImage(brain, str(tmp_path / "steps" / "brain.nrrd"))
        sitk.WriteTransform(MOVEMENT, str(tmp_path / "steps" / "T1CE.tfm"))
        replaced_process(CHILD.format(python=sys.executable, folder=tmp_path, then=then, report=REPORT))

    return replace


def test_what_the_steps_have_made_comes_into_the_scene_on_request(panel: Any, child: Any) -> None:
    flair, t1ce = choose_flair_and_t1ce(panel)
    child(flair)
    panel.ui.keepStepsCheckBox.setChecked(True)
    panel.ui.applyButton.click()
    finish(panel)
    transform, brain = (
        slicer.util.getNode("MPRAGE Gd onto Axial FLAIR"),
        slicer.util.getNode("Axial FLAIR brain"),
    )
    assert flair.GetTransformNodeID() is None and t1ce.GetTransformNodeID() is None
    point = mrml.image_of(t1ce).GetOrigin()
    t1ce.SetAndObserveTransformNodeID(transform.GetID())
    np.testing.assert_allclose(MOVEMENT.TransformPoint(mrml.image_of(t1ce).GetOrigin()), point, atol=1e-6)
    expected = sitk.GetArrayFromImage(mrml.image_of(flair)) > 0
    np.testing.assert_array_equal(sitk.GetArrayFromImage(mrml.brain_mask_of(brain)), expected)


def test_a_transform_of_the_steps_takes_the_place_of_the_one_that_a_volume_lay_under(
    panel: Any, child: Any
) -> None:
    """As somebody has put it there who has moved the volume by hand before."""
    flair, t1ce = choose_flair_and_t1ce(panel)
    turn = rotation(35, 1)
    turn[:3, 3] = 8, -3, 4
    t1ce.SetAndObserveTransformNodeID(add_transform(turn).GetID())
    point = mrml.image_of(t1ce).GetOrigin()
    child(flair)
    panel.ui.keepStepsCheckBox.setChecked(True)
    panel.ui.applyButton.click()
    t1ce.GetParentTransformNode().SetMatrixTransformToParent(vtk.vtkMatrix4x4())  # while it runs
    finish(panel)
    t1ce.SetAndObserveTransformNodeID(slicer.util.getNode("MPRAGE Gd onto Axial FLAIR").GetID())
    np.testing.assert_allclose(MOVEMENT.TransformPoint(mrml.image_of(t1ce).GetOrigin()), point, atol=1e-6)


def test_without_request_only_the_segmentation_comes(panel: Any, child: Any) -> None:
    flair, _t1ce = choose_flair_and_t1ce(panel)
    child(flair)
    panel.ui.applyButton.click()
    finish(panel)
    assert panel.ui.statusLabel.text.startswith("Done in ")
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 1
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLLinearTransformNode") == 0


@pytest.mark.parametrize(
    "then",
    ["exit 3", 'echo "missing-modality: error: $t1ce shows another patient." >&2; exit 2', "kill -9 $$"],
    ids=["crash", "bad input", "killed"],
)
def test_a_run_that_fails_after_its_steps_leaves_the_scene(panel: Any, child: Any, then: str) -> None:
    flair, _t1ce = choose_flair_and_t1ce(panel)
    child(flair, then)
    panel.ui.keepStepsCheckBox.setChecked(True)
    before = scene_state()
    panel.ui.applyButton.click()
    finish(panel)
    assert not panel.ui.statusLabel.text.startswith("Done")
    assert scene_state() == before
    assert panel.ui.stepsLabel.isHidden() and panel.ui.applyButton.enabled


def test_steps_that_cannot_be_read_leave_the_scene(panel: Any, child: Any, tmp_path: Path) -> None:
    flair, _t1ce = choose_flair_and_t1ce(panel)
    child(flair)
    (tmp_path / "steps" / "brain.nrrd").write_text("no image")
    panel.ui.keepStepsCheckBox.setChecked(True)
    before = scene_state()
    panel.ui.applyButton.click()
    finish(panel)
    assert "brain.nrrd" in panel.ui.statusLabel.text
    assert scene_state() == before


def test_a_canceled_run_leaves_the_scene(panel: Any, child: Any) -> None:
    flair, _t1ce = choose_flair_and_t1ce(panel)
    child(flair, "sleep 60")
    panel.ui.keepStepsCheckBox.setChecked(True)
    before = scene_state()
    panel.ui.applyButton.click()
    assert plain(panel.ui.stepsLabel)[0] == "○ Read the volumes"
    run_events(lambda: "▶ Strip" in "\n".join(plain(panel.ui.stepsLabel)))
    panel.ui.cancelButton.click()
    assert scene_state() == before
    assert panel.ui.stepsLabel.isHidden()


def test_the_result_says_what_it_is_worth_and_what_was_done_to_the_volumes(panel: Any, child: Any) -> None:
    flair, _t1ce = choose_flair_and_t1ce(panel)
    child(flair)
    panel.ui.applyButton.click()
    finish(panel)
    assert plain(panel.ui.estimateLabel) == [
        "What this result is worth: mean Dice of 16 patients with FLAIR+T1ce",
        "✓ Whole tumor: reliable (mean 0.80)",
        "⚠ Tumor core: check (mean 0.60)",
        "✗ Enhancing tumor: doubtful (mean 0.30)",
    ]
    assert plain(panel.ui.notesLabel) == ["⚠ 'MPRAGE Gd' lay 9 mm off & was moved."]


def test_an_own_mask_is_the_brain_that_is_segmented(panel: Any, student: Path) -> None:
    # of a size that a brain may have, though the child process knows of no phantoms
    flair = mrml.add_volume(slicer.mrmlScene, brain_volume(0, spacing=(4.5, 4.5, 4.5)), "FLAIR")
    panel.ui.flairSelector.setCurrentNode(flair)
    choose_student(panel, student)
    image = mrml.image_of(flair)
    own = sitk.GetArrayFromImage(image) > 0
    border = own.shape[2] // 3
    assert own[:, :, : border - 1].any()
    own[:, :, :border] = False
    inside = sitk.GetImageFromArray(own.astype(np.uint8))
    inside.CopyInformation(image)
    panel.ui.brainMaskSelector.setCurrentNode(add_mask(inside, flair))
    panel.ui.applyButton.click()
    finish(panel)
    assert panel.ui.statusLabel.text.startswith("Done in "), panel.ui.statusLabel.text
    tumor = mrml.classes_of(made(), flair) > 0
    assert tumor[:, :, border:].any() and not tumor[:, :, : border - 1].any()


def test_a_mask_that_is_none_is_told_and_changes_nothing(panel: Any) -> None:
    choose_flair_and_t1ce(panel)
    empty = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Sketch")
    panel.ui.brainMaskSelector.setCurrentNode(empty)
    before = scene_state()
    panel.ui.applyButton.click()
    assert panel.ui.statusLabel.text.startswith("'Sketch' holds no brain")
    assert scene_state() == before


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Who has asked for the networks that find brains, which are not installed; the user declines."""
    found: list[str] = []

    def decline(requester: str) -> None:
        found.append(requester)
        raise RuntimeError("needed, and not installed")

    monkeypatch.setattr(runsection, "isStrippingInstalled", lambda: False)
    monkeypatch.setattr(runsection, "ensureStripping", decline)
    monkeypatch.setattr("MissingModalityLib.clinical.installed_tools.shutil.which", lambda command: None)
    return found


def add_head(panel: Any) -> Any:
    """A volume without background, as noise around a head leaves it."""
    image = brain_volume(0)
    noisy = sitk.AdditiveGaussianNoise(sitk.Cast(image, sitk.sitkFloat32), 5.0, 50.0, 1)
    node = mrml.add_volume(slicer.mrmlScene, noisy, "Head")
    panel.ui.flairSelector.setCurrentNode(node)
    return node


def test_networks_are_asked_for_where_a_skull_is_to_be_stripped(panel: Any, asked: list[str]) -> None:
    add_head(panel)
    before = scene_state()
    panel.ui.applyButton.click()
    assert asked == ["Brain tumor segmentation"]
    assert panel.ui.statusLabel.text == "needed, and not installed"
    assert scene_state() == before and panel.ui.applyButton.enabled


def _stripped(panel: Any) -> None:
    panel.ui.flairSelector.setCurrentNode(add_volumes("FLAIR")[0])


def _left_out(panel: Any) -> None:
    panel.ui.stripSkullCheckBox.setChecked(False)


def _own_mask(panel: Any) -> None:
    head = panel.ui.flairSelector.currentNode()
    panel.ui.brainMaskSelector.setCurrentNode(add_mask(mrml.image_of(head) > 60, head))


@pytest.mark.parametrize("choose", [_stripped, _left_out, _own_mask])
def test_networks_are_not_asked_for_without_need(
    panel: Any, asked: list[str], replaced_process: Callable[[str], None], choose: Callable[[Any], None]
) -> None:
    replaced_process("exit 3")
    add_head(panel)
    choose(panel)
    panel.ui.applyButton.click()
    finish(panel)
    assert not asked


def test_another_program_that_strips_is_enough(
    panel: Any, asked: list[str], replaced_process: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    replaced_process("exit 3")
    which = "MissingModalityLib.clinical.installed_tools.shutil.which"
    monkeypatch.setattr(which, lambda command: f"/opt/{command}")
    add_head(panel)
    panel.ui.applyButton.click()
    finish(panel)
    assert not asked
