"""PythonQt on top of PySide6, as far as this project's panels use it; for tests only.

3D Slicer's desktop talks to Qt through PythonQt, where a Qt property is a Python attribute
(``button.enabled = True``, ``combo.currentText``). PySide6 has methods instead. The classes made here
are PySide6 widgets whose Qt properties are attributes, plus plain stand-ins for Slicer's own ``ctk``
and ``qMRML`` widgets, so that a module's .ui file opens in real Qt without a screen. What cannot be
known this way: PythonQt's own quirks, and the looks of the real ctk and qMRML widgets.
"""

from __future__ import annotations

import ctypes
import os
import sys
from types import ModuleType
from typing import Any, ClassVar
from xml.etree import ElementTree

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from PySide6 import QtCore, QtGui, QtUiTools, QtWidgets
from PySide6.QtCore import Signal

WIDGETS = (
    *("QWidget", "QLabel", "QPushButton", "QToolButton", "QCheckBox", "QComboBox", "QLineEdit", "QSpinBox"),
    *("QProgressBar", "QPlainTextEdit", "QTextBrowser", "QTableWidget", "QGroupBox", "QFrame"),
    *("QDoubleSpinBox",),
)


def attribute_style(base: type) -> type:
    """A subclass of a PySide6 class whose Qt properties are Python attributes, as in PythonQt."""
    meta = base.staticMetaObject
    names = [meta.property(index).name() for index in range(meta.propertyCount())]
    members: dict[str, Any] = {name: _attribute(name) for name in names}
    members["name"] = _attribute("objectName")
    members["className"] = lambda self: base.__name__
    return type(base.__name__, (base,), members)


def _keep_none() -> None:
    """Let ``None`` outlive what PySide takes of it.

    Functions without a result give away a reference to ``None`` that is not theirs (seen in PySide6 6.12 with
    Python 3.11): after some ten thousand calls the interpreter dies. Python 3.12 does not count ``None``.
    """
    if sys.version_info < (3, 12):
        ctypes.c_ssize_t.from_address(id(None)).value += 1 << 40


def _attribute(name: str) -> property:
    return property(
        lambda self: QtCore.QObject.property(self, name),
        lambda self, value: QtCore.QObject.setProperty(self, name, value),
    )


_keep_none()
_styled = {name: attribute_style(getattr(QtWidgets, name)) for name in WIDGETS}
QWidget = _styled["QWidget"]


class qMRMLWidget(_styled["QWidget"]):
    """Top-level widget that hands the scene on to those that its .ui file connects with it."""

    receivers: tuple[str, ...] = ()

    def setMRMLScene(self, scene: Any) -> None:
        for name in self.receivers:
            self.findChild(QtWidgets.QWidget, name).setMRMLScene(scene)


