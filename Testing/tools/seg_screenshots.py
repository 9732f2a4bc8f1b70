"""Pictures of the segmentation panel in each main state, from a real segmentation of a synthetic patient."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import slicer

import scene_view
import slicer_standin
from event_loop import run_events

LONG_S = 3600


def main(folder: Path, save: Callable[[Any, Path], None]) -> None:
    """Write the pictures.

    Args:
        folder: for the pictures.
        save: draws a panel.
    """
    module = slicer_standin.load_module("MissingModalitySeg")
    slicer_standin.new_scene()
    panel = module.MissingModalitySegWidget(slicer_standin.module_area())
    panel.setup()
    panel.enter()
    run_events(lambda: " per patient" in panel.ui.deviceFoundLabel.text, LONG_S)
    save(panel, folder / "seg_empty.png")
    load(module, "T2")
    panel.ui.detectButton.click()
    save(panel, folder / "seg_one_sequence.png")
    slicer.mrmlScene.Clear(0)
    load(module, "FLAIR", "T1CE")
    panel.ui.detectButton.click()
    panel.ui.applyButton.click()
    run_events(lambda: panel.ui.statusLabel.text == "Segmenting...", LONG_S)
    save(panel, folder / "seg_running.png")
    run_events(lambda: not panel.ui.cancelButton.enabled, LONG_S)
    save(panel, folder / "seg_result.png")
    node = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLSegmentationNode")
    scene_view.draw(scene_view.background_of(node), node, folder / "seg_views.png")
    panel.ui.cardButton.click()
    save(panel, folder / "seg_card.png")
    panel.ui.cardButton.click()
    draw_raw_patient(panel, folder, save)
    panel.cleanup()


def draw_raw_patient(panel: Any, folder: Path, save: Callable[[Any, Path], None]) -> None:
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
    save(panel, folder / "seg_raw_running.png")
    panel.ui.rawCollapsibleButton.collapsed = True
    run_events(lambda: not panel.ui.cancelButton.enabled, LONG_S)
    save(panel, folder / "seg_raw_result.png")
    made = slicer.mrmlScene.GetNodesByClass("vtkMRMLSegmentationNode")
    tumor = made.GetItemAsObject(0)
    scene_view.draw(scene_view.background_of(tumor), tumor, folder / "seg_raw_views.png")


def load(module: Any, *names: str) -> None:
    """A synthetic patient of whom only these sequences were acquired."""
    for modality, node in module.addSyntheticPatient(seed=1).items():
        if modality.name not in names:
            slicer.mrmlScene.RemoveNode(node)
