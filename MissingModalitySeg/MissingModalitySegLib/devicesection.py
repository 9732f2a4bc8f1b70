"""The section Device: where the network runs, found out by a process of its own."""

from slicer.i18n import tr as _

from MissingModalityLib.runtime.jobs import Job
from MissingModalityPanelLib.dependencies import isTorchInstalled
from MissingModalityPanelLib.device import DEVICES, DeviceChoice, deviceLabels
from MissingModalityPanelLib.section import Section
from MissingModalityPanelLib.widgets import makeTimer, setStatus

POLL_MILLISECONDS = 100  # short beside the seconds that PyTorch takes to load


class DeviceParameters:
    """Where the network runs; the folder of patients uses the same."""

    device: DeviceChoice = DEVICES[0]


class DeviceSection(Section):
    """Says what is behind the chosen entry and how long a patient takes there.

    To import PyTorch takes seconds, which would freeze the panel, so a child process looks for devices; once
    for each device and model.
    """

    name = "device"
    Parameters = DeviceParameters
    choices = ("device",)

    def __init__(self, panel):
        super().__init__(panel)
        self.offer("device", deviceLabels())
        self._job = None
        self._asked = None
        self._known = {}
        self._timer = makeTimer(POLL_MILLISECONDS, self._poll)

    def update(self):
        # Beside a run both would be slower and the estimate wrong; nobody sees the answer of a hidden panel.
        if self.panel.run.isRunning or self.panel.model.problem or not self.panel.isShown:
            self._forget()
        else:
            self._ask(self.state.device, self.panel.model.path)

    def exit(self):
        self._forget()

    def cleanup(self):
        self._forget()

    def _ask(self, device, student):
        """Find out about a device with a model file, unless that was asked last."""
        if self._asked == (device, student):
            return
        self._forget()
        self._asked = (device, student)
        if not isTorchInstalled():
            self._setStatus(_("PyTorch is not installed yet; Apply offers to do so."))
        elif self._asked in self._known:
            self._setStatus(self._known[self._asked])
        else:
            self._setStatus(_("Looking at the processor and the graphics card..."))
            arguments = ["devices", "--device", device, "--student", student]
            self._job = Job(arguments, on_finish=self._onFound).start()
            self._timer.start()

    def _forget(self):
        """End the process and forget what was asked."""
        self._timer.stop()
        # forgotten before it is canceled, because cancel() calls _onFound before it returns
        job, self._job, self._asked = self._job, None, None
        if job is not None:
            job.cancel()

    def _poll(self):
        if self._job is not None:
            self._job.poll()

    def _onFound(self, job):
        if job.canceled:
            return
        self._timer.stop()
        self._job = None
        if not job.error:
            self._known[self._asked] = deviceText(job.result)
        self._setStatus(job.error or deviceText(job.result))

    def _setStatus(self, text):
        setStatus(self.ui.deviceFoundLabel, text)


def deviceText(found):
    """The report of the command ``devices`` in words."""
    where = _("CPU") if found["chosen"] == "cpu" else _("GPU")
    text = _("{where}: {description}; about {seconds:.0f} s per patient")
    return text.format(where=where, description=found["description"], seconds=found["seconds"])
