"""What only 3D Slicer's desktop has, in small, so that the modules run in tests on the real MRML libraries.

``slicer-core`` brings real nodes, scenes, file formats and ``slicer.util``, but no application.
:func:`install` adds stand-ins for ``slicer.app``, ``slicer.modules``, ``slicer.i18n``,
``slicer.ScriptedLoadableModule``, ``slicer.packaging``, ``slicer.parameterNodeWrapper``, ``qt`` and
``ctk`` (see qt_standin.py), and a layout manager (see layout_standin.py): only what this project's modules
use, written from Slicer's documented interface. Not covered: installing packages, the launcher PythonSlicer,
DICOM, SampleData and everything that is drawn.
"""

from __future__ import annotations

import importlib
import logging
import sys
import tempfile
import typing
import unittest
from enum import Enum
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import slicer
import slicer.util
import vtk
from packaging.requirements import Requirement

import qt_standin
from layout_standin import LayoutManager

_ROOT = Path(__file__).resolve().parents[2]

# Scenes and panels observe each other. On the desktop they live as long as the application; here, Python
# would destroy them in an order that Qt and VTK do not survive.
_kept_alive: list[Any] = []


class ScriptedLoadableModule:
    """Base of a module's description; ``parent`` carries title, help and so on."""

    def __init__(self, parent: Any) -> None:
        self.parent = parent
        self.moduleName = type(self).__name__

    def resourcePath(self, name: str) -> str:
        return str(_resources(self.moduleName) / name)


class ScriptedLoadableModuleLogic:
    """Base of a module's logic, with the module's one parameter node in the scene."""

    def __init__(self, parent: Any = None) -> None:
        super().__init__()
        self.moduleName = type(self).__name__.removesuffix("Logic")

    def getParameterNode(self) -> Any:
        node = slicer.mrmlScene.GetSingletonNode(self.moduleName, "vtkMRMLScriptedModuleNode")
        if node is None:
            node = slicer.vtkMRMLScriptedModuleNode()
            node.SetSingletonTag(self.moduleName)
            node.SetName(self.moduleName)
            node = slicer.mrmlScene.AddNode(node)
        node.SetAttribute("ModuleName", self.moduleName)
        return node


class ScriptedLoadableModuleWidget:
    """Base of a module's panel."""

    def __init__(self, parent: Any = None) -> None:
        super().__init__()
        self.moduleName = type(self).__name__.removesuffix("Widget")
        self.parent = parent
        self.layout = parent.layout()

    def resourcePath(self, name: str) -> str:
        return str(_resources(self.moduleName) / name)

    def setup(self) -> None:
        """Nothing: the developer section exists on the desktop only."""


class ScriptedLoadableModuleTest(unittest.TestCase):
    """Base of a module's self-test; by itself it tests nothing."""

    messageDelay = 0

    def runTest(self) -> None: ...

    def delayDisplay(self, message: str, msec: int | None = None) -> None:
        logging.info(message)


def _resources(module_name: str) -> Path:
    return Path(sys.modules[module_name].__file__).with_name("Resources")


def parameterNodeWrapper(cls: type) -> type:
    """Class of typed fields -> properties kept in a ``vtkMRMLScriptedModuleNode``, with widgets tied to them.

    Knows the kinds of field that the modules use: nodes (as references), one of several kinds of nodes, bool,
    int, float, str and Enum.
    """
    fields = typing.get_type_hints(cls)  # without the ranges, which only widgets heed
    defaults = {name: getattr(cls, name, None) for name in fields}
    for name, kind in fields.items():
        setattr(cls, name, _parameter(name, kind, defaults[name]))
    cls.__init__ = _bind
    cls.connectParametersToGui = _connect_gui
    cls.disconnectGui = _disconnect_gui
    cls.AddObserver = lambda self, *arguments: self.parameterNode.AddObserver(*arguments)
    cls.RemoveObserver = lambda self, tag: self.parameterNode.RemoveObserver(tag)
    return cls


def _bind(self: Any, node: Any) -> None:
    self.parameterNode = node
    self._connections: dict[int, list[tuple[Any, Any]]] = {}
    self._showing = False


