"""Slicer's ``parameterNodeWrapper`` in small, as unkind as the real one.

Every field of a wrapper remembers its value and reads it anew when the node tells that it was modified. VTK
calls the observer that was added first last, so other observers still get the old value of the first field.
Names in the node are Slicer's: an Enum is stored by its name, one of several kinds of nodes under the field's
name, a dot and a number. Values of the wrong type or out of range are refused when they are written, not when
a scene brings them; a name that an Enum does not have raises when it is read.
"""

from __future__ import annotations

import typing
import weakref
from collections.abc import Callable
from enum import Enum
from typing import Any

import slicer
import slicer.util
import vtk

import qt_standin

NUMBER_LIMITS = (-(2**31), 2**31 - 1)
"""Of a spin box whose field has no range; what its .ui file says is lost."""


class WithinRange:
    """Annotation of a number: what a widget lets people choose and a script may write."""

    def __init__(self, minimum: float, maximum: float) -> None:
        self.minimum, self.maximum = minimum, maximum

    def validate(self, value: float) -> None:
        if not self.minimum <= value <= self.maximum:
            raise ValueError(f"{value} is not within {self.minimum} and {self.maximum}")


class Choice:
    """Annotation of a text or number: the values that may be written."""

    def __init__(self, choices: Any) -> None:
        self.choices = choices

    def validate(self, value: Any) -> None:
        if value not in self.choices:
            raise ValueError(f"{value} is none of {self.choices}")


class Kind(typing.NamedTuple):
    """How one kind of field lies in a node.

    Attributes:
        default: where neither the class nor the scene has a value.
        check: raises where a value must not be written.
        read, write: with node and name; read raises where the node's text means nothing.
        is_in: whether the node has the field.
    """

    default: Any
    check: Callable[[Any], None]
    read: Callable[[Any, str], Any]
    write: Callable[[Any, str, Any], None]
    is_in: Callable[[Any, str], bool]


def _text_kind(
    kind: type, extras: tuple[Any, ...], default: Any, parse: Callable[[str], Any], form: Callable[[Any], str]
) -> Kind:
    def check(value: Any) -> None:
        allowed = (int, float) if kind is float else kind
        if not isinstance(value, allowed):
            raise TypeError(f"{value!r} is no {kind.__name__}")
        for extra in extras:
            extra.validate(value)

    return Kind(
        default,
        check,
        lambda node, name: parse(node.GetParameter(name)),
        lambda node, name, value: node.SetParameter(name, form(value)),
        lambda node, name: node.HasParameter(name),
    )


def _node_kind(kind: type) -> Kind:
    def check(node: Any) -> None:
        if node is not None and not isinstance(node, kind):
            raise TypeError(f"{node.GetName()} is no {kind.__name__}")

    def write(owner: Any, name: str, node: Any) -> None:
        owner.SetParameter(name, "")
        owner.SetNodeReferenceID(name, node.GetID() if node is not None else None)

    return Kind(
        None,
        check,
        lambda owner, name: owner.GetNodeReference(name),
        write,
        lambda owner, name: owner.HasParameter(name),
    )


def _union_kind(kinds: tuple[type, ...]) -> Kind:
    """One of several kinds of nodes, or None, which has a number of its own."""
    parts = [_node_kind(kind) for kind in kinds if kind is not type(None)]

    def part_of(node: Any) -> int:
        if node is None:
            return len(parts)
        return next(number for number, kind in enumerate(kinds) if isinstance(node, kind))

    def write(owner: Any, name: str, node: Any) -> None:
        chosen = part_of(node)
        with slicer.util.NodeModify(owner):
            for number in range(len(parts) + 1):
                owner.UnsetParameter(f"{name}.{number}")
                owner.RemoveNodeReferenceIDs(f"{name}.{number}")
            if node is None:
                owner.SetParameter(f"{name}.{chosen}", "True")
            else:
                parts[chosen].write(owner, f"{name}.{chosen}", node)

    def read(owner: Any, name: str) -> Any:
        found = (
            part.read(owner, f"{name}.{number}")
            for number, part in enumerate(parts)
            if owner.HasParameter(f"{name}.{number}")
        )
        return next(found, None)

    def is_in(owner: Any, name: str) -> bool:
        return any(owner.HasParameter(f"{name}.{number}") for number in range(len(parts) + 1))

    return Kind(None, part_of, read, write, is_in)


def _kind(hint: Any) -> Kind:
    extras = getattr(hint, "__metadata__", ())
    kind = typing.get_args(hint)[0] if extras else hint
    if typing.get_origin(kind) is typing.Union:
        return _union_kind(typing.get_args(kind))
    if issubclass(kind, slicer.vtkMRMLNode):
        return _node_kind(kind)
    if issubclass(kind, Enum):
        return _text_kind(kind, extras, next(iter(kind)), kind.__getitem__, lambda value: value.name)
    if kind is bool:
        return _text_kind(kind, extras, False, "True".__eq__, str)
    return _text_kind(kind, extras, kind(), kind, str)


