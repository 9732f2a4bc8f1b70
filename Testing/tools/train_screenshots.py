"""Pictures of the training panel in each main state, from a real but short training on small phantoms.

The plots are drawn by VTK from the table nodes that the panel has made, in the colors of their series; on the
desktop a plot view shows them.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
import slicer
import vtk
from slicer.util import arrayFromTableColumn

from event_loop import run_events
from MissingModalityLib.core.labels import from_classes
from MissingModalityLib.phantom.patient import grow_patient
from train_panel import choose, choose_item, look, new_panel

SHAPE, SPACING = (78, 96, 96), (2.0, 2.0, 2.0)
CASES = 5
LONG_S = 3600
SHORT = {
    "patch_size": 64,
    "iterations_per_epoch": 6,
    "validation_interval": 2,
    "validation_subsets": "FLAIR+T1ce",
    "num_workers": 0,
}
PLOT_SIZE = (440, 260)


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


def main(folder: Path, work: Path, save: Callable[[Any, Path], None]) -> None:
    """Write the pictures.

    Args:
        folder: for the pictures.
        work: for cases, run and models; empty.
        save: draws a panel.
    """
    os.environ["MISSINGMODALITY_MODELS"] = str(work / "models")
    panel = new_panel()
    save(panel, folder / "train_empty.png")
    look(panel, write_phantoms(work / "cases", range(CASES)))
    panel.ui.validationSpinBox.setValue(25)
    save(panel, folder / "train_data.png")
    panel.ui.previewButton.click()
    run_events(lambda: panel.ui.previewButton.enabled, LONG_S)
    save(panel, folder / "train_preview.png")
    panel.logic.startTraining = partial(_start_short, panel.logic.startTraining)
    choose_item(panel.ui.recipeSelector, "aem")
    choose(panel, run=work / "my first run", evaluation=write_phantoms(work / "test", range(10, 12)))
    panel.ui.deviceSelector.setCurrentIndex(1)
    panel.ui.startButton.click()
    run_events(lambda: _epochs() >= 2, LONG_S)
    save(panel, folder / "train_running.png")
    panel.ui.pauseButton.click()
    run_events(lambda: panel.ui.trainingStatusLabel.text.startswith("Paused."), LONG_S)
    save(panel, folder / "train_paused.png")
    panel.ui.resumeButton.click()
    run_events(lambda: "Training has ended" in panel.ui.trainingStatusLabel.text, LONG_S)
    draw_plots(folder / "train_plots.png")
    panel.ui.exportButton.click()
    run_events(lambda: panel.ui.exportButton.enabled, LONG_S)
    panel.ui.evaluateButton.click()
    run_events(lambda: panel.ui.evaluateButton.enabled, LONG_S)
    save(panel, folder / "train_evaluated.png")
    panel.cleanup()


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
    return len(np.atleast_1d(arrayFromTableColumn(table, "Loss"))) if table.GetNumberOfColumns() > 1 else 0
