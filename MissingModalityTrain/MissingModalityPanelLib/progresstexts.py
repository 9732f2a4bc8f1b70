"""Progress events of child processes in words."""

from slicer.i18n import tr as _

from MissingModalityLib.core.progress import ProgressStage


def jobText(event):
    """What a job on many cases is doing: stage, steps, case and numbers."""
    stages = {
        ProgressStage.PREPARE: _("Preparing the cases"),
        ProgressStage.CUT_TUMORS: _("Cutting out the tumors"),
        ProgressStage.WRITE: _("Writing"),
        ProgressStage.EVALUATE: _("Evaluating"),
    }
    done = f"{stages.get(event.stage, event.stage)} {event.step}/{event.total}"
    numbers = [f"{name} {value:.4g}" for name, value in event.values.items()]
    return ", ".join(filter(None, [done, event.message, *numbers]))


def segmentationText(event):
    """What the segmentation of one patient is doing."""
    stages = {
        ProgressStage.READ: _("Reading the volumes"),
        ProgressStage.REGISTER: _("Moving the volumes onto the first one"),
        ProgressStage.STRIP: _("Finding the brain"),
        ProgressStage.CHECK: _("Checking which sequence each volume is"),
        ProgressStage.PREPARE: _("Bringing the volumes onto one grid"),
        ProgressStage.SEGMENT: _("Segmenting"),
        ProgressStage.WRITE: _("Writing the result"),
    }
    return f"{stages.get(event.stage, event.stage)}..."


def patientText(event):
    """Which patient of a folder is being segmented."""
    text = _("Patient {number} of {total}: {name}...")
    return text.format(number=event.step + 1, total=event.total, name=event.message)
