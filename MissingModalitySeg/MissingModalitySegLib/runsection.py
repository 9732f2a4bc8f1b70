"""The section with Output, Apply and Cancel: the one run of the panel, its progress and its end."""

import slicer
from slicer import vtkMRMLSegmentationNode
from slicer.i18n import tr as _

from MissingModalityLib.core.errors import MissingModalityError
from MissingModalityPanelLib.dependencies import ensureStripping, isStrippingInstalled
from MissingModalityPanelLib.progresstexts import segmentationText
from MissingModalityPanelLib.section import Section
from MissingModalityPanelLib.widgets import makeTimer, setEnabledWithReason, setStatus
from MissingModalitySegLib.resultview import bringIntoView, segmentsOf
from MissingModalitySegLib.stepslist import StepsList

POLL_MILLISECONDS = 100  # so that the bar moves without jumps: a run takes seconds on a GPU


class RunParameters:
    """Without an output segmentation every run makes a new one."""

    outputSegmentation: vtkMRMLSegmentationNode
    regions: bool = False


class RunSection(Section):
    """Segments the chosen volumes; other sections run what they have by :meth:`start`."""

    name = "run"
    Parameters = RunParameters

    def __init__(self, panel):
        super().__init__(panel)
        self._run = None
        self._isOfScene = True
        self._steps = None
        self._timer = makeTimer(POLL_MILLISECONDS, self._poll)
        self.ui.applyButton.clicked.connect(self.onApply)
        self.ui.cancelButton.clicked.connect(self.onCancel)

    @property
    def isRunning(self):
        return self._run is not None

    def onApply(self):
        """Segment the chosen volumes; what is wrong with them is said, and nothing changes."""
        if self._mayJoin(self.state.inputs()) and self._mayReplace(self.state.outputSegmentation):
            self.start(self._startSegmentation)

    def _mayJoin(self, inputs):
        """Whether volumes are segmented as one patient's: asked where their headers say that they are not."""
        if not self.logic.areOfSeveralVisits(inputs.values()):
            return True
        question = _(
            "By their DICOM headers, these volumes are of more than one patient or date: {volumes}. Segment "
            "them as one visit of one patient?"
        )
        names = ", ".join(f"{modality.title} '{node.GetName()}'" for modality, node in inputs.items())
        return slicer.util.confirmOkCancelDisplay(
            question.format(volumes=names), windowTitle=self.panel.title
        )

    def _mayReplace(self, node):
        """Whether a run may overwrite a node: asked where it has segments that no run has just made."""
        segments = segmentsOf(node) if node is not None else []
        if not segments or self.panel.result.isAsMade(node):
            return True
        question = _(
            "The segments of '{name}' will be replaced, which cannot be undone: {segments}. To keep them, "
            "choose 'New segmentation for each run' as output."
        )
        names = ", ".join(segment.GetName() for segment in segments)
        return slicer.util.confirmOkCancelDisplay(
            question.format(name=node.GetName(), segments=names), windowTitle=self.panel.title
        )

    def onCancel(self):
        if self._run is not None:
            self._run.cancel()

    def start(self, startRun, isOfScene=True):
        """Start the panel's run; what keeps it from starting is said.

        Args:
            startRun: called without arguments; returns the run, which has ``poll()`` and ``cancel()``, and at
                whose end :meth:`finish` or :meth:`fail` is to be called.
            isOfScene: whether it works on the scene, and ends with it.
        """
        self._isOfScene = isOfScene
        try:
            self.panel.ensureDependencies()
            self._run = startRun()
        except (MissingModalityError, RuntimeError, OSError) as error:
            self.fail(str(error))
            return
        self._timer.start()  # of a run that has failed to start, too: it reports so at the first poll
        self.ui.progressBar.setValue(0)
        self.setStatus(_("Starting..."))
        self.panel.updateGui()

    def finish(self, text):
        """The run has ended."""
        self._timer.stop()
        self._run = self._steps = None
        setStatus(self.ui.stepsLabel, "")
        self.setStatus(text)
        self.panel.updateGui()

    def fail(self, message):
        """The run has failed, or could not start."""
        self.finish(message)  # first: the window turns the event loop, in which the panel must be idle
        self.panel.showError(message)

    def setStatus(self, text):
        """Show a text below the buttons."""
        setStatus(self.ui.statusLabel, text)

    def showStep(self, event, text):
        """Show how far the run is."""
        self.ui.progressBar.setMaximum(event.total)
        self.ui.progressBar.setValue(event.step)
        self.setStatus(text)

    def update(self):
        inputs, model = self.panel.inputs, self.panel.model
        setEnabledWithReason(
            self.ui.applyButton,
            _("Segment the tumor in the chosen volumes"),
            {
                _("A segmentation is running."): self.isRunning,
                model.problem: bool(model.problem),
                _("Choose at least one volume."): not self.state.inputs(),
                inputs.problem: bool(inputs.problem),
            },
        )
        self.ui.cancelButton.setEnabled(self.isRunning)
        self.ui.progressBar.setVisible(self.isRunning)

    def stop(self):
        if self._isOfScene:
            self.onCancel()

    def reset(self):
        if not self.isRunning:
            self.setStatus("")

    def cleanup(self):
        self.onCancel()

    def _poll(self):
        if self._run is not None:
            self._run.poll()

    def _startSegmentation(self):
        state, steps = self.state, self.state.rawSteps()
        # to look for a skull takes a second, so that comes last
        if not isStrippingInstalled() and self.logic.needsBrainNetworks(state.inputs(), steps):
            ensureStripping(self.panel.title)
        inputs = {modality.name: node for modality, node in state.inputs().items()}
        run = self.logic.startSegmentation(
            inputs,
            state.outputSegmentation,
            state.studentPath or None,
            state.device,
            state.regions,
            self._onProgress,
            self._onFinished,
            steps,
        )
        self._steps = StepsList(steps.leftOut())
        setStatus(self.ui.stepsLabel, self._steps.text())
        return run

    def _onProgress(self, event):
        self._steps.follow(event)
        setStatus(self.ui.stepsLabel, self._steps.text())
        self.showStep(event, segmentationText(event))

    def _onFinished(self, run):
        if run.canceled:
            self.finish(_("Canceled. The scene is as it was."))
        elif run.exception is not None:
            self.fail(str(run.exception))
        else:
            if run.kept is not None and self.state.outputSegmentation is run.kept:
                self.state.outputSegmentation = None  # or the section Result would show that one
            isNew = run.segmentation is not self.state.outputSegmentation
            self.panel.result.showRun(run)
            bringIntoView(run.segmentation, run.reference, run.center, isNew)
            self.finish(doneText(run.report))


def doneText(report):
    """The end of a segmentation in words."""
    done = _("Done in {seconds} s on {device} with {sequences}.").format(
        seconds=round(report["seconds"]["total"]),
        device=report["device"]["description"],
        sequences=report["modalities"],
    )
    notes = _("See the notes under Result.") if report["warnings"] else ""
    return " ".join(filter(None, [done, notes]))
