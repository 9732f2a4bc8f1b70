"""Names of segments for people, marked for translation, which only literal texts can be."""

from slicer.i18n import tr as _


def segmentName(key):
    """Name of a class or region: NCR, ED, ET, RC, WT or TC."""
    return {
        "NCR": _("Necrotic/non-enhancing tumor core"),
        "ED": _("Edema"),
        "ET": _("Enhancing tumor"),
        "RC": _("Resection cavity"),
        "WT": _("Whole tumor"),
        "TC": _("Tumor core"),
    }[key]