def _parameter(name: str, kind: Any, default: Any) -> property:
    if typing.get_origin(kind) is typing.Union:
        return _node_of_several_kinds(name, [cls.__name__ for cls in typing.get_args(kind)])
    if isinstance(kind, type) and kind.__name__.startswith("vtkMRML"):
        return property(
            lambda self: self.parameterNode.GetNodeReference(name),
            lambda self, node: self.parameterNode.SetNodeReferenceID(name, node.GetID() if node else None),
        )

    def read(self: Any) -> Any:
        text = self.parameterNode.GetParameter(name)
        if not text:
            return default if default is not None else kind()
        if issubclass(kind, Enum):
            return kind[text]
        return text == "True" if kind is bool else kind(text)

    def write(self: Any, value: Any) -> None:
        # an Enum is stored by its name, as in Slicer
        self.parameterNode.SetParameter(name, value.name if isinstance(value, Enum) else str(value))

    return property(read, write)


def _node_of_several_kinds(name: str, kinds: list[str]) -> property:
    """A union of kinds of nodes, and None; as in Slicer each is kept under the name and its number."""

    def read(self: Any) -> Any:
        found = (self.parameterNode.GetNodeReference(f"{name}_{number}") for number in range(len(kinds)))
        return next((node for node in found if node is not None), None)

    def write(self: Any, node: Any) -> None:
        for number, kind in enumerate(kinds):
            fits = node is not None and node.IsA(kind)
            self.parameterNode.SetNodeReferenceID(f"{name}_{number}", node.GetID() if fits else None)

    return property(read, write)


class WithinRange:
    """Annotation of a number: what a widget tied to it lets people choose."""

    def __init__(self, minimum: float, maximum: float) -> None:
        self.minimum, self.maximum = minimum, maximum


def _connect_gui(self: Any, mapping: dict[str, Any]) -> int:
    """Tie widgets to fields by name, both ways; the tag is for ``disconnectGui``.

    ``connectGui`` is left out on purpose: Slicer 5.12's returns no tag, so nothing could be disconnected.
    """
    links = [_Link(self, name, widget) for name, widget in mapping.items()]

    def show(*_: Any) -> None:
        for link in links:
            link.show()

    tag = self.parameterNode.AddObserver(vtk.vtkCommand.ModifiedEvent, show)
    self._connections[tag] = links
    return tag


def _disconnect_gui(self: Any, tag: int) -> None:
    for link in self._connections.pop(tag, ()):
        link.signal.disconnect(link.store)
    self.parameterNode.RemoveObserver(tag)


class _Link:
    """One widget and the field that it shows."""

    def __init__(self, parameters: Any, name: str, widget: Any) -> None:
        self.parameters, self.name, self.widget = parameters, name, widget
        kind = typing.get_type_hints(type(parameters))[name]
        if isinstance(widget, qt_standin.qMRMLNodeComboBox):
            # as in Slicer the annotation's; what the .ui file says is lost
            nodes = [one for one in (typing.get_args(kind) or (kind,)) if one is not type(None)]
            widget.nodeTypes = [one.__name__ for one in nodes]
            widget.refill()
            self.signal = widget.currentNodeChanged
            self.get, self.set = widget.currentNode, widget.setCurrentNode
        elif hasattr(widget, "setValue"):
            self.signal, self.get, self.set = widget.valueChanged, lambda: widget.value, widget.setValue
            self._set_range(name)
        elif hasattr(widget, "setCurrentIndex"):
            choices = list(kind)
            widget.clear()
            widget.addItems([choice.label() for choice in choices])
            self.signal = widget.currentIndexChanged
            self.get = lambda: choices[widget.currentIndex]
            self.set = lambda value: widget.setCurrentIndex(choices.index(value))
        else:
            self.signal, self.get, self.set = widget.toggled, lambda: widget.checked, widget.setChecked
        self.show()
        self.signal.connect(self.store)

    def _set_range(self, name: str) -> None:
        """As in Slicer the annotation's, or none at all: what the .ui file says is lost."""
        hint = typing.get_type_hints(type(self.parameters), include_extras=True)[name]
        ranges = [extra for extra in getattr(hint, "__metadata__", ()) if isinstance(extra, WithinRange)]
        limits = ranges[0] if ranges else WithinRange(-(2**31), 2**31 - 1)
        self.widget.setRange(limits.minimum, limits.maximum)

    def store(self, *_: Any) -> None:
        if not self.parameters._showing:
            setattr(self.parameters, self.name, self.get())

    def show(self) -> None:
        before, self.parameters._showing = self.parameters._showing, True
        try:
            value = getattr(self.parameters, self.name)
            if self.get() != value:
                self.set(value)
        finally:
            self.parameters._showing = before