class qMRMLNodeComboBox(_styled["QComboBox"]):
    """Lists the nodes of ``nodeTypes``, and below them what else its properties offer.

    Properties are as in Slicer where a .ui file says nothing: nodes may be added and removed, None cannot be
    chosen. An action is an item whose data is a key of ``ACTIONS``; to choose it leaves the node as it was.
    Subclasses are left out, as the panels ask for.
    """

    ACTIONS: ClassVar[dict[str, tuple[str, ...]]] = {
        "addEnabled": ("Create new {}", "Create new {} as..."),
        "renameEnabled": ("Rename current {}",),
        "removeEnabled": ("Delete current {}",),
    }
    DEFAULTS: ClassVar[dict[str, bool]] = {"addEnabled": True, "removeEnabled": True}
    currentNodeChanged = Signal("QVariant")
    nodeTypes, showChildNodeTypes = _attribute("nodeTypes"), _attribute("showChildNodeTypes")
    noneEnabled, noneDisplay = _attribute("noneEnabled"), _attribute("noneDisplay")
    addEnabled, removeEnabled = _attribute("addEnabled"), _attribute("removeEnabled")
    renameEnabled = _attribute("renameEnabled")

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._scene: Any = None
        self._tags: list[int] = []
        self._shown: Any = None
        self.currentIndexChanged.connect(self._emit)

    def event(self, happening: Any) -> bool:
        if happening.type() == QtCore.QEvent.Type.DynamicPropertyChange and self._scene is not None:
            self.refill()
        return super().event(happening)

    def setMRMLScene(self, scene: Any) -> None:
        for tag in self._tags:
            self._scene.RemoveObserver(tag)
        self._scene = scene
        events = (scene.NodeAddedEvent, scene.NodeRemovedEvent, scene.EndCloseEvent)
        self._tags = [scene.AddObserver(event, lambda *_: self.refill()) for event in events]
        self.refill()

    def currentNode(self) -> Any:
        node_id = self.itemData(QtWidgets.QComboBox.currentIndex(self))
        return self._scene.GetNodeByID(node_id) if node_id and self._scene else None

    def setCurrentNode(self, node: Any) -> None:
        self.setCurrentIndex(self._place_of(node.GetID() if node is not None else None))

    def refill(self) -> None:
        chosen = self.itemData(QtWidgets.QComboBox.currentIndex(self))
        self.blockSignals(True)
        self.clear()
        if self.noneEnabled:
            self.addItem(self.noneDisplay or "None", None)
        for node in self._nodes():
            self.addItem(node.GetName(), node.GetID())
        for name, actions in self.ACTIONS.items():
            given = self.property(name)
            if self.DEFAULTS.get(name, False) if given is None else given:
                for action in actions:
                    self.addItem(action.format(self._tag_name()), name)
        self.setCurrentIndex(self._place_of(chosen))
        self.blockSignals(False)
        self._emit()

    def _place_of(self, node_id: str | None) -> int:
        index = self.findData(node_id) if node_id else -1
        return index if index >= 0 else 0 if self.noneEnabled else -1

    def _nodes(self) -> list[Any]:
        """The nodes of the wanted kinds, subclasses left out."""
        nodes = []
        for kind in self.nodeTypes or ():
            found = self._scene.GetNodesByClass(kind)
            every = (found.GetItemAsObject(place) for place in range(found.GetNumberOfItems()))
            nodes += [node for node in every if node.GetClassName() == kind]
        return nodes

    def _tag_name(self) -> str:
        kinds = self.nodeTypes or ("",)
        return kinds[0].removeprefix("vtkMRML").removesuffix("Node")

    def _emit(self, *_: Any) -> None:
        node = self.currentNode()
        if node is not self._shown:
            self._shown = node
            self.currentNodeChanged.emit(node)


class ctkPathLineEdit(_styled["QWidget"]):
    """A line with a path; like the real one, it tells no path that is not valid, such as an empty one."""

    currentPathChanged = Signal(str)
    validInputChanged = Signal(bool)

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._line = QtWidgets.QLineEdit()
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._line)
        browse = QtWidgets.QToolButton()
        browse.setText("...")
        layout.addWidget(browse)
        self._valid = False
        self._line.textChanged.connect(self._tell)

    def _tell(self, text: str) -> None:
        before, self._valid = self._valid, bool(text)
        if self._valid != before:
            self.validInputChanged.emit(self._valid)
        if self._valid:
            self.currentPathChanged.emit(text)

    @property
    def currentPath(self) -> str:
        return self._line.text()

    @currentPath.setter
    def currentPath(self, path: str) -> None:
        self._line.setText(path)

    def setCurrentPath(self, path: str) -> None:
        self._line.setText(path)


class ctkCollapsibleButton(_styled["QGroupBox"]):
    """A titled group."""

    collapsed = _attribute("collapsed")

    def event(self, happening: Any) -> bool:
        if happening.type() == QtCore.QEvent.Type.DynamicPropertyChange:
            self.setTitle(self.property("text") or "")
            # closed, it has room for its title alone
            closed = bool(self.property("collapsed"))
            self.setMaximumHeight(self.fontMetrics().height() + 4 if closed else 16777215)
        return super().event(happening)


class ctkSliderWidget(_styled["QWidget"]):
    """A slider with a number, of floating-point values."""

    valueChanged = Signal(float)
    _STEPS = 1000

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self._slider = QtWidgets.QSlider(QtCore.Qt.Orientation.Horizontal)
        self._slider.setRange(0, self._STEPS)
        self._number = QtWidgets.QLabel()
        layout.addWidget(self._slider)
        layout.addWidget(self._number)
        self._slider.valueChanged.connect(self._tell)

    @property
    def value(self) -> float:
        return self._slider.value() / self._STEPS

    def setValue(self, value: float) -> None:
        self._slider.setValue(round(value * self._STEPS))

    def event(self, happening: Any) -> bool:
        if happening.type() == QtCore.QEvent.Type.DynamicPropertyChange:
            given = self.property("value")
            if given is not None and bytes(happening.propertyName()) == b"value":
                self.setValue(given)
        return super().event(happening)

    def _tell(self, _step: int) -> None:
        self._number.setText(f"{self.value:.2f}")
        self.valueChanged.emit(self.value)


