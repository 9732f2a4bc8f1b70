"""Progress events of child processes in words."""

from slicer.i18n import tr as _

from MissingModalityLib.core.progress import ProgressStage

MOST_WARNINGS = 8
"""Lines of a status text, which takes its room from the rest of the panel."""


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
        ProgressStage.EVEN_OUT: _("Evening out the brightness"),
        ProgressStage.PREPARE: _("Bringing the volumes onto one grid"),
        ProgressStage.SEGMENT: _("Segmenting"),
        ProgressStage.WRITE: _("Writing the result"),
    }
    return f"{stages.get(event.stage, event.stage)}..."


def patientText(event):
    """Which patient of a folder is being segmented."""
    text = _("Patient {number} of {total}: {name}...")
    return text.format(number=event.step + 1, total=event.total, name=event.message)


def warningsText(warnings):
    """What a command has to tell of the cases' volumes and labels, a line each; empty where that is nothing.

    Args:
        warnings: ``case``, empty for one about all of them, and ``warning``, as reports have them.
    """
    about = [
        f"{entry['case']}: {entry['warning']}" if entry["case"] else entry["warning"] for entry in warnings
    ]
    lines = [_("Warning: {text}").format(text=text) for text in about]
    # those about all cases come last, and are the ones to keep
    more = len(lines) - MOST_WARNINGS
    if more <= 0:
        return "\n".join(lines)
    return "\n".join([_("Warning: {count} more in the report.").format(count=more), *lines[more:]])


def withWarnings(text, warnings):
    """A text with the warnings of a command below it."""
    return "\n".join(filter(None, [text, warningsText(warnings)]))
