"""3D Slicer's data libraries without its desktop: real MRML scenes, nodes and files in any Python.

``slicer-core`` brings scenes, nodes and storage. What Slicer's desktop adds and the demo needs is put
together here: the logics that read volumes and segmentations, entries in the subject hierarchy, slice views,
and the few modules that the segmentation module imports for its panel. Nothing is drawn; Qt is not needed.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import slicer
import vtk

from MissingModalityLib.core.files import atomic_write

ROOT = Path(__file__).resolve().parents[1]
VIEWS = {"Red": "Axial", "Yellow": "Sagittal", "Green": "Coronal"}


class HeadlessSlicer:
    """One scene with the logics that belong to it; it becomes ``slicer.mrmlScene``.

    Args:
        cache: folder for files unpacked from scene bundles; only :meth:`load` needs it.

    Attributes:
        scene: the ``vtkMRMLScene``.
    """

    def __init__(self, cache: Path | None = None) -> None:
        self.scene = slicer.vtkMRMLScene()
        self._application = slicer.vtkSlicerApplicationLogic()
        self._application.SetMRMLScene(self.scene)
        colors = self._application.GetColorLogic()
        colors.SetMRMLScene(self.scene)
        colors.AddDefaultColorNodes()
        self._application.SetModuleLogic("Colors", colors)
        self._logic("Segmentations", slicer.vtkSlicerSegmentationsModuleLogic())
        self._logic("SubjectHierarchy", slicer.vtkSlicerSubjectHierarchyModuleLogic())
        self._volumes = self._logic("Volumes", slicer.vtkSlicerVolumesLogic())
        self._files = slicer.vtkMRMLRemoteIOLogic()
        self._files.GetCacheManager().SetRemoteCacheDirectory(str(cache or ""))
        self._files.SetMRMLScene(self.scene)
        self._files.AddDataIOToScene()
        # without, a slice node knows no orientation by name, not even Axial
        slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(self.scene)
        self.scene.AddObserver(slicer.vtkMRMLScene.NodeAddedEvent, self._list_in_hierarchy)
        self._views: list[Any] = []
        slicer.mrmlScene = self.scene

    def _logic(self, name: str, logic: Any) -> Any:
        logic.SetMRMLApplicationLogic(self._application)
        self._application.SetModuleLogic(name, logic)
        logic.SetMRMLScene(self.scene)
        return logic

    # without this mark VTK calls an observer with sender and event alone
    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _list_in_hierarchy(self, scene: Any, event: str, node: Any) -> None:
        """On the desktop a plugin gives each new data node its place in the subject hierarchy."""
        hierarchy = scene.GetSubjectHierarchyNode()
        is_data = node.IsA("vtkMRMLVolumeNode") or node.IsA("vtkMRMLSegmentationNode")
        if is_data and not scene.IsImporting() and hierarchy.GetItemByDataNode(node) == 0:
            hierarchy.CreateItem(hierarchy.GetSceneItemID(), node)

    def add_volume(self, path: Path) -> Any:
        """The volume node of a file, read by Slicer's own reader, named after the file.

        Raises:
            OSError: Slicer cannot read it.
        """
        node = self._volumes.AddArchetypeVolume(str(path), path.name.partition(".")[0])
        if node is None:
            raise OSError(f"{path}: Slicer's reader cannot read this file.")
        return node

    def show(self, volume: Any, center: Sequence[float]) -> None:
        """Three slice views of a volume through a point (R, A, S; mm), kept in the scene."""
        for name, orientation in VIEWS.items():
            view = slicer.vtkMRMLSliceLogic()
            view.SetMRMLScene(self.scene)
            view.SetMRMLApplicationLogic(self._application)
            node = view.AddSliceNode(name)
            node.SetOrientation(orientation)
            view.GetSliceCompositeNode().SetBackgroundVolumeID(volume.GetID())
            view.FitSliceToBackground()
            node.JumpSliceByCentering(*center)
            self._views.append(view)
        self._application.GetSelectionNode().SetActiveVolumeID(volume.GetID())

    def save_segmentation(self, node: Any, path: Path) -> None:
        """Write a segmentation node as .seg.nrrd.

        Raises:
            OSError: the file cannot be written.
        """
        storage = slicer.vtkMRMLSegmentationStorageNode()
        with atomic_write(path) as temporary:
            storage.SetFileName(str(temporary))
            if not storage.WriteData(node):
                raise OSError(f"{path}: the segmentation cannot be written. Choose another folder.")

    def save(self, path: Path) -> None:
        """Write the scene with all data into one .mrb file.

        Raises:
            OSError: the file cannot be written.
        """
        # In a folder of its own, because the bundle repeats the file's name inside
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".") as folder:
            unfinished = Path(folder) / path.name
            if not self.scene.WriteToMRB(str(unfinished)):
                raise OSError(f"{path}: the scene cannot be written. Choose another folder.")
            os.replace(unfinished, path)  # on the same disk, as the folder lies beside the file

    def load(self, path: Path) -> None:
        """Read a .mrb file into the scene.

        Raises:
            OSError: Slicer cannot read it.
        """
        if not self.scene.ReadFromMRB(str(path), False):
            raise OSError(f"{path}: Slicer cannot read this scene.")


def segmentation_logic() -> Any:
    """A ``MissingModalitySegLogic``, as scripts inside Slicer make it."""
    for name in ("MissingModalityTrain", "MissingModalitySeg"):
        sys.path.append(str(ROOT / name))
    bases = ("", "Widget", "Logic", "Test")
    _provide("qt")
    _provide("slicer.i18n", tr=lambda text: text, translate=lambda context, text: text)
    # notes at the fields of parameter nodes, of which the logic makes none
    notes = dict.fromkeys(("Choice", "WithinRange"), lambda *values: values)
    _provide("slicer.parameterNodeWrapper", parameterNodeWrapper=lambda cls: cls, **notes)
    _provide(
        "slicer.ScriptedLoadableModule",
        **{f"ScriptedLoadableModule{base}": type(f"ScriptedLoadableModule{base}", (), {}) for base in bases},
    )
    # only now: the module file imports what was provided above
    from MissingModalitySeg import MissingModalitySegLogic

    return MissingModalitySegLogic()


def _provide(name: str, **members: Any) -> None:
    """What the module file imports for its panel, where the desktop is not there to bring it."""
    if name not in sys.modules:
        sys.modules[name] = ModuleType(name)
        vars(sys.modules[name]).update(members)