class qMRMLSegmentationShow3DButton(_styled["QPushButton"]):
    """Makes the closed surfaces of a segmentation and removes them; the real one has a menu too."""

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._node: Any = None
        self.setCheckable(True)
        self.toggled.connect(self._show)

    def setSegmentationNode(self, node: Any) -> None:
        self._node = node
        self.blockSignals(True)
        self.setChecked(node is not None and node.GetSegmentation().ContainsRepresentation("Closed surface"))
        self.blockSignals(False)

    def _show(self, shown: bool) -> None:
        if self._node is None:
            return
        if shown:
            self._node.CreateClosedSurfaceRepresentation()
        else:
            self._node.RemoveClosedSurfaceRepresentation()


class QFileDialog:
    """The application's file dialogs, whose answer tests put in place; PythonQt gives the path alone."""

    answer = ""

    @classmethod
    def getSaveFileName(cls, parent: Any, title: str, path: str, kinds: str) -> str:
        return cls.answer

    @classmethod
    def getExistingDirectory(cls, parent: Any, title: str) -> str:
        return cls.answer


CUSTOM = {
    cls.__name__: cls
    for cls in (
        qMRMLWidget,
        qMRMLNodeComboBox,
        qMRMLSegmentationShow3DButton,
        ctkPathLineEdit,
        ctkSliderWidget,
        ctkCollapsibleButton,
    )
}


class QUiLoader(QtUiTools.QUiLoader):
    """Loads .ui files with the classes of this file."""

    def load(self, file: Any) -> Any:
        """As in Slicer, a widget gets the scene if the file connects it with the top-level widget."""
        text = bytes(file.readAll()).decode()
        file.seek(0)
        root = ElementTree.fromstring(text)  # noqa: S314 - our own file
        widget = super().load(file)
        widget.receivers = [
            connection.findtext("receiver")
            for connection in root.iter("connection")
            if connection.findtext("slot") == "setMRMLScene(vtkMRMLScene*)"
        ]
        return widget

    def createWidget(self, class_name: str, parent: Any = None, name: str = "") -> Any:
        if (cls := CUSTOM.get(class_name) or _styled.get(class_name)) is None:
            return super().createWidget(class_name, parent, name)
        widget = cls(parent)
        widget.setObjectName(name)
        return widget


def _qt_name(name: str) -> Any:
    """A class that the panels use as it is; PySide6 makes its classes when they are first asked for."""
    for module in (QtCore, QtGui, QtWidgets):
        if hasattr(module, name):
            return getattr(module, name)
    raise AttributeError(f"module 'qt' has no attribute {name!r}")


def modules() -> dict[str, ModuleType]:
    """The modules ``qt`` and ``ctk``."""
    qt = ModuleType("qt")
    vars(qt).update(_styled, QUiLoader=QUiLoader, QFileDialog=QFileDialog, __getattr__=_qt_name)
    ctk = ModuleType("ctk")
    vars(ctk).update({name: cls for name, cls in CUSTOM.items() if name.startswith("ctk")})
    return {"qt": qt, "ctk": ctk}


def application() -> QtWidgets.QApplication:
    """The one application object that widgets need."""
    return QtWidgets.QApplication.instance() or QtWidgets.QApplication([])


def keep_settings_in(folder: str) -> None:
    """Let ``qt.QSettings()`` read and write files in a folder, not the settings of whoever runs the tests."""
    application().setOrganizationName("Slicer stand-in")
    application().setApplicationName("Slicer stand-in")
    QtCore.QSettings.setDefaultFormat(QtCore.QSettings.Format.IniFormat)
    QtCore.QSettings.setPath(QtCore.QSettings.Format.IniFormat, QtCore.QSettings.Scope.UserScope, folder)
