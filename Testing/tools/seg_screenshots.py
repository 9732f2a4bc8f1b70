"""Pictures of the segmentation panel, from a real segmentation of a synthetic patient.

No picture shows the time that something took or the name of the processor: both are those of the machine that
draws.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import slicer

import scene_view
import slicer_standin
from event_loop import run_events

LONG_S = 3600


def main(folder: Path, save: Callable[..., None]) -> None:
    """Write the pictures.

    Args:
        folder: for the pictures.
        save: draws a part of a panel.
    """
    module = slicer_standin.load_module("MissingModalitySeg")
    slicer_standin.new_scene()
    panel = module.MissingModalitySegWidget(slicer_standin.module_area())
    panel.setup()
    panel.enter()
    load(module, "T2")
    panel.ui.detectButton.click()
    save(panel, folder / "seg_one_sequence.png", "inputsCollapsibleButton", "expectationLabel")
    slicer.mrmlScene.Clear(0)
    load(module, "FLAIR", "T1CE")
    panel.ui.detectButton.click()
    save(panel, folder / "seg_detected.png", "inputsCollapsibleButton", "expectationLabel")
    panel.ui.applyButton.click()
    run_events(lambda: not panel.ui.cancelButton.enabled, LONG_S)
    save(panel, folder / "seg_result.png", "resultCollapsibleButton")
    node = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLSegmentationNode")
    scene_view.draw(scene_view.background_of(node), node, folder / "seg_views.png")
    draw_raw_patient(panel, folder, save)
    panel.cleanup()


def draw_raw_patient(panel: Any, folder: Path, save: Callable[..., None]) -> None:
    """Raw volumes: the steps while they run, and what comes of them."""
    slicer.mrmlScene.Clear(0)
    samples = slicer_standin.load_module("MissingModalitySegLib.sampledata")
    for modality, node in samples.addRawPatient(seed=1).items():
        if modality.name not in ("FLAIR", "T1CE"):
            slicer.mrmlScene.RemoveNode(node)
    panel.ui.detectButton.click()
    panel.ui.rawCollapsibleButton.collapsed = False
    panel.ui.keepStepsCheckBox.setChecked(True)
    panel.ui.applyButton.click()
    run_events(lambda: panel.ui.statusLabel.text == "Finding the brain...", LONG_S)
    save(panel, folder / "seg_raw_running.png", "rawCollapsibleButton", "statusLabel")
    run_events(lambda: not panel.ui.cancelButton.enabled, LONG_S)
    save(panel, folder / "seg_raw_result.png", "resultCollapsibleButton")
    made = slicer.mrmlScene.GetNodesByClass("vtkMRMLSegmentationNode")
    tumor = made.GetItemAsObject(0)
    scene_view.draw(scene_view.background_of(tumor), tumor, folder / "seg_raw_views.png")


def load(module: Any, *names: str) -> None:
    """A synthetic patient of whom only these sequences were acquired."""
    for modality, node in module.addSyntheticPatient(seed=1).items():
        if modality.name not in names:
            slicer.mrmlScene.RemoveNode(node)
