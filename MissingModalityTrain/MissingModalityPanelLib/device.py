"""The choice of the device that a network runs on."""

from enum import Enum

from slicer.i18n import tr as _


class Device(Enum):
    """Values are those of ``--device`` on the command line; names are what a scene stores."""

    AUTO = "auto"
    CPU = "cpu"
    GPU = "cuda"

    def label(self):
        return {"auto": _("Automatic"), "cpu": _("CPU"), "cuda": _("GPU (CUDA)")}[self.value]
