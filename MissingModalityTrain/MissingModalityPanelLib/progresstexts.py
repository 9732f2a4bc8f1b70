"""Progress events of child processes in words."""

from slicer.i18n import tr as _


def jobText(event):
    """What a job on many cases is doing: stage, steps, case and numbers."""
    stages = {
        "prepare": _("Preparing the cases"),
        "tumors": _("Cutting out the tumors"),
        "write": _("Writing"),
        "Evaluating": _("Evaluating"),
    }
    done = f"{stages.get(event.stage, event.stage)} {event.step}/{event.total}"
    numbers = [f"{name} {value:.4g}" for name, value in event.values.items()]
    return ", ".join(filter(None, [done, event.message, *numbers]))


def segmentationText(event):
    """What the segmentation of one patient is doing."""
    stages = {
        "read": _("Reading the volumes"),
        "prepare": _("Bringing the volumes onto one grid"),
        "segment": _("Segmenting"),
        "write": _("Writing the result"),
    }
    return f"{stages.get(event.stage, event.stage)}..."


def patientText(event):
    """Which patient of a folder is being segmented."""
    text = _("Patient {number} of {total}: {name}...")
    return text.format(number=event.step + 1, total=event.total, name=event.message)
