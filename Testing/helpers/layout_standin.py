"""The desktop's layout manager in small: real layout logic and slice logics of MRML, without any widget.

On the desktop ``slicer.app.layoutManager()`` makes a widget for every view of a layout; here a view is its
node in the scene, and ``sliceWidget(name).sliceLogic()`` the real logic over it.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import slicer
import vtk


class LayoutManager:
    """What the panels ask of ``slicer.app.layoutManager()``."""

    def __init__(self, scene: Any, application: Any) -> None:
        slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(scene, True)
        self._application = application
        self._logic = slicer.vtkMRMLLayoutLogic()
        self._logic.SetMRMLScene(scene)
        self._slices: dict[str, Any] = {}
        self.resets = 0

    @property
    def layout(self) -> int:
        return self._logic.GetLayoutNode().GetViewArrangement()

    def layoutLogic(self) -> Any:
        return self._logic

    def setLayout(self, layout: int) -> None:
        self._logic.GetLayoutNode().SetViewArrangement(layout)

    def resetThreeDViews(self) -> None:
        """Counted in ``resets``: there is no camera here."""
        self.resets += 1

    def mrmlSliceLogics(self) -> Any:
        """Of the slice views that have been made."""
        logics = vtk.vtkCollection()
        for logic in self._slices.values():
            logics.AddItem(logic)
        return logics

    def sliceWidget(self, name: str) -> Any:
        scene = self._logic.GetMRMLScene()
        if name not in self._slices:
            logic = slicer.vtkMRMLSliceLogic()
            logic.SetMRMLApplicationLogic(self._application)
            logic.SetMRMLScene(scene)
            logic.SetSliceNode(scene.GetSingletonNode(name, "vtkMRMLSliceNode"))
            self._slices[name] = logic
        return SimpleNamespace(sliceLogic=lambda: self._slices[name])
