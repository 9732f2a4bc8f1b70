"""Loss and validation Dice of a run as plot nodes over table nodes, which grow while it trains."""

import math
from itertools import cycle

import numpy as np
import slicer
from slicer.i18n import tr as _

from MissingModalityLib.core.labels import CAVITY_REGION, REGIONS
from MissingModalityLib.core.segments import CURVE_COLORS
from MissingModalityPanelLib.segmentnames import segmentName
from MissingModalityTrainLib.viewlayouts import showCharts

OWN = "MissingModality.plot"
"""Attribute that tells our nodes, those of a scene that was loaded too."""

STAGE_COLORS = tuple(CURVE_COLORS.values())

LEGEND_SHARE = 0.3
"""Of the epochs shown, to their right: Slicer draws the legend there, and would cover the last points."""


class RunPlots:
    """The nodes of one run in the scene; made when first asked for."""

    def fill(self, epochs):
        """Bring tables and plots up to date.

        Args:
            epochs: lines of the run's log.
        """
        numbers = np.arange(1, len(epochs) + 1, dtype=float)
        losses = np.array([line.loss["total"] for line in epochs], float)
        stages = np.array([line.stage for line in epochs])
        # a stage has a loss of its own: one line for all would jump where the next one begins
        by_stage = {name: np.where(stages == name, losses, np.nan) for name in dict.fromkeys(stages.tolist())}
        colors = dict(zip(by_stage, cycle(STAGE_COLORS)))
        _fill("loss", _("Training loss of each stage"), _("Loss (less is better)"), numbers, by_stage, colors)
        scored = [index for index, line in enumerate(epochs) if line.dice]
        dice = {
            region: np.array([regionDice(epochs[index], region) for index in scored])
            for region in (*REGIONS, CAVITY_REGION)
        }
        if np.isnan(dice[CAVITY_REGION]).all():  # not learned
            del dice[CAVITY_REGION]
        names = ", ".join(f"{region} {segmentName(region).lower()}" for region in dice)
        title = _("Validation Dice: {names}").format(names=names)
        _fill("dice", title, _("mean Dice (1: the reference)"), numbers[scored], dice, CURVE_COLORS)

    def show(self):
        """Let the application show both charts."""
        showCharts(_own("vtkMRMLPlotChartNode", "loss"), _own("vtkMRMLPlotChartNode", "dice"))


def regionDice(line, region):
    """Mean over the validated subsets; NaN where none was."""
    scores = [score for name, score in line.dice.items() if name.endswith(f" {region}")]
    return sum(scores) / len(scores) if scores else math.nan


def _fill(key, title, axis, epochs, columns, colors):
    table = _own("vtkMRMLTableNode", key, _("{title} of the training").format(title=title))
    slicer.util.updateTableFromArray(table, [epochs, *columns.values()], [_("Epoch"), *columns])
    chart = _own("vtkMRMLPlotChartNode", key, title)
    chart.SetXAxisRangeAuto(False)
    chart.SetXAxisRange(0, max(epochs, default=1) * (1 + LEGEND_SHARE))
    # made before, in this session or in a scene that was loaded: series follow their table by themselves
    if chart.GetNumberOfPlotSeriesNodes() == len(columns):
        return
    chart.SetTitle(title)
    chart.SetXAxisTitle(_("Epoch"))
    chart.SetYAxisTitle(axis)
    chart.SetLegendVisibility(True)
    if key == "dice":
        # all that Dice can be, so that epochs and runs compare by eye
        chart.SetYAxisRangeAuto(False)
        chart.SetYAxisRange(0, 1)
    chart.RemoveAllPlotSeriesNodeIDs()
    for column, (marker, line) in zip(columns, cycle(_signs())):
        series = _own("vtkMRMLPlotSeriesNode", f"{key}.{column}", column)
        series.SetAndObserveTableNodeID(table.GetID())
        series.SetXColumnName(_("Epoch"))
        series.SetYColumnName(column)
        # the line type has no column for x: it would number the validated epochs 0, 1, 2
        series.SetPlotType(slicer.vtkMRMLPlotSeriesNode.PlotTypeScatter)
        series.SetMarkerStyle(marker)
        series.SetLineStyle(line)
        series.SetColor(*(int(colors[column][place : place + 2], 16) / 255 for place in (1, 3, 5)))
        chart.AddAndObservePlotSeriesNodeID(series.GetID())


def _signs():
    """Markers and styles of lines, by which series are told apart without color."""
    kinds = slicer.vtkMRMLPlotSeriesNode
    return (
        (kinds.MarkerStyleCircle, kinds.LineStyleSolid),
        (kinds.MarkerStyleSquare, kinds.LineStyleDash),
        (kinds.MarkerStyleDiamond, kinds.LineStyleDashDot),
        (kinds.MarkerStylePlus, kinds.LineStyleDot),
    )


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
