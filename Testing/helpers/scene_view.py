"""A scene's volume and segmentation in four views, drawn by VTK from the nodes themselves, without a screen.

The arrangement is that of Slicer's four-up layout: axial, 3-D, coronal, sagittal; segments are tinted as
there. What Slicer's own views add (annotations, crosshair, style) is not drawn. Letters, scale, legend and
styles of lines, which tell outlines apart without color, are those of the other drawings of the project; in
Slicer all outlines are solid.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import vtk
from vtk.util.numpy_support import vtk_to_numpy

from MissingModalityLib.core.segments import REGION_SEGMENTS, SEGMENTS, Segment

SIDE = 360
"""Pixels of one view, unless another number is given."""

RIGHT, ANTERIOR, SUPERIOR = np.eye(3)


_SCALE_MM, _HALF_HEIGHT_MM = 50.0, 105.0
"""Length of the scale bar, and half of what a slice view shows from top to bottom."""

_DASHES = {"solid": None, "dashed": (4.0, 2.0), "dotted": (1.0, 1.5)}
"""Lengths of dashes and gaps in mm."""

_LEGEND_SHARE = 0.2
"""Height of the legend below the solid segments, of that of their view."""

_BRIGHTEST = 99.9
"""Percentile of what is not background that is white: a tumor that is bright all over keeps its shades."""

_SAMPLES = {"solid": "\N{EM DASH}\N{EM DASH}", "dashed": "- - -", "dotted": ". . . ."}
"""Lines as letters, for the legend."""


class _Slice(NamedTuple):
    """One slice view: its name, letters at its left, right, top and bottom edge, the way its normal and up
    point, which side it is seen from, its lower left corner."""

    name: str
    letters: str
    normal: np.ndarray
    side: np.ndarray
    up: np.ndarray
    corner: tuple[float, float]


SLICES = (
    _Slice("Axial", "RLAP", SUPERIOR, -SUPERIOR, ANTERIOR, (0.0, 0.5)),
    _Slice("Coronal", "RLSI", ANTERIOR, ANTERIOR, SUPERIOR, (0.0, 0.0)),
    _Slice("Sagittal", "APSI", RIGHT, -RIGHT, SUPERIOR, (0.5, 0.0)),
)
"""Axial, coronal and sagittal, as radiologists look at them."""


def draw(volume: Any, segmentation: Any, path: Path, side: int = SIDE) -> None:
    """Write a PNG of four views, each ``side`` pixels wide and high, through the middle of the segments."""
    window = vtk.vtkRenderWindow()
    window.SetOffScreenRendering(1)
    window.SetMultiSamples(0)  # see-through surfaces need that
    window.SetAlphaBitPlanes(1)
    window.SetSize(2 * side, 2 * side)
    surfaces = _surfaces(segmentation)
    points = [vtk_to_numpy(surface.GetPoints().GetData()) for surface, _ in surfaces]
    center = np.median(np.concatenate(points), axis=0)  # not led astray by islands
    tint = segmentation.GetDisplayNode().GetOpacity2DFill()
    for view in SLICES:
        window.AddRenderer(_slice_view(volume, surfaces, tint, center, view))
    window.AddRenderer(_solid_view(segmentation, surfaces))
    window.Render()
    picture = vtk.vtkWindowToImageFilter()
    picture.SetInput(window)
    writer = vtk.vtkPNGWriter()
    writer.SetFileName(str(path))
    writer.SetInputConnection(picture.GetOutputPort())
    writer.Write()


def _surfaces(node: Any) -> list[tuple[Any, Any]]:
    """Closed surface and segment of every shown segment that is not empty."""
    node.CreateClosedSurfaceRepresentation()
    display = node.GetDisplayNode()
    found = []
    for name in node.GetSegmentation().GetSegmentIDs():
        segment = node.GetSegmentation().GetSegment(name)
        surface = segment.GetRepresentation("Closed surface")
        if surface is not None and surface.GetNumberOfPoints() and display.GetSegmentVisibility3D(name):
            found.append((surface, segment))
    return found


def _renderer(corner: tuple[float, float]) -> Any:
    renderer = vtk.vtkRenderer()
    renderer.UseFXAAOn()
    renderer.SetViewport(*corner, corner[0] + 0.5, corner[1] + 0.5)
    return renderer


def _slice_view(
    volume: Any, surfaces: list[tuple[Any, Any]], tint: float, center: np.ndarray, view: _Slice
) -> Any:
    renderer = _renderer(view.corner)
    plane = vtk.vtkPlane()
    plane.SetOrigin(*center)
    plane.SetNormal(*view.normal)
    image = _image_in(volume, plane)
    renderer.AddViewProp(image)
    for number, (surface, segment) in enumerate(sorted(surfaces, key=_by_line)):
        cutter = vtk.vtkCutter()
        cutter.SetInputData(surface)
        cutter.SetCutFunction(plane)
        areas = vtk.vtkContourTriangulator()
        areas.SetInputConnection(cutter.GetOutputPort())
        filled = _actor(areas.GetOutputPort(), segment)
        filled.GetProperty().SetOpacity(tint)
        lines = vtk.vtkStripper()
        lines.SetInputConnection(cutter.GetOutputPort())
        dashes = _in_dashes(lines, _named(segment).line)  # a port does not keep its source alive
        outline = _actor(dashes.GetOutputPort(), segment)
        outline.GetProperty().SetLineWidth(2.5)
        # in front of the image; on a border that two segments share the front one leaves the other visible
        for actor, height in ((filled, 0.3), (outline, 0.5 + 0.2 * number)):
            actor.GetProperty().LightingOff()
            actor.SetPosition(*(height * view.side))
            renderer.AddActor(actor)
    _look(renderer, image, center, view)
    _write_around(renderer, view)
    return renderer


def _image_in(volume: Any, plane: Any) -> Any:
    """A volume's voxels in a plane, in shades from its background to its brightest tissue."""
    mapper = vtk.vtkImageResliceMapper()
    mapper.SetInputData(volume.GetImageData())
    mapper.SetSlicePlane(plane)
    image = vtk.vtkImageSlice()
    image.SetMapper(mapper)
    to_world = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(to_world)
    image.SetUserMatrix(to_world)
    values = vtk_to_numpy(volume.GetImageData().GetPointData().GetScalars())
    brightest = float(np.percentile(values[values > 0], _BRIGHTEST))
    image.GetProperty().SetColorWindow(brightest)
    image.GetProperty().SetColorLevel(brightest / 2)
    return image


