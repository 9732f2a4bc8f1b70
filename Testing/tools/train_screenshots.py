"""Pictures of the training panel on small phantoms.

What a training brings cannot be shown of one that takes minutes: the plots are of a log of the bundled
network's training on real patients, and the heat map is of the bundled network. The plots are drawn by VTK
from the table nodes that the panel makes, in the colors of their series; on the desktop plot views show them.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import SimpleITK as sitk
import slicer
import vtk

import slicer_standin
from checkout import FIXTURES
from event_loop import run_events
from MissingModalityLib.core.labels import from_classes
from MissingModalityLib.datasets.discovery import find_cases
from MissingModalityLib.imaging.cache import cache_case
from MissingModalityLib.inference.locations import bundled_student
from MissingModalityLib.phantom.patient import grow_patient
from MissingModalityLib.synthesis.contact_sheet import draw_contact_sheet
from MissingModalityLib.synthesis.pairing import synthetic_cases
from MissingModalityLib.training.log import LogLine
from train_panel import choose, choose_item, look, new_panel

SHAPE, SPACING = (78, 96, 96), (2.0, 2.0, 2.0)
CASES = 5
LONG_S = 3600
TEST_PATIENT = 10
SHORT = {"patch_size": 64, "iterations_per_epoch": 2, "validation_interval": 100, "num_workers": 0}
EPOCHS = (4, 8)
"""Of the stages pretrain and train, of which few are waited for."""

PLOT_SIZE = (480, 280)


def write_phantoms(folder: Path, seeds: range) -> Path:
    """Phantom patients as cases on disk, one without T2 and one without a label, and a file too many."""
    for seed in seeds:
        name = f"Phantom_{seed:02d}"
        (folder / name).mkdir(parents=True)
        images, classes = grow_patient(seed, SHAPE, SPACING)
        for modality, image in images.items():
            if (seed, modality.name) != (2, "T2"):
                sitk.WriteImage(image, str(folder / name / f"{name}_{modality.name.lower()}.nii.gz"))
        label = sitk.GetImageFromArray(from_classes(sitk.GetArrayFromImage(classes), "brats2021"))
        label.CopyInformation(classes)
        if seed != 4:
            sitk.WriteImage(label, str(folder / name / f"{name}_seg.nii.gz"))
    (folder / "protocol.pdf").touch()
    return folder


def main(folder: Path, work: Path, save: Callable[..., None]) -> None:
    """Write the pictures.

    Args:
        folder: for the pictures.
        work: for cases, run and models; empty.
        save: draws a part of a panel.
    """
    os.environ["MISSINGMODALITY_MODELS"] = str(work / "models")
    panel = new_panel()
    look(panel, write_phantoms(work / "cases", range(CASES)))
    panel.ui.validationSpinBox.setValue(25)
    save(panel, folder / "train_data.png", "dataCollapsibleButton")
    draw_sheet(work, folder / "synthesis.png")
    panel.logic.startTraining = partial(_start_short, panel.logic.startTraining)
    choose_item(panel.ui.recipeSelector, "aem")
    for row, epochs in enumerate(EPOCHS):
        panel.ui.stagesTable.cellWidget(row, 1).setValue(epochs)
    test = write_phantoms(work / "test", range(TEST_PATIENT, TEST_PATIENT + 1))
    choose(panel, run=work / "my first run", evaluation=test)
    panel.ui.deviceSelector.setCurrentIndex(1)
    panel.ui.startButton.click()
    run_events(lambda: _epochs() > EPOCHS[0], LONG_S)
    # while it runs, the status tells how long it will take on the machine that draws
    panel.ui.pauseButton.click()
    run_events(lambda: panel.ui.trainingStatusLabel.text.startswith("Paused."), LONG_S)
    save(panel, folder / "train_paused.png", "recipeSelector", "trainingStatusLabel")
    panel.ui.stopButton.click()
    student = work / "models" / bundled_student().name  # a copy: its card gets the scores
    student.parent.mkdir()
    shutil.copy(bundled_student(), student)
    choose(panel, student=student)
    panel.ui.evaluateButton.click()
    run_events(lambda: panel.ui.evaluateButton.enabled, LONG_S)
    save(panel, folder / "train_evaluated.png", "evaluationCollapsibleButton")
    panel.cleanup()
    draw_log(folder / "train_plots.png")


def draw_log(path: Path) -> None:
    """The plots of a whole training."""
    slicer_standin.new_scene()
    lines = (FIXTURES / "training_log.jsonl").read_text(encoding="utf-8").splitlines()
    plots = slicer_standin.load_module("MissingModalityTrainLib.plots")
    plots.RunPlots().fill(list(map(LogLine.from_json, lines)))
    draw_plots(path)


def draw_sheet(work: Path, path: Path) -> None:
    """The contact sheet of one synthetic case of the phantoms."""
    found = find_cases(work / "cases").labeled()[0][:2]
    prepared = [cache_case(case, work / "prepared") for case in found]
    draw_contact_sheet(path, synthetic_cases(prepared, 2, 0)[:1])
    print(path, flush=True)


def _start_short(start: Callable[..., Any], data: Any, output: Any, **choices: Any) -> Any:
    """A training with crops so small that an epoch takes seconds."""
    return start(data, output, **{**choices, "settings": {**choices.get("settings", {}), **SHORT}})


def draw_plots(path: Path) -> None:
    """All plot charts of the scene, side by side."""
    count = slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLPlotChartNode")
    window = vtk.vtkRenderWindow()
    window.SetOffScreenRendering(1)
    window.SetSize(PLOT_SIZE[0] * count, PLOT_SIZE[1])
    for index in range(count):
        node = slicer.mrmlScene.GetNthNodeByClass(index, "vtkMRMLPlotChartNode")
        renderer = vtk.vtkRenderer()
        renderer.SetBackground(1, 1, 1)
        renderer.SetViewport(index / count, 0, (index + 1) / count, 1)
        actor = vtk.vtkContextActor()
        actor.GetScene().AddItem(_chart(node))
        renderer.AddActor(actor)
        actor.GetScene().SetRenderer(renderer)
        window.AddRenderer(renderer)
    window.Render()
    grab = vtk.vtkWindowToImageFilter()
    grab.SetInput(window)
    grab.ReadFrontBufferOff()
    writer = vtk.vtkPNGWriter()
    writer.SetFileName(str(path))
    writer.SetInputConnection(grab.GetOutputPort())
    writer.Write()
    print(path)


def _chart(node: Any) -> Any:
    chart = vtk.vtkChartXY()
    chart.SetTitle(node.GetTitle())
    chart.SetShowLegend(node.GetLegendVisibility())
    for index in range(node.GetNumberOfPlotSeriesNodes()):
        series = node.GetNthPlotSeriesNode(index)
        table = series.GetTableNode().GetTable()
        plot = chart.AddPlot(vtk.vtkChart.LINE)
        plot.SetInputData(table, series.GetXColumnName(), series.GetYColumnName())
        plot.SetColorF(*series.GetColor())
        plot.SetWidth(2)
        # numbered alike in VTK and in MRML
        plot.SetMarkerStyle(series.GetMarkerStyle())
        plot.GetPen().SetLineType(series.GetLineStyle())
    for axis, title in ((vtk.vtkAxis.BOTTOM, node.GetXAxisTitle()), (vtk.vtkAxis.LEFT, node.GetYAxisTitle())):
        chart.GetAxis(axis).SetTitle(title)
    for axis, is_auto, limits in (
        (vtk.vtkAxis.BOTTOM, node.GetXAxisRangeAuto(), node.GetXAxisRange()),
        (vtk.vtkAxis.LEFT, node.GetYAxisRangeAuto(), node.GetYAxisRange()),
    ):
        if not is_auto:
            chart.GetAxis(axis).SetBehavior(vtk.vtkAxis.FIXED)
            chart.GetAxis(axis).SetRange(*limits)
    return chart


def _epochs() -> int:
    table = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLTableNode")
    return table.GetNumberOfRows() if table is not None and table.GetNumberOfColumns() > 1 else 0
