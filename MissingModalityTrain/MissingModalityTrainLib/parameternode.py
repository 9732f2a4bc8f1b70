"""What can be chosen on the training panel, kept in the scene."""

from enum import Enum
from typing import Annotated

from slicer.i18n import tr as _
from slicer.parameterNodeWrapper import WithinRange, parameterNodeWrapper

from MissingModalityLib.core.modalities import Modality
from MissingModalityLib.training.recipes import RECIPES

FIRST_RECIPE = next(iter(RECIPES))


class Network(Enum):
    """What is trained; values as on the command line."""

    SEGRESNET = "segresnet"
    RFNET = "rfnet"
    MSTKDNET = "mstkdnet"
    ADAMM = "adamm"

    def label(self):
        return {
            "segresnet": _("SegResNet (light)"),
            "rfnet": _("RFNet (of AEM+KD; needs a GPU)"),
            "mstkdnet": _("MST-KDNet (needs a GPU)"),
            "adamm": _("AdaMM (needs a GPU)"),
        }[self.value]


class Preset(Enum):
    """How long to train; values as on the command line."""

    QUICK = "quick"
    LIGHT = "light"
    PAPER = "paper"

    def label(self):
        return {
            "quick": _("Quick (a trial of minutes)"),
            "light": _("Light (a computer without GPU for hours or days)"),
            "paper": _("Paper (a GPU for days)"),
        }[self.value]


class Device(Enum):
    """Where to train; values as on the command line."""

    AUTO = "auto"
    CPU = "cpu"
    GPU = "cuda"

    def label(self):
        return {"auto": _("Automatic"), "cpu": _("CPU"), "cuda": _("GPU (CUDA)")}[self.value]


class Sequence(Enum):
    """Which sequence a preview shows; values are names of ``Modality``."""

    FLAIR = "FLAIR"
    T1CE = "T1CE"
    T1 = "T1"
    T2 = "T2"

    def label(self):
        return Modality[self.value].title


class Difference(Enum):
    """What a tumor brings along; values as the option of the synthesis."""

    ABSOLUTE = "absolute"
    SIGNED = "signed"
    NONE = "none"

    def label(self):
        return {
            "absolute": _("Absolute (as in the paper)"),
            "signed": _("Signed (as in its public code)"),
            "none": _("None: the tumor's own intensities"),
        }[self.value]


class Placement(Enum):
    """Where a tumor goes; values as the option of the synthesis."""

    ALIGNED = "aligned"
    RANDOM = "random"

    def label(self):
        return {"aligned": _("Where the donor has it"), "random": _("Anywhere in the brain")}[self.value]


@parameterNodeWrapper
class MissingModalityTrainParameterNode:
    """State of the panel; empty texts are not chosen yet.

    Ranges stand here, since tying a spin box to a parameter overwrites those of the .ui file.
    """

    dataPath: str = ""
    convention: str = ""
    validationPercent: Annotated[int, WithinRange(0, 90)] = 10
    seed: Annotated[int, WithinRange(0, 999999)] = 0
    recipient: str = ""
    donor: str = ""
    modality: Sequence = Sequence.FLAIR
    difference: Difference = Difference.ABSOLUTE
    placement: Placement = Placement.ALIGNED
    clip: bool = False
    blend: Annotated[float, WithinRange(0, 10)] = 0.0
    factor: Annotated[int, WithinRange(2, 32)] = 4
    synthesisPath: str = ""
    recipe: str = FIRST_RECIPE
    network: Network = Network.SEGRESNET
    preset: Preset = Preset.QUICK
    stages: str = ""
    device: Device = Device.AUTO
    runPath: str = ""
    studentPath: str = ""
    evaluationPath: str = ""

    def synthesisOptions(self):
        """What differs from the paper's options, as texts by name."""
        chosen = {
            "difference": (self.difference.value, "absolute"),
            "placement": (self.placement.value, "aligned"),
            "clip_to_brain": (str(self.clip).lower(), "false"),
            "feather_mm": (f"{self.blend:g}", "0"),
        }
        return {name: value for name, (value, default) in chosen.items() if value != default}