def _look(renderer: Any, image: Any, center: np.ndarray, view: _Slice) -> None:
    """Point the camera at the middle of an image, in the slice through the center."""
    camera = renderer.GetActiveCamera()
    camera.ParallelProjectionOn()
    middle = np.array(image.GetBounds()).reshape(3, 2).mean(axis=1)
    focus = middle + np.dot(center - middle, view.normal) * view.normal
    camera.SetFocalPoint(*focus)
    camera.SetPosition(*(focus + 500 * view.side))
    camera.SetViewUp(*view.up)
    camera.SetParallelScale(_HALF_HEIGHT_MM)
    renderer.ResetCameraClippingRange()


def _solid_view(segmentation: Any, surfaces: list[tuple[Any, Any]]) -> Any:
    renderer = _renderer((0.5, 0.5))
    renderer.SetBackground(0.12, 0.12, 0.16)
    opacity = segmentation.GetDisplayNode().GetOpacity3D()
    for number, (surface, segment) in enumerate(surfaces):
        text = f"{_SAMPLES[_named(segment).line]}  {segment.GetName()}"
        _write(renderer, text, 0.04, 0.04 + 0.06 * number, segment.GetColor(), "left")
        source = vtk.vtkTrivialProducer()
        source.SetOutput(surface)
        solid = _actor(source.GetOutputPort(), segment)
        # what lies inside must be seen through what lies outside
        solid.GetProperty().SetOpacity(opacity * (0.25 if segment.GetName() == "Edema" else 1.0))
        renderer.AddActor(solid)
    renderer.SetUseDepthPeeling(1)
    camera = renderer.GetActiveCamera()
    camera.SetPosition(-300, 500, 200)
    camera.SetViewUp(0, 0, 1)
    renderer.ResetCamera()
    camera.Zoom(1.15 * (1 - _LEGEND_SHARE))
    camera.SetWindowCenter(0, -_LEGEND_SHARE)  # in halves of the view: up by half the legend
    return renderer


