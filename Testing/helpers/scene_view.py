"""A scene's volume and segmentation in four views, drawn by VTK from the nodes themselves, without a screen.

The arrangement is that of Slicer's four-up layout: axial, 3-D, coronal, sagittal. What Slicer's own views add
(annotations, crosshair, style) is not drawn.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import vtk
from vtk.util.numpy_support import vtk_to_numpy

SIDE = 360
"""Pixels of one view."""

RIGHT, ANTERIOR, SUPERIOR = np.eye(3)


class _Slice(NamedTuple):
    """One slice view: the way its normal and up point, which side it is seen from, its lower left corner."""

    normal: np.ndarray
    side: np.ndarray
    up: np.ndarray
    corner: tuple[float, float]


SLICES = (
    _Slice(SUPERIOR, -SUPERIOR, ANTERIOR, (0.0, 0.5)),
    _Slice(ANTERIOR, ANTERIOR, SUPERIOR, (0.0, 0.0)),
    _Slice(RIGHT, -RIGHT, SUPERIOR, (0.5, 0.0)),
)
"""Axial, coronal and sagittal, as radiologists look at them."""


def draw(volume: Any, segmentation: Any, path: Path) -> None:
    """Write the four views as a PNG, through the middle of the segments."""
    window = vtk.vtkRenderWindow()
    window.SetOffScreenRendering(1)
    window.SetMultiSamples(0)  # see-through surfaces need that
    window.SetAlphaBitPlanes(1)
    window.SetSize(2 * SIDE, 2 * SIDE)
    surfaces = _surfaces(segmentation)
    points = [vtk_to_numpy(surface.GetPoints().GetData()) for surface, _ in surfaces]
    center = np.median(np.concatenate(points), axis=0)  # not led astray by islands
    for view in SLICES:
        window.AddRenderer(_slice_view(volume, surfaces, center, view))
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


def _slice_view(volume: Any, surfaces: list[tuple[Any, Any]], center: np.ndarray, view: _Slice) -> Any:
    renderer = _renderer(view.corner)
    plane = vtk.vtkPlane()
    plane.SetOrigin(*center)
    plane.SetNormal(*view.normal)
    mapper = vtk.vtkImageResliceMapper()
    mapper.SetInputData(volume.GetImageData())
    mapper.SetSlicePlane(plane)
    image = vtk.vtkImageSlice()
    image.SetMapper(mapper)
    to_world = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(to_world)
    image.SetUserMatrix(to_world)
    values = vtk_to_numpy(volume.GetImageData().GetPointData().GetScalars())
    brightest = float(np.percentile(values[values > 0], 99.5))
    image.GetProperty().SetColorWindow(brightest)
    image.GetProperty().SetColorLevel(brightest / 2)
    renderer.AddViewProp(image)
    for surface, segment in surfaces:
        cutter = vtk.vtkCutter()
        cutter.SetInputData(surface)
        cutter.SetCutFunction(plane)
        lines = vtk.vtkStripper()
        lines.SetInputConnection(cutter.GetOutputPort())
        outline = _actor(lines.GetOutputPort(), segment)
        outline.GetProperty().SetLineWidth(2.5)
        outline.GetProperty().LightingOff()
        outline.SetPosition(*(0.5 * view.side))  # in front of the image
        renderer.AddActor(outline)
    camera = renderer.GetActiveCamera()
    camera.ParallelProjectionOn()
    middle = np.array(image.GetBounds()).reshape(3, 2).mean(axis=1)
    focus = middle + np.dot(center - middle, view.normal) * view.normal
    camera.SetFocalPoint(*focus)
    camera.SetPosition(*(focus + 500 * view.side))
    camera.SetViewUp(*view.up)
    camera.SetParallelScale(105)
    renderer.ResetCameraClippingRange()
    return renderer


def _solid_view(segmentation: Any, surfaces: list[tuple[Any, Any]]) -> Any:
    renderer = _renderer((0.5, 0.5))
    renderer.SetBackground(0.75, 0.76, 0.9)
    opacity = segmentation.GetDisplayNode().GetOpacity3D()
    for surface, segment in surfaces:
        source = vtk.vtkTrivialProducer()
        source.SetOutput(surface)
        solid = _actor(source.GetOutputPort(), segment)
        # what lies inside must be seen through what lies outside
        solid.GetProperty().SetOpacity(opacity * (0.35 if segment.GetName() == "Edema" else 1.0))
        renderer.AddActor(solid)
    renderer.SetUseDepthPeeling(1)
    camera = renderer.GetActiveCamera()
    camera.SetPosition(-300, 500, 200)
    camera.SetViewUp(0, 0, 1)
    renderer.ResetCamera()
    camera.Zoom(1.3)
    return renderer


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
