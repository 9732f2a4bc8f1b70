"""Training and export for the panel and for scripts in Slicer's Python console."""

import time
from pathlib import Path

import slicer
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleLogic

from MissingModalityLib.core.errors import MissingModalityError
from MissingModalityLib.runtime import background
from MissingModalityLib.runtime.jobs import Job
from MissingModalityLib.training.request import TrainRequest
from MissingModalityPanelLib.dependencies import ensureDependencies
from MissingModalityPanelLib.parameters import readParameterNode
from MissingModalityPanelLib.widgets import makeTimer
from MissingModalityTrainLib.sections import MissingModalityTrainParameterNode

REQUIREMENTS = Path(__file__).parents[1] / "Resources" / "requirements-training.txt"

POLL_MILLISECONDS = 200
"""Time between two deliveries of a job's progress."""

WAIT_SECONDS = 0.02
"""Pause between two turns of the event loop in a wait: the application answers as if it were idle."""


class MissingModalityTrainLogic(ScriptedLoadableModuleLogic):
    """Training and export in child processes, for the panel and for scripts: the application stays alive."""

    def __init__(self, parent=None):
        ScriptedLoadableModuleLogic.__init__(self, parent)
        self._jobs = []
        # one for all jobs, which stays: a timer that goes with its job would be deleted while it fires
        self._timer = makeTimer(POLL_MILLISECONDS, self._poll)

    def getParameterNode(self):
        return readParameterNode(MissingModalityTrainParameterNode, super().getParameterNode())

    def ensureDependencies(self):
        """Install the Python packages that are missing, PyTorch among them, without asking: for scripts.

        The panel asks before it installs anything.

        Raises:
            RuntimeError: a package is missing and could not be installed; the message says what to do.
        """
        ensureDependencies(None, REQUIREMENTS)

    def train(self, data, output, *choices, onProgress=None, onFinished=None, **named):
        """``MissingModalityLib.train`` in a process of its own.

        Args:
            data, output, choices, named: as there; ``settings`` are values by key, no whole plan.
            onProgress: called with each ``MissingModalityLib.Event`` while Slicer's event loop turns.
            onFinished: called with the job at the end, whatever the end is.

        Returns:
            The running ``MissingModalityLib.runtime.jobs.Job``: :meth:`wait` for it, ``cancel()`` it, or
            look at ``running`` and ``error``.

        Raises:
            MissingModalityError: a choice of the wrong kind.
        """
        request = TrainRequest(data, output, *choices, **named)
        return self.runCommand(request.to_arguments(), onProgress, onFinished)

    def startTraining(self, data, output, *choices, **named):
        """Like :meth:`train`, in a process that goes on when the application ends.

        Args:
            data, output, choices, named: as for :meth:`train`, but for onProgress and onFinished.

        Returns:
            The ``MissingModalityLib.runtime.background.BackgroundRun``; ``background.find(output)`` finds it
            again.

        Raises:
            MissingModalityError: a process trains in ``output`` already, it cannot be written to, or a choice
                is of the wrong kind.
        """
        request = TrainRequest(data, output, *choices, **named)
        return background.start(request.to_arguments(), request.output)

    def export(self, run, output, onFinished=None):
        """``MissingModalityLib.export`` in a process of its own; returns the running job."""
        return self.runCommand(["export", "--run", str(run), "--output", str(output)], None, onFinished)

    def wait(self, job):
        """Wait for the end of a job while the application stays alive; interrupting the wait ends the job.

        Returns:
            The path that it has written: the run's folder, or the student file.

        Raises:
            MissingModalityError: bad input, or the job was canceled; the message says what to do.
            RuntimeError: the process crashed.
        """
        try:
            while job.poll():
                slicer.app.processEvents()
                time.sleep(WAIT_SECONDS)
        except BaseException:
            job.cancel()
            raise
        if job.error:
            expected = job.canceled or job.exit_code == 2
            raise (MissingModalityError if expected else RuntimeError)(job.error)
        return Path(job.result["output"])

    def runCommand(self, arguments, onProgress=None, onFinished=None):
        """Any command of ``missing-modality`` as a running job that delivers its progress from a timer."""

        def finish(job):
            # first: what is called next may open a window, whose event loop would go on firing the timer
            self._jobs.remove(job)
            if not self._jobs:
                self._timer.stop()
            if onFinished is not None:
                onFinished(job)

        job = Job(arguments, onProgress, finish)
        self._jobs.append(job)
        self._timer.start()  # before the job: one that fails to start tells so at its first poll
        return job.start()

    def _poll(self):
        for job in list(self._jobs):
            job.poll()
