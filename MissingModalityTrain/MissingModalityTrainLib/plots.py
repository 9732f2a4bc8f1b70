"""Loss and validation Dice of a run as plot nodes over table nodes, which grow while it trains."""

import math

import numpy as np
import slicer
from slicer.i18n import tr as _

from MissingModalityLib.core.labels import REGIONS
from MissingModalityLib.core.segments import segment_of
from MissingModalityTrainLib.viewlayouts import showCharts

OWN = "MissingModality.plot"
"""Attribute that tells our nodes, those of a scene that was loaded too."""

LOSS = "Loss"
LOSS_COLOR = (0.12, 0.35, 0.65)
"""Blue, since the regions beside it are plotted in green, orange and red."""


class RunPlots:
    """The nodes of one run in the scene; made when first asked for."""

    def fill(self, epochs):
        """Bring tables and plots up to date.

        Args:
            epochs: lines of the run's log.
        """
        numbers = np.arange(1, len(epochs) + 1, dtype=float)
        losses = np.array([line.loss["total"] for line in epochs], float)
        _fill("loss", _("Training loss"), _("Loss"), numbers, {LOSS: losses})
        scored = [index for index, line in enumerate(epochs) if line.dice]
        dice = {
            region: np.array([regionDice(epochs[index], region) for index in scored]) for region in REGIONS
        }
        _fill("dice", _("Validation Dice"), _("mean Dice"), numbers[scored], dice)

    def show(self):
        """Let the application show both charts."""
        showCharts(_own("vtkMRMLPlotChartNode", "loss"), _own("vtkMRMLPlotChartNode", "dice"))


def regionDice(line, region):
    """Mean over the validated subsets; NaN where none was."""
    scores = [score for name, score in line.dice.items() if name.endswith(f" {region}")]
    return sum(scores) / len(scores) if scores else math.nan


def _fill(key, title, axis, epochs, columns):
    table = _own("vtkMRMLTableNode", key, _("{title} of the training").format(title=title))
    slicer.util.updateTableFromArray(table, [epochs, *columns.values()], [_("Epoch"), *columns])
    chart = _own("vtkMRMLPlotChartNode", key, title)
    # made before, in this session or in a scene that was loaded: series follow their table by themselves
    if chart.GetNumberOfPlotSeriesNodes() == len(columns):
        return
    chart.SetTitle(title)
    chart.SetXAxisTitle(_("Epoch"))
    chart.SetYAxisTitle(axis)
    chart.SetLegendVisibility(len(columns) > 1)
    if key == "dice":
        # all that Dice can be, so that epochs and runs compare by eye
        chart.SetYAxisRangeAuto(False)
        chart.SetYAxisRange(0, 1)
    for column in columns:
        series = _own("vtkMRMLPlotSeriesNode", f"{key}.{column}", column)
        series.SetAndObserveTableNodeID(table.GetID())
        series.SetXColumnName(_("Epoch"))
        series.SetYColumnName(column)
        # the line type has no column for x: it would number the validated epochs 0, 1, 2
        series.SetPlotType(slicer.vtkMRMLPlotSeriesNode.PlotTypeScatter)
        series.SetMarkerStyle(slicer.vtkMRMLPlotSeriesNode.MarkerStyleCircle)
        color = segment_of(column).plot_color if column in REGIONS else LOSS_COLOR
        series.SetColor(*color)
        chart.AddAndObservePlotSeriesNodeID(series.GetID())


def _own(kind, key, name=None):
    """The node of a kind that has our mark; a new one where there is none and ``name`` is given."""
    for node in slicer.util.getNodesByClass(kind):
        if node.GetAttribute(OWN) == key:
            return node
    if name is None:
        return None
    node = slicer.mrmlScene.AddNewNodeByClass(kind, name)
    node.SetAttribute(OWN, key)
    return node
