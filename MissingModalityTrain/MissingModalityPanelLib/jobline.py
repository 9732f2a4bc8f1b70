"""Progress, Cancel and a line of text for the one job that a section may have."""

from slicer.i18n import tr as _

from MissingModalityPanelLib.progresstexts import jobText
from MissingModalityPanelLib.widgets import setStatus


class JobLine:
    """Runs commands of ``missing-modality`` one at a time, by the logic's ``runCommand``."""

    def __init__(self, section):
        """Use the widgets ``<name>ProgressBar``, ``<name>CancelButton`` and ``<name>StatusLabel``."""
        self._section = section
        self._bar = getattr(section.ui, f"{section.name}ProgressBar")
        self._cancelButton = getattr(section.ui, f"{section.name}CancelButton")
        self._label = getattr(section.ui, f"{section.name}StatusLabel")
        self._cancelButton.clicked.connect(self.cancel)
        self._job = None
        self._onResult = self._canceledText = None

    @property
    def isRunning(self):
        return self._job is not None

    def start(self, arguments, doing, onResult, canceled=None):
        """Run a command.

        Args:
            arguments: of the command line.
            doing: text to show until the first progress event.
            onResult: called with what the command reports when it has succeeded; returns the text to show.
            canceled: text to show when the user has ended it.
        """
        self._onResult, self._canceledText = onResult, canceled or _("Canceled.")
        self.setStatus(doing)
        self._bar.setMaximum(0)  # from 0 to 0, Qt's bar shows that something runs and not how far it is
        self._job = self._section.logic.runCommand(arguments, self._onProgress, self._onFinished)
        self._section.panel.updateGui()

    def cancel(self, *_arguments):
        """End the job; nothing happens where there is none."""
        if self._job is not None:
            self._job.cancel()

    def setStatus(self, text):
        """Show a text, or none."""
        setStatus(self._label, text)

    def fail(self, message):
        """Show what went wrong, in a window too."""
        self.setStatus(message)
        self._section.panel.showError(message)

    def update(self):
        """Show progress and Cancel while there is a job."""
        self._bar.setVisible(self.isRunning)
        self._cancelButton.setVisible(self.isRunning)

    def _onProgress(self, event):
        self._bar.setMaximum(event.total)
        self._bar.setValue(event.step)
        self.setStatus(jobText(event))

    def _onFinished(self, job):
        # first: a window with a message turns the event loop, in which the job would still seem to run
        self._job = None
        try:
            if job.canceled:
                self.setStatus(self._canceledText)
            elif job.error:
                self.fail(job.error)
            else:
                self.setStatus(self._onResult(job.result))
        except Exception as error:  # of onResult; one that leaves this slot would reach nobody
            self.fail(str(error))
        finally:
            self._section.panel.updateGui()
