"""A run's folder as the panel follows it: its process, how far it is, and both in words."""

import importlib.util
import time
from pathlib import Path

from slicer.i18n import tr as _

from MissingModalityLib.runtime import background, lock
from MissingModalityLib.runtime.background import State
from MissingModalityLib.training.run_folder import RunFolder
from MissingModalityLib.training.status import run_status
from MissingModalityPanelLib.progresstexts import jobText
from MissingModalityPanelLib.slowdisks import isFolder

MINUTE, HOUR, DAY = 60, 3600, 86400  # in seconds


class RunMonitor:
    """What :meth:`refresh` has found last.

    Attributes:
        folder: of the run.
        state: of the process that a panel has started there, a ``State``; None where there was none.
        status: see ``MissingModalityLib.training.status``; None before the run has begun.
        busy: whether some other program trains in the folder.
        hasCheckpoint: whether the folder holds a training that can go on.
        lookSeconds: how long it took to find all that.
    """

    def __init__(self, folder, process=None):
        """Follow a folder; ``process`` is the ``BackgroundRun`` that was just started there."""
        self.folder = Path(folder)
        # a process that a panel has started needed psutil
        found = background.find(self.folder) if importlib.util.find_spec("psutil") else None
        self._process = process or found
        self._event = None
        self.refresh()

    def refresh(self):
        """Bring everything up to date."""
        began = time.monotonic()
        process = self._process
        for event in process.new_events() if process else ():
            self._event = event
        self.state = process.state if process else None
        self.status = run_status(self.folder, self._event if self.alive else None)
        self.busy = not self.alive and lock.is_held(self.folder)
        self.hasCheckpoint = RunFolder(self.folder).has_checkpoint
        self._isThere = isFolder(str(self.folder))
        self.lookSeconds = time.monotonic() - began

    @property
    def alive(self):
        """Whether a process that a panel has started is there, running or paused."""
        return self.state in (State.RUNNING, State.PAUSED)

    @property
    def paused(self):
        return self.state is State.PAUSED

    @property
    def gone(self):
        """Whether the folder in which a panel's process has trained is not there any more."""
        return self.state is not None and not self.alive and not self._isThere

    @property
    def finished(self):
        return self.status is not None and self.status.finished and not self.alive

    @property
    def epochs(self):
        """Lines of the run's log."""
        return self.status.epochs if self.status else []

    @property
    def error(self):
        """What to tell in a window when the process has ended without being asked to; None otherwise."""
        return self.text() if self.state in (State.FAILED, State.KILLED) and not self.finished else None

    @property
    def log(self):
        """What the process printed beside its progress."""
        return self._process.log if self._process else ""

    def pause(self):
        self._process.pause()
        self.refresh()

    def resume(self):
        self._process.resume()
        self.refresh()

    def stop(self):
        self._process.stop()
        self.refresh()

    def progress(self):
        """Steps done and to do: of the whole run, or of the preparation before it."""
        if self._event is not None and self._isPreparing():
            return self._event.step, self._event.total
        return (self.status.step, self.status.steps) if self.status else (0, 0)

    def text(self):
        """One or two sentences for people."""
        if self.alive:
            return self._aliveText()
        if self.busy:
            return _("A program outside of this panel is training in this folder. {progress}").format(
                progress=self._doneText()
            )
        if self.finished:
            return _("Training has ended. Export writes the model file.")
        if self.gone:
            return _("The run folder is not there any more: removed, renamed, or on a disk that has gone.")
        ends = {
            State.STOPPED: _("Stopped."),
            State.FAILED: self._process.error if self._process else "",
            State.KILLED: _(
                "The training was ended from outside: by the system, often because memory ran out, or when "
                "the computer was switched off."
            ),
        }
        return " ".join(filter(None, [ends.get(self.state), self._resumeText()]))

    def _aliveText(self):
        if self.paused:
            return _(
                "Paused. {progress} The process keeps its memory, on a GPU too; Resume goes on at this very "
                "step, Stop frees the memory."
            ).format(progress=self._doneText())
        if self._event is None:
            return _("Starting...")
        if self._isPreparing():
            return jobText(self._event)
        left = self.status.seconds_left
        if left is None:
            return jobText(self._event)
        return ", ".join([jobText(self._event), _("about {time} left").format(time=duration(left))])

    def _isPreparing(self):
        return self.status is None or self._event.stage not in self.status.record.plan.stages

    def _doneText(self):
        if not self.epochs:
            return _("No epoch is over yet.")
        last = self.epochs[-1]
        return _("Stage {stage}: epochs done: {count}.").format(stage=last.stage, count=last.epoch)

    def _resumeText(self):
        if self.hasCheckpoint and self.status is None:
            return _("What the run folder says of its training cannot be read. Resume tells what is wrong.")
        if self.hasCheckpoint:
            return _("{progress} Resume goes on from there; what came after is trained again.").format(
                progress=self._doneText()
            )
        return _("Nothing is trained yet: Start begins anew.") if self.state else ""


def runText(record):
    """What a run is made of, which need not be what the panel's choices say."""
    known = {
        _("recipe"): record.recipe,
        _("network"): record.plan.network,
        _("preset"): record.preset,
        _("cases"): len(record.cases),
        _("of them held out"): len(record.validation),
    }
    return ", ".join(f"{name} {value}" for name, value in known.items() if value is not None)


def epochText(line):
    """A line of the run's log in words."""
    dice = line.dice or {}
    parts = [
        _("{stage}, epoch {epoch}: loss {loss:.4f}").format(
            stage=line.stage, epoch=line.epoch, loss=line.loss["total"]
        ),
        *(f"{name} {score:.2f}" for name, score in dice.items()),
        f"{line.seconds:.1f} s",
    ]
    return ", ".join(parts)


def duration(seconds):
    """Rounded for people."""
    if seconds < MINUTE:
        return _("{count} s").format(count=round(seconds))
    if seconds < HOUR:
        return _("{count} min").format(count=round(seconds / MINUTE))
    if seconds < DAY:
        return _("{count:.1f} hours").format(count=seconds / HOUR)
    return _("{count:.1f} days").format(count=seconds / DAY)
