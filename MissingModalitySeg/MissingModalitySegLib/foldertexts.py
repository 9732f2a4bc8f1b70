"""What the panel says about the segmentation of a whole folder."""

from slicer.i18n import tr as _

MOST_LINES = 5


def progressText(event):
    """Which patient is being segmented."""
    text = _("Patient {number} of {total}: {name}...")
    return text.format(number=event.step + 1, total=event.total, name=event.message)


def outcomeText(job):
    """How a job ended that was canceled or has succeeded, patients that failed included."""
    if job.cancelled:
        return _("Canceled. Patients done so far are kept; starting again goes on after them.")
    text = _("{done} segmented, {kept} done before, {failed} failed. Volumes of all: {table}")
    counts = {name: len(job.result[name]) for name in ("kept", "failed")}
    done = text.format(done=len(job.result["segmented"]), table=job.result["table"], **counts)
    failed = [f"{name}: {reason}" for name, reason in job.result["failed"].items()]
    skipped = [f"{entry['path']}: {entry['reason']}" for entry in job.result["skipped"]]
    return "\n".join([done, *_first(failed, _("failed")), *_first(skipped, _("files skipped"))])


def _first(lines, what):
    """As many as one can read, and how many there are in all."""
    if not lines:
        return []
    more = [_("... {count} more").format(count=len(lines) - MOST_LINES)] if len(lines) > MOST_LINES else []
    return [f"{len(lines)} {what}:", *lines[:MOST_LINES], *more]
