"""Finds out, in a process of its own, what the network would run on and how long that takes."""

from slicer.i18n import tr as _

from MissingModalityLib.runtime.jobs import Job
from MissingModalityPanelLib.dependencies import isTorchInstalled


class DeviceFinder:
    """Tells about the device behind the chosen entry; asks once per device and model.

    PyTorch takes seconds to load, so it is asked elsewhere while the panel stays usable. Call :meth:`poll`
    from a timer.
    """

    def __init__(self, label):
        self._label = label
        self._job = None
        self._asked = None
        self._known = {}

    def show(self, device, student):
        """Tell about a device ("auto", "cpu" or "cuda") with a model file; asks where that is unknown.

        What was asked last is not asked again until :meth:`stop`.
        """
        if self._asked == (device, student):
            return
        self.stop()
        self._asked = (device, student)
        if not isTorchInstalled():
            self._tell(_("PyTorch is not installed yet; Apply offers to do so."))
        elif self._asked in self._known:
            self._tell(self._known[self._asked])
        else:
            self._tell(_("Looking..."))
            arguments = ["devices", "--device", device, "--student", student]
            self._job = Job(arguments, on_finish=self._found).start()

    def poll(self):
        if self._job is not None:
            self._job.poll()

    def stop(self):
        """Give the processor to others; what was being asked is forgotten."""
        job, self._job, self._asked = self._job, None, None
        if job is not None:
            job.cancel()

    def _found(self, job):
        if job.cancelled:
            return
        self._job = None
        if not job.error:
            self._known[self._asked] = _describe(job.result)
        self._tell(job.error or _describe(job.result))

    def _tell(self, text):
        self._label.setText(text)
        self._label.setVisible(bool(text))


def _describe(found):
    where = _("CPU") if found["chosen"] == "cpu" else _("GPU")
    text = _("{where}: {description}; about {seconds:.0f} s per patient")
    return text.format(where=where, description=found["description"], seconds=found["seconds"])