class Application:
    """``slicer.app``: what ``slicer.util`` asks for."""

    applicationName = "Slicer stand-in"

    def __init__(self) -> None:
        self.atStartup: list[Any] = []

    def testingEnabled(self) -> bool:
        return True

    def connect(self, signal: str, slot: Any) -> None:
        assert signal == "startupCompleted()", signal
        self.atStartup.append(slot)

    def layoutManager(self) -> None:
        """None, as without a main window."""

    def setOverrideCursor(self, cursor: Any) -> None: ...

    def restoreOverrideCursor(self) -> None: ...

    def processEvents(self) -> None:
        qt_standin.application().processEvents()


def _requirements(path: str) -> list[Requirement]:
    lines = Path(path).read_text(encoding="utf-8").splitlines()
    return [Requirement(line) for line in lines if line.strip() and not line.startswith("#")]


def _pip_check(requirements: str | Requirement | list[str | Requirement]) -> bool:
    """Whether every package that is asked for is installed in a version asked for."""
    if isinstance(requirements, list):
        return all(map(_pip_check, requirements))
    requirement = Requirement(str(requirements))
    try:
        return version(requirement.name) in requirement.specifier
    except PackageNotFoundError:
        return False


def _pip_ensure(requirements: list[str | Requirement], requester: str) -> None:
    """Installs nothing: in tests, everything has to be there."""
    for requirement in requirements:
        assert _pip_check(requirement), requirement


def install() -> None:
    """Put the stand-ins in place; once is enough, again does nothing."""
    if "slicer.ScriptedLoadableModule" in sys.modules:
        return
    qt_standin.application()
    qt_standin.keep_settings_in(tempfile.mkdtemp(prefix="slicer-standin-"))
    sys.modules.update(qt_standin.modules())
    for name in ("qMRMLWidget", "qMRMLNodeComboBox"):
        setattr(slicer, name, qt_standin.CUSTOM[name])
    slicer.app = Application()
    bases = (
        ScriptedLoadableModule,
        ScriptedLoadableModuleWidget,
        ScriptedLoadableModuleLogic,
        ScriptedLoadableModuleTest,
    )
    classes = {cls.__name__: cls for cls in bases}
    _module("ScriptedLoadableModule", **classes, __all__=list(classes))
    _module("i18n", tr=lambda text: text, translate=lambda context, text: text)
    _module("packaging", load_requirements=_requirements, pip_check=_pip_check, pip_ensure=_pip_ensure)
    _module("parameterNodeWrapper", parameterNodeWrapper=parameterNodeWrapper, WithinRange=WithinRange)
    sys.path[:0] = [str(_ROOT / name) for name in ("MissingModalityTrain", "MissingModalitySeg")]
    new_scene()


def load_module(name: str) -> ModuleType:
    """A module of the extension, imported as Slicer would: with everything in place first."""
    install()
    return importlib.import_module(name)


def module_area() -> Any:
    """The empty widget that a panel is put into."""
    area = qt_standin.QWidget()
    area.setLayout(qt_standin.QtWidgets.QVBoxLayout())
    _kept_alive.append(area)
    return area


def _module(name: str, **members: Any) -> None:
    module = ModuleType(f"slicer.{name}")
    vars(module).update(members)
    sys.modules[module.__name__] = module
    setattr(slicer, name, module)


def new_scene() -> Any:
    """An empty scene with the logics that the desktop has loaded, made ``slicer.mrmlScene``."""
    scene = slicer.vtkMRMLScene()
    application = slicer.vtkSlicerApplicationLogic()
    application.SetMRMLScene(scene)
    application.GetColorLogic().SetMRMLScene(scene)
    application.GetColorLogic().AddDefaultColorNodes()
    modules = {"colors": SimpleNamespace(logic=application.GetColorLogic)}
    for name in ("Segmentations", "SubjectHierarchy"):
        _add_logic(application, scene, name, getattr(slicer, f"vtkSlicer{name}ModuleLogic")(), modules)
    _add_logic(application, scene, "Volumes", slicer.vtkSlicerVolumesLogic(), modules)
    _kept_alive.extend((scene, application))
    slicer.mrmlScene = scene
    slicer.modules = SimpleNamespace(**modules)
    slicer.app.applicationLogic = lambda: application
    layout_manager = LayoutManager(scene, application)
    slicer.app.layoutManager = lambda: layout_manager
    return scene


def _add_logic(application: Any, scene: Any, name: str, logic: Any, modules: dict[str, Any]) -> None:
    logic.SetMRMLApplicationLogic(application)
    application.SetModuleLogic(name, logic)
    logic.SetMRMLScene(scene)
    modules[name.lower()] = SimpleNamespace(logic=lambda: logic)
