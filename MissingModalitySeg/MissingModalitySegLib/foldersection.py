"""The section Many patients in a folder: all of them one after another, beside the scene."""

from slicer.i18n import tr as _

from MissingModalityPanelLib.progresstexts import patientText
from MissingModalityPanelLib.section import Section
from MissingModalityPanelLib.slowdisks import isFolder
from MissingModalityPanelLib.widgets import setEnabledWithReason

MOST_LINES = 5
"""Of failed patients, and of skipped files, in the panel: the results' folder has the others."""


class FolderParameters:
    """Empty paths are not chosen yet."""

    folderDataPath: str = ""
    folderOutputPath: str = ""


class FolderSection(Section):
    """Progress, Cancel and status are those of the section with Apply: only one of both runs at a time."""

    name = "folder"
    Parameters = FolderParameters
    paths = ("folderDataPath", "folderOutputPath")

    def __init__(self, panel):
        super().__init__(panel)
        self.ui.folderButton.clicked.connect(self.onSegmentFolder)

    def onSegmentFolder(self):
        """Segment all patients of the folder; nothing comes into the scene."""
        state = self.state
        self.panel.run.start(
            lambda: self.logic.startFolder(
                state.folderDataPath,
                state.folderOutputPath,
                state.studentPath or None,
                state.device,
                self._onProgress,
                self._onFinished,
                state.rawSteps(),
            ),
            isOfScene=False,
        )

    def update(self):
        state, model = self.state, self.panel.model
        setEnabledWithReason(
            self.ui.folderButton,
            _(
                "Segment every patient from the sequences that the folder has of them, with the steps chosen "
                "under Raw input; an own brain mask is not used"
            ),
            {
                _("A segmentation is running."): self.panel.run.isRunning,
                model.problem: bool(model.problem),
                _("Choose the folder of patients."): not isFolder(state.folderDataPath),
                _("Choose a folder for the results."): not state.folderOutputPath,
            },
        )

    def _onProgress(self, event):
        if event.message:  # the last event, when all are done, names no patient
            self.panel.run.showStep(event, patientText(event))

    def _onFinished(self, job):
        # a canceled job has an error too, the word "Canceled."; one with patients that failed has told which
        if job.error and not job.canceled and job.result is None:
            self.panel.run.fail(job.error)
        else:
            self.panel.run.finish(outcomeText(job))


def outcomeText(job):
    """The end of a job that was canceled or has succeeded, with the patients that failed."""
    if job.canceled:
        return _("Canceled. Patients done so far are kept; starting again goes on after them.")
    text = _("{done} segmented, {kept} done before, {failed} failed. Volumes of all: {table}")
    counts = {name: len(job.result[name]) for name in ("kept", "failed")}
    done = text.format(done=len(job.result["segmented"]), table=job.result["table"], **counts)
    failed = [f"{name}: {reason}" for name, reason in job.result["failed"].items()]
    skipped = [f"{entry['path']}: {entry['reason']}" for entry in job.result["skipped"]]
    return "\n".join([done, *_shortList(failed, _("Failed")), *_shortList(skipped, _("Files skipped"))])


def _shortList(lines, what):
    """A heading with the number of lines, and the first of them."""
    if not lines:
        return []
    more = [_("... {count} more").format(count=len(lines) - MOST_LINES)] if len(lines) > MOST_LINES else []
    return [f"{what}: {len(lines)}", *lines[:MOST_LINES], *more]