def _by_line(surface: tuple[Any, Any]) -> int:
    """Order of outlines from the back to the front."""
    return ("dashed", "solid", "dotted").index(_named(surface[1]).line)


def _in_dashes(lines: Any, style: str) -> Any:
    """A source of the same lines, broken into dashes; VTK draws solid lines alone."""
    if _DASHES[style] is None:
        return lines
    dash, gap = _DASHES[style]
    lines.Update()
    points, pieces = vtk.vtkPoints(), vtk.vtkCellArray()
    for number in range(lines.GetOutput().GetNumberOfCells()):
        path = vtk_to_numpy(lines.GetOutput().GetCell(number).GetPoints().GetData())
        along = np.concatenate(([0], np.linalg.norm(np.diff(path, axis=0), axis=1).cumsum()))
        for begin in np.arange(0, along[-1], dash + gap):
            where = np.linspace(begin, min(begin + dash, along[-1]), 5)
            places = np.stack([np.interp(where, along, path[:, axis]) for axis in range(3)], axis=1)
            pieces.InsertNextCell(len(places), [points.InsertNextPoint(place) for place in places])
    broken = vtk.vtkPolyData()
    broken.SetPoints(points)
    broken.SetLines(pieces)
    source = vtk.vtkTrivialProducer()
    source.SetOutput(broken)
    return source


def _write_around(renderer: Any, view: _Slice) -> None:
    """Name, letters of the patient's sides, and a scale bar."""
    _write(renderer, view.name, 0.04, 0.94, justified="left")
    for letter, x, y in zip(view.letters, (0.03, 0.97, 0.5, 0.5), (0.5, 0.5, 0.95, 0.03), strict=True):
        _write(renderer, letter, x, y)
    length = _SCALE_MM / (2 * _HALF_HEIGHT_MM)
    _write(renderer, f"{_SCALE_MM / 10:.0f} cm", 0.04 + length / 2, 0.05)
    bar = vtk.vtkLineSource()
    bar.SetPoint1(0.04, 0.04, 0)
    bar.SetPoint2(0.04 + length, 0.04, 0)
    place = vtk.vtkCoordinate()
    place.SetCoordinateSystemToNormalizedViewport()
    mapper = vtk.vtkPolyDataMapper2D()
    mapper.SetInputConnection(bar.GetOutputPort())
    mapper.SetTransformCoordinate(place)
    actor = vtk.vtkActor2D()
    actor.SetMapper(mapper)
    actor.GetProperty().SetLineWidth(3)
    renderer.AddViewProp(actor)


def _write(
    renderer: Any,
    text: str,
    x: float,
    y: float,
    color: Sequence[float] = (1, 1, 1),
    justified: str = "centered",
) -> None:
    """A text at a place of a view, 0..1 from its lower left corner."""
    actor = vtk.vtkTextActor()
    actor.SetInput(text)
    actor.GetPositionCoordinate().SetCoordinateSystemToNormalizedViewport()
    actor.SetPosition(x, y)
    style = actor.GetTextProperty()
    style.SetFontSize(14)
    style.SetColor(*color)
    style.SetBackgroundColor(0, 0, 0)
    style.SetBackgroundOpacity(0.6)  # readable over what it covers
    getattr(style, f"SetJustificationTo{justified.capitalize()}")()
    renderer.AddViewProp(actor)


def _named(segment: Any) -> Segment:
    """What the project knows of a segment of the scene."""
    return next(one for one in (*SEGMENTS, *REGION_SEGMENTS) if one.name == segment.GetName())


def _actor(port: Any, segment: Any) -> Any:
    mapper = vtk.vtkPolyDataMapper()
    mapper.SetInputConnection(port)
    mapper.ScalarVisibilityOff()
    actor = vtk.vtkActor()
    actor.SetMapper(mapper)
    actor.GetProperty().SetColor(*segment.GetColor())
    return actor


def background_of(segmentation: Any) -> Any:
    """The volume node that a segmentation was made on."""
    return segmentation.GetNodeReference(segmentation.GetReferenceImageGeometryReferenceRole())
