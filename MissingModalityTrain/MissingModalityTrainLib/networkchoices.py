"""Networks and presets to choose from, those of other packages among them, and what to call them."""

from slicer.i18n import tr as _

from MissingModalityLib.training.presets import PRESETS


def networkLabels():
    """Texts by network; one of another package goes by its name, since to ask it would import it."""
    labels = {
        "segresnet": _("SegResNet (light)"),
        "rfnet": _("RFNet (of AEM+KD; needs a GPU)"),
        "mstkdnet": _("MST-KDNet (needs a GPU)"),
        "adamm": _("AdaMM (needs a GPU)"),
    }
    return {name: labels.get(name, name) for name in PRESETS}


def presetLabels(network):
    """Texts by preset of a network, the shortest training first; none for a network that is not there."""
    labels = {
        "quick": _("Quick (a trial of minutes)"),
        "light": _("Light (a computer without GPU for hours or days)"),
        "paper": _("Paper (a GPU for days)"),
    }
    names = PRESETS.get(network, ())
    known = {name: label for name, label in labels.items() if name in names}
    return {**known, **{name: name for name in names if name not in known}}


def readEnumNames(state):
    """Read network and preset of older scenes, which kept them as names of enumerations: SEGRESNET, QUICK."""
    for field in ("network", "preset"):
        value = getattr(state, field)
        if value.isupper() and value not in PRESETS:
            setattr(state, field, value.lower())
