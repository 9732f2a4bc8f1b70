"""Networks and presets to choose from, networks of other packages among them, and what to call them."""

from slicer.i18n import tr as _

from MissingModalityLib.networks.registry import NETWORKS
from MissingModalityLib.training.presets import PRESET_NAMES


def networkLabels():
    """Texts by network. One of another package goes by its name: to ask for its title would import it."""
    labels = {
        "segresnet": _("SegResNet (light)"),
        "gatedfusion": _("Gated fusion (light)"),
        "dynunet": _("U-Net of nnU-Net (MONAI's DynUNet; needs a GPU)"),
        "rfnet": _("RFNet (of AEM+KD; needs a GPU)"),
        "m2ftrans": _("M2FTrans (needs a GPU)"),
        "m3ae": _("M3AE (needs a GPU)"),
        "mmformer": _("mmFormer (needs a GPU)"),
        "rahved": _("RA-HVED (needs a GPU)"),
        "robustseg": _("RobustSeg (needs a GPU)"),
        "smunet": _("SMU-Net (needs a GPU)"),
        "acn": _("ACN (needs a GPU)"),
        "uhemis": _("U-HeMIS (needs a GPU)"),
        "uhved": _("U-HVED (needs a GPU)"),
        "mstkdnet": _("MST-KDNet (needs a GPU)"),
        "adamm": _("AdaMM (needs a GPU)"),
    }
    ours = {name: label for name, label in labels.items() if name in NETWORKS}
    return {**ours, **{name: name for name in NETWORKS if name not in ours}}


def presetLabels():
    """Texts by preset, the shortest training first."""
    labels = {
        "quick": _("Quick (a trial of minutes)"),
        "light": _("Light (a computer without GPU for hours or days)"),
        "paper": _("Paper (a GPU for days)"),
    }
    return {name: labels.get(name, name) for name in reversed(PRESET_NAMES)}


def readOldName(state):
    """Read the network of older scenes, which kept it as the name of an enumeration: SEGRESNET."""
    if state.network not in NETWORKS and state.network.lower() in NETWORKS:
        state.network = state.network.lower()
