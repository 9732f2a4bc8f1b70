"""Plots of a run: what tells their lines apart, and where a stage begins."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import slicer
from slicer.util import arrayFromTableColumn

import slicer_standin
from MissingModalityLib.training.log import LogLine

plots = slicer_standin.load_module("MissingModalityTrainLib.plots")
STAGES = ("pretrain", "train", "posttrain")


@pytest.fixture
def charts() -> tuple[Any, Any]:
    """Charts of loss and Dice of a run whose stages have an epoch each, filled as it went."""
    slicer_standin.new_scene()
    dice = {"FLAIR WT": 0.9, "FLAIR TC": 0.8, "FLAIR ET": 0.7}
    lines = [
        LogLine(stage=stage, epoch=1, loss={"total": number}, dice=dice, seconds=1)
        for number, stage in enumerate(STAGES)
    ]
    for count in range(len(lines) + 1):
        plots.RunPlots().fill(lines[:count])
    loss, dice = (slicer.mrmlScene.GetNthNodeByClass(number, "vtkMRMLPlotChartNode") for number in range(2))
    return loss, dice


def series(chart: Any) -> list[Any]:
    return [chart.GetNthPlotSeriesNode(number) for number in range(chart.GetNumberOfPlotSeriesNodes())]


@pytest.mark.parametrize("sign", ["GetMarkerStyle", "GetLineStyle", "GetColor"])
def test_marker_line_and_color_each_tell_lines_apart(charts: tuple[Any, Any], sign: str) -> None:
    for chart in charts:
        assert len({getattr(one, sign)() for one in series(chart)}) == 3


def test_each_stage_has_a_line_of_its_own(charts: tuple[Any, Any]) -> None:
    drawn = series(charts[0])
    assert [one.GetName() for one in drawn] == list(STAGES)
    for number, one in enumerate(drawn):
        values = arrayFromTableColumn(one.GetTableNode(), one.GetYColumnName())
        assert np.flatnonzero(np.isfinite(values)).tolist() == [number]


def test_the_legend_has_room_beside_the_last_points(charts: tuple[Any, Any]) -> None:
    for chart in charts:
        assert not chart.GetXAxisRangeAuto() and chart.GetLegendVisibility()
        assert chart.GetXAxisRange()[1] == pytest.approx(len(STAGES) * (1 + plots.LEGEND_SHARE))


def test_the_title_spells_out_the_regions(charts: tuple[Any, Any]) -> None:
    assert charts[1].GetTitle() == "Validation Dice: WT whole tumor, TC tumor core, ET enhancing tumor"
