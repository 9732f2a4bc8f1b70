"""The parameter node of a panel, put together from the parameters of its sections."""

import logging
import typing

from slicer.i18n import tr as _
from slicer.parameterNodeWrapper import Choice, WithinRange, parameterNodeWrapper
from slicer.util import NodeModify

OLD_NAMES = {"gpu": "cuda"}
"""What scenes of earlier versions have in the place of today's texts, in small letters."""


class FirstParameter:
    """Comes first in every parameter node, and no widget shows it.

    Slicer's wrapper remembers the value of each parameter and reads it anew in an observer of its own, and
    VTK calls the observer that was added first last: widgets would show the first parameter as it was before.
    """

    first: bool = False


def makeParameterNodeClass(name, sections):
    """A class of Slicer's ``parameterNodeWrapper`` with the parameters of all sections, and their methods.

    Slicer's own ``parameterPack`` is not used, for two of its properties in Slicer 5.12: it takes a pack for
    complete where its first member is in the scene, so that a scene saved before a section got one more
    parameter could not be read; and it stores members as ``pack.member``, so that no scene saved before there
    were packs would bring its choices back. Side by side, each parameter has its default, and its old name.

    Args:
        name: of the class.
        sections: subclasses of ``Section``; the attribute ``Parameters`` of each is a class whose annotated
            attributes are the section's parameters, with defaults as values.

    Raises:
        TypeError: two sections have a parameter of the same name.
    """
    bases = tuple(section.Parameters for section in sections if section.Parameters is not None)
    owners = {}
    for base in bases:
        for parameter in base.__annotations__:
            if parameter in owners:
                raise TypeError(f"{owners[parameter]} and {base.__name__} both have a parameter {parameter}.")
            owners[parameter] = base.__name__
    # the wrapper reads annotations of bases too, those of the last base first; methods such as inputs() come
    # along
    return parameterNodeWrapper(type(name, (*bases, FirstParameter), {}))


def readParameterNode(wrapper, node):
    """A wrapper of a node, in which everything can be read.

    Args:
        wrapper: class made by :func:`makeParameterNodeClass`.
        node: vtkMRMLScriptedModuleNode, of a scene that any version may have saved.

    Returns:
        The wrapper; its attribute ``replaced`` has a sentence for each value that this version does not know
        and that its default has replaced in the node.
    """
    hints = typing.get_type_hints(wrapper, include_extras=True)
    with NodeModify(node):
        replaced = [_mended(wrapper, node, name, hint) for name, hint in hints.items()]
    wrapped = wrapper(node)
    wrapped.replaced = [sentence for sentence in replaced if sentence]
    for sentence in wrapped.replaced:
        logging.warning(sentence)
    return wrapped


def connectGui(wrapped, ui):
    """Tie widgets to parameters.

    Slicer 5.10 leaves an observer of the node behind when they are untied. VTK would call it after
    Python's garbage collection has emptied it, at the next change of the node, and Slicer would crash.

    Args:
        wrapped: what :func:`readParameterNode` returns.
        ui: widgets by name; those with the property SlicerParameterName are tied.

    Returns:
        A function without arguments that unties them.
    """
    node, observers = wrapped.parameterNode, []

    def addObserver(*arguments):
        observers.append(node.AddObserver(*arguments))
        return observers[-1]

    wrapped.AddObserver = addObserver  # in the place of the class's, by which Slicer's wrapper observes
    tag = wrapped.connectGui(ui)
    del wrapped.AddObserver

    def disconnect():
        wrapped.disconnectGui(tag)
        for observer in observers:
            node.RemoveObserver(observer)

    return disconnect


def _mended(wrapper, node, name, hint):
    """Replace a parameter that cannot be read; returns a sentence about it, or nothing."""
    text = node.GetParameter(name)
    kind = typing.get_args(hint)[0] if hasattr(hint, "__metadata__") else hint
    if not text or kind not in (int, float, str):
        return ""
    known = _known(text, kind, getattr(hint, "__metadata__", ()))
    if known is None:
        default = _defaultOf(wrapper, name)
        node.SetParameter(name, str(default))
        return _(
            "The scene has '{text}' for '{parameter}', which this version does not know: '{default}' is used."
        ).format(text=text, parameter=name, default=default)
    if known != text:
        node.SetParameter(name, known)
    return ""


def _known(text, kind, extras):
    """The text as this version writes it; None where it does not know it."""
    try:
        value = kind(text)
    except ValueError:
        return None
    for extra in extras:
        if isinstance(extra, WithinRange) and not extra.minimum <= value <= extra.maximum:
            return None
        if isinstance(extra, Choice) and value not in extra.choices:
            old = text.lower()
            old = OLD_NAMES.get(old, old)
            return old if old in extra.choices else None
    return text


def _defaultOf(wrapper, name):
    """The value in the class that declares a parameter; the wrapper has put a property in its place."""
    return next(vars(base)[name] for base in wrapper.__mro__[1:] if name in vars(base))
