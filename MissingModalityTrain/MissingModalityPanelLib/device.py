"""The choice of the device that a network runs on, with the values of ``--device`` on the command line."""

from typing import Annotated

from slicer.i18n import tr as _
from slicer.parameterNodeWrapper import Choice

DEVICES = ("auto", "cpu", "cuda")

DeviceChoice = Annotated[str, Choice(DEVICES)]
"""Kind of a parameter. A text, since a scene may name a device that this version does not know."""


def deviceLabels():
    """Texts to show by device."""
    return {"auto": _("Automatic"), "cpu": _("CPU"), "cuda": _("GPU (CUDA)")}
