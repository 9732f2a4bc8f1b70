"""Pictures of the segmentation panel, from a real segmentation of a synthetic patient.

No picture shows the time that something took or the name of the processor: both are those of the machine that
draws.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import slicer
from PySide6 import QtCore, QtGui

import scene_view
import slicer_standin
from event_loop import run_events
from MissingModalityLib import mrml
from MissingModalityLib.core.modalities import Modality
from MissingModalityLib.datasets.discovery import find_cases
from MissingModalityLib.imaging.volumes import read_image

LONG_S = 3600


def main(folder: Path, save: Callable[..., None], case: Path | None) -> None:
    """Write the pictures.

    Args:
        folder: for the pictures.
        save: draws a part of a panel.
        case: a real patient with FLAIR and T1ce; without, the picture of one stays as it is.
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
    node = segment(panel)
    save(panel, folder / "seg_result.png", "resultCollapsibleButton")
    scene_view.draw(scene_view.background_of(node), node, folder / "seg_views.png")
    draw_raw_patient(panel, folder, save)
    if case is not None:
        draw_real_patient(panel, folder / "panel_and_views.png", save, case)
    panel.cleanup()


def segment(panel: Any) -> Any:
    """Press Apply and wait for the segmentation."""
    panel.ui.applyButton.click()
    run_events(lambda: not panel.ui.cancelButton.enabled, LONG_S)
    return slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLSegmentationNode")


def draw_real_patient(panel: Any, path: Path, save: Callable[..., None], case: Path) -> None:
    """Panel and views side by side, as on the desktop; sections that need no look are closed."""
    slicer.mrmlScene.Clear(0)
    (found,) = find_cases(case).cases
    for modality in (Modality.FLAIR, Modality.T1CE):
        mrml.add_volume(slicer.mrmlScene, read_image(found.images[modality].path), modality.title)
    panel.ui.detectButton.click()
    for name in ("model", "device", "raw", "output"):
        getattr(panel.ui, f"{name}CollapsibleButton").collapsed = True
    node = segment(panel)
    panel.ui.statusLabel.setText("")  # it tells the time that it took and on what
    save(panel, path, "inputsCollapsibleButton", "resultCollapsibleButton")
    column = QtGui.QImage(str(path))
    scene_view.draw(scene_view.background_of(node), node, path, column.height() // 2)
    views = QtGui.QImage(str(path))
    both = QtGui.QImage(column.width() + views.width(), column.height(), QtGui.QImage.Format.Format_RGB32)
    both.fill(QtCore.Qt.GlobalColor.black)
    painter = QtGui.QPainter(both)
    painter.drawImage(0, 0, column)
    painter.drawImage(column.width(), 0, views)
    painter.end()
    both.save(str(path))


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