class _Field:
    """The value of one field of one wrapper, remembered between two changes of the node."""

    def __init__(self, node: Any, name: str, kind: Kind, default: Any) -> None:
        self._node, self._name, self._kind = node, name, kind
        self._writing = False
        if not kind.is_in(node, name):
            kind.write(node, name, default)
        self.value = kind.read(node, name)
        # as in Slicer a wrapper that nobody holds goes, and its observers with it
        known = weakref.ref(self)
        self._tag = node.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: known().refresh())

    def __del__(self) -> None:
        if hasattr(self, "_tag"):
            self._node.RemoveObserver(self._tag)

    def refresh(self) -> None:
        if not self._writing:
            self.value = self._kind.read(self._node, self._name)

    def store(self, value: Any) -> None:
        self._kind.check(value)
        self._writing = True
        try:
            with slicer.util.NodeModify(self._node):
                self._kind.write(self._node, self._name, value)
                self.value = self._kind.read(self._node, self._name)
        finally:
            self._writing = False


class _Wrapper:
    """What every class has that ``parameterNodeWrapper`` made."""

    def __init__(self, node: Any) -> None:
        self.parameterNode = node
        self._links: dict[int, list[_Link]] = {}
        self._showing = False
        self._fields = {name: _Field(node, name, *made) for name, made in self._kinds.items()}

    def StartModify(self) -> int:
        return self.parameterNode.StartModify()

    def EndModify(self, before: int) -> int:
        return self.parameterNode.EndModify(before)

    def AddObserver(self, event: Any, callback: Any, priority: float = 0.0) -> int:
        return self.parameterNode.AddObserver(event, callback, priority)

    def RemoveObserver(self, tag: int) -> None:
        self.parameterNode.RemoveObserver(tag)

    def connectGui(self, ui: Any) -> int:
        """Tie all widgets with the property SlicerParameterName; the tag is for ``disconnectGui``."""
        named = {widget.property("SlicerParameterName"): widget for widget in vars(ui).values()}
        links = [_Link(self, name, widget) for name, widget in named.items() if name]
        tag = self.AddObserver(vtk.vtkCommand.ModifiedEvent, self._show)
        self._links[tag] = links
        return tag

    def disconnectGui(self, tag: int) -> None:
        for link in self._links.pop(tag, ()):
            link.signal.disconnect(link.store)
        self.RemoveObserver(tag)

    def _show(self, *_: Any) -> None:
        if self._showing:
            return
        self._showing = True
        try:
            for links in self._links.values():
                for link in links:
                    link.set(getattr(self, link.name))
        finally:
            self._showing = False


def parameterNodeWrapper(cls: type) -> type:
    """Class of typed fields -> properties kept in a ``vtkMRMLScriptedModuleNode``, with widgets tied to them.

    Knows the kinds of field that the modules use: nodes (as references), one of several kinds of nodes, bool,
    int, float, str and Enum.
    """
    hints = typing.get_type_hints(cls, include_extras=True)
    kinds = {name: _kind(hint) for name, hint in hints.items()}
    cls._kinds = {name: (kind, getattr(cls, name, kind.default)) for name, kind in kinds.items()}
    cls._hints = hints
    for name in hints:
        setattr(cls, name, _property(name))
    for name, member in vars(_Wrapper).items():
        if callable(member):
            setattr(cls, name, member)
    return cls


def _property(name: str) -> property:
    return property(
        lambda self: self._fields[name].value, lambda self, value: self._fields[name].store(value)
    )


class _Link:
    """One widget and the field that it shows."""

    def __init__(self, parameters: Any, name: str, widget: Any) -> None:
        self.parameters, self.name, self.widget = parameters, name, widget
        hint = parameters._hints[name]
        extras = getattr(hint, "__metadata__", ())
        kind = typing.get_args(hint)[0] if extras else hint
        if isinstance(widget, qt_standin.qMRMLNodeComboBox):
            # as in Slicer the annotation's; what the .ui file says is lost
            nodes = [one for one in (typing.get_args(kind) or (kind,)) if one is not type(None)]
            widget.nodeTypes = [one.__name__ for one in nodes]
            self.signal = widget.currentNodeChanged
            self.get, self.set = widget.currentNode, widget.setCurrentNode
        elif kind in (int, float):
            limits = [(one.minimum, one.maximum) for one in extras if isinstance(one, WithinRange)]
            widget.setRange(*(limits or [NUMBER_LIMITS])[0])
            self.signal, self.get, self.set = widget.valueChanged, lambda: widget.value, widget.setValue
        elif kind is bool:
            self.signal, self.get, self.set = widget.toggled, lambda: widget.checked, widget.setChecked
        else:
            raise RuntimeError(f"{name}: no widget of {type(widget).__name__} shows {kind}")
        self.set(getattr(parameters, name))
        self.signal.connect(self.store)

    def store(self, *_: Any) -> None:
        with slicer.util.NodeModify(self.parameters):
            if not self.parameters._showing:
                setattr(self.parameters, self.name, self.get())
