"""The researcher's panel: train a network on a folder of cases and export it for the segmentation panel."""

import tempfile
from enum import Enum
from pathlib import Path

import qt
import slicer
import vtk
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.parameterNodeWrapper import parameterNodeWrapper
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin

from MissingModalityLib.errors import MissingModalityError
from MissingModalityLib.jobs import Job
from MissingModalityLib.training.recipes import RECIPES

POLL_MILLISECONDS = 200
CHECKPOINT = "checkpoint.pt"
LOG_LINES = 500
FIRST_RECIPE = next(iter(RECIPES))


class MissingModalityTrain(ScriptedLoadableModule):
    """What Slicer shows about the module."""

    def __init__(self, parent):
        super().__init__(parent)
        parent.title = _("Brain Tumor Segmentation Training")
        parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        parent.dependencies = ["MissingModalitySeg"]
        parent.contributors = ["MissingModality contributors"]
        parent.helpText = _(
            "Trains a network that segments brain tumors from any subset of FLAIR, T1ce, T1 and T2, and "
            "exports it as one file for the segmentation module. Cases may lack sequences. Training runs in "
            "a process of its own, so Slicer stays usable; the command line can do the same. "
            "<b>Research use only, not a medical device.</b>"
        )
        parent.acknowledgementText = _(
            "Recipe rfnet: Y. Ding, X. Yu, Y. Yang: RFNet: Region-aware Fusion Network for Incomplete "
            "Multi-modal Brain Tumor Segmentation (ICCV 2021). Network segresnet: A. Myronenko: "
            "3D MRI Brain Tumor Segmentation Using Autoencoder Regularization (BrainLes 2018), as in MONAI."
        )


class Preset(Enum):
    """How long to train; values as on the command line."""

    QUICK = "quick"
    PAPER = "paper"

    def label(self):
        return {"quick": _("Quick (a trial of minutes)"), "paper": _("Paper (a GPU for days)")}[self.value]


class Device(Enum):
    """Where to train; values as on the command line."""

    AUTO = "auto"
    CPU = "cpu"
    GPU = "cuda"

    def label(self):
        return {"auto": _("Automatic"), "cpu": _("CPU"), "cuda": _("GPU (CUDA)")}[self.value]


@parameterNodeWrapper
class MissingModalityTrainParameterNode:
    """State of the panel, kept in the scene; empty paths are not chosen yet."""

    dataPath: str = ""
    runPath: str = ""
    studentPath: str = ""
    recipe: str = FIRST_RECIPE
    preset: Preset = Preset.QUICK
    device: Device = Device.AUTO


class MissingModalityTrainWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """The panel. At most one job (training or export) runs at a time."""

    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic = None
        self._parameterNode = None
        self._guiTag = None
        self._job = None
        self._doneText = ""
        self._timer = None
        self._lastMessage = None

    def setup(self):
        super().setup()
        uiWidget = slicer.util.loadUI(self.resourcePath("UI/MissingModalityTrain.ui"))
        self.layout.addWidget(uiWidget)
        self.ui = slicer.util.childWidgetVariables(uiWidget)
        uiWidget.setMRMLScene(slicer.mrmlScene)
        self.logic = MissingModalityTrainLogic()
        self._paths = {
            "dataPath": self.ui.dataPathEdit,
            "runPath": self.ui.runPathEdit,
            "studentPath": self.ui.studentPathEdit,
        }
        self._fillRecipes()
        self.ui.logText.setMaximumBlockCount(LOG_LINES)
        self._timer = qt.QTimer()
        self._timer.setInterval(POLL_MILLISECONDS)
        self._timer.timeout.connect(self._onTimer)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndCloseEvent, self.onSceneEndClose)
        self.ui.startButton.clicked.connect(lambda *_args: self.onStart(resume=False))
        self.ui.resumeButton.clicked.connect(lambda *_args: self.onStart(resume=True))
        self.ui.cancelButton.clicked.connect(self.onCancel)
        self.ui.exportButton.clicked.connect(self.onExport)
        self.ui.recipeSelector.currentIndexChanged.connect(self._onChosen)
        for edit in self._paths.values():
            edit.currentPathChanged.connect(self._onChosen)
        self.initializeParameterNode()

    def cleanup(self):
        """The application is about to delete the panel."""
        self.onCancel()
        self.setParameterNode(None)
        self.removeObservers()

    def enter(self):
        self.initializeParameterNode()

    def onSceneStartClose(self, caller, event):
        """Training does not depend on the scene and goes on."""
        self.setParameterNode(None)

    def onSceneEndClose(self, caller, event):
        self.initializeParameterNode()

    def initializeParameterNode(self):
        parameterNode = self.logic.getParameterNode()
        shown = self._parameterNode and self._parameterNode.parameterNode
        if parameterNode.parameterNode is not shown:
            self.setParameterNode(parameterNode)

    def setParameterNode(self, parameterNode):
        """Show another parameter node, or none."""
        modified = vtk.vtkCommand.ModifiedEvent
        if self._parameterNode is not None:
            self._parameterNode.disconnectGui(self._guiTag)
            self.removeObserver(self._parameterNode.parameterNode, modified, self._updateGui)
        self._parameterNode = None
        if parameterNode is not None:
            self._guiTag = parameterNode.connectGui(self.ui)
            self._showChoices(parameterNode)
            self._parameterNode = parameterNode
            self.addObserver(parameterNode.parameterNode, modified, self._updateGui)
            self._updateGui()

    def onStart(self, resume):
        """Start or resume the training of the chosen run folder."""
        state = self._parameterNode
        self._doneText = _("Training has ended. Export writes the student file.")
        self._start(
            lambda: self.logic.startTraining(
                state.dataPath,
                state.runPath,
                state.recipe,
                state.preset.value,
                state.device.value,
                resume,
                self._onProgress,
                self._onFinished,
            )
        )

    def onExport(self):
        """Write the student file of the chosen run folder."""
        state = self._parameterNode
        self._doneText = _("Wrote {path}").format(path=state.studentPath)
        self._start(lambda: self.logic.startExport(state.runPath, state.studentPath, self._onFinished))

    def onCancel(self):
        if self._job is not None:
            self._job.cancel()

    def _start(self, begin):
        from MissingModalitySegLib.dependencies import ensureDependencies

        try:
            requirements = self.resourcePath("requirements-training.txt")
            ensureDependencies(_("Brain tumor segmentation training"), requirements)
        except RuntimeError as error:
            self._tellFailure(str(error))
            return
        self.ui.logText.setPlainText("")
        self._tell(_("Starting..."))
        self._job = begin()
        self._timer.start()
        self._updateGui()

    def _onTimer(self):
        if self._job is not None:
            self._job.poll()

    def _onProgress(self, event):
        self.ui.progressBar.setMaximum(event.total)
        self.ui.progressBar.setValue(event.step)
        numbers = [f"{name} {value:.4g}" for name, value in event.values.items()]
        self._tell(", ".join([f"{event.stage} {event.step}/{event.total}", event.message, *numbers]))
        if event.message != self._lastMessage:
            self._lastMessage = event.message
            self.ui.logText.appendPlainText(self.ui.statusLabel.text)

    def _onFinished(self, job):
        self._timer.stop()
        self._job = None
        if job.log:
            self.ui.logText.appendPlainText(job.log)
        if job.cancelled:
            self._tell(_("Cancelled. Resume goes on after the last whole epoch."))
        elif job.error:
            self._tellFailure(job.error)
        else:
            self._tell(self._doneText)
        self._updateGui()

    def _tell(self, text):
        self.ui.statusLabel.setText(text)
        self.ui.statusLabel.setVisible(bool(text))

    def _tellFailure(self, message):
        self._tell(message)
        slicer.util.errorDisplay(message, windowTitle=_("Brain tumor segmentation training"))

    def _fillRecipes(self):
        for index, (name, recipe) in enumerate(RECIPES.items()):
            self.ui.recipeSelector.addItem(name, name)
            self.ui.recipeSelector.setItemData(index, _(recipe.summary), qt.Qt.ToolTipRole)

    def _showChoices(self, state):
        """Fill the widgets that the wrapper cannot tie to a field: paths and recipes."""
        for field, edit in self._paths.items():
            edit.setCurrentPath(getattr(state, field))
        self.ui.recipeSelector.setCurrentIndex(self.ui.recipeSelector.findData(state.recipe))

    def _onChosen(self, *_arguments):
        if self._parameterNode is not None:
            for field, edit in self._paths.items():
                setattr(self._parameterNode, field, edit.currentPath)
            self._parameterNode.recipe = self.ui.recipeSelector.itemData(self.ui.recipeSelector.currentIndex)
            self._updateGui()

    def _unmetConditions(self):
        """For each button what keeps it from working: texts by condition."""
        state = self._parameterNode
        hasRun = bool(state.runPath) and (Path(state.runPath) / CHECKPOINT).is_file()
        hasData = bool(state.dataPath) and Path(state.dataPath).is_dir()
        running = {_("Another job is running."): self._job is not None}
        noRun = {_("Choose a run folder that holds a training."): not hasRun}
        return {
            self.ui.startButton: {
                **running,
                _("Choose the folder of cases."): not hasData,
                _("Choose a run folder."): not state.runPath,
                _("The run folder holds a training already: resume it, or choose another."): hasRun,
            },
            self.ui.resumeButton: {**running, **noRun},
            self.ui.exportButton: {
                **running,
                **noRun,
                _("Choose a student file ending in .safetensors."): not state.studentPath.endswith(
                    ".safetensors"
                ),
            },
        }

    def _updateGui(self, caller=None, event=None):
        if self._parameterNode is None:
            return
        ready = {
            self.ui.startButton: _("Train from the beginning"),
            self.ui.resumeButton: _("Go on after the last whole epoch"),
            self.ui.exportButton: _("Write the trained network as one file"),
        }
        for button, conditions in self._unmetConditions().items():
            unmet = [text for text, isUnmet in conditions.items() if isUnmet]
            button.setEnabled(not unmet)
            button.setToolTip("\n".join(unmet) or ready[button])
        self.ui.cancelButton.setEnabled(self._job is not None)
        self.ui.progressBar.setVisible(self._job is not None)


class MissingModalityTrainLogic(ScriptedLoadableModuleLogic):
    """Training and export in child processes, for the panel and for scripts."""

    def getParameterNode(self):
        return MissingModalityTrainParameterNode(super().getParameterNode())

    def train(self, dataPath, runPath, recipe=FIRST_RECIPE, preset="quick", device="auto", resume=False):
        """Train and wait for the end.

        Args:
            dataPath: folder of cases with labels.
            runPath: folder of the run, made if needed.
            recipe: what is trained, a key of ``MissingModalityLib.training.recipes.RECIPES``.
            preset: "quick" or "paper".
            device: "auto", "cpu", "cuda" or "cuda:N".
            resume: go on with the training that ``runPath`` holds.

        Raises:
            MissingModalityError: bad input; the message says what to do.
            RuntimeError: the process crashed.
        """
        _finish(self.startTraining(dataPath, runPath, recipe, preset, device, resume))

    def startTraining(
        self,
        dataPath,
        runPath,
        recipe=FIRST_RECIPE,
        preset="quick",
        device="auto",
        resume=False,
        onProgress=None,
        onFinished=None,
    ):
        """Like :meth:`train`, without waiting.

        Returns:
            The running ``MissingModalityLib.jobs.Job``: call ``poll()`` from a timer; ``cancel()`` ends it.
        """
        arguments = ["train", "--data", str(dataPath), "--output", str(runPath), "--recipe", recipe]
        arguments += ["--preset", preset, "--device", device, *(["--resume"] if resume else [])]
        return Job(arguments, onProgress, onFinished).start()

    def export(self, runPath, studentPath):
        """Write the student file of a run and wait for the end.

        Raises:
            MissingModalityError: as :meth:`train`.
            RuntimeError: the process crashed.
        """
        _finish(self.startExport(runPath, studentPath))

    def startExport(self, runPath, studentPath, onFinished=None):
        """Like :meth:`export`, without waiting; returns the running Job."""
        arguments = ["export", "--run", str(runPath), "--output", str(studentPath)]
        return Job(arguments, on_finish=onFinished).start()


def _finish(job):
    """Wait for a job; an interrupted wait ends it."""
    try:
        job.wait()
    except BaseException:
        job.cancel()
        raise
    if job.error:
        raise (MissingModalityError if job.exit_code == 2 else RuntimeError)(job.error)


class MissingModalityTrainTest(ScriptedLoadableModuleTest):
    """Self-test: an unusable folder is refused with a message; training itself takes too long for one."""

    def runTest(self, **_arguments):
        self.test_FolderWithoutCases()

    def test_FolderWithoutCases(self):
        from MissingModalitySegLib.dependencies import isTorchInstalled

        if not isTorchInstalled():
            self.delayDisplay("Training is not tested: PyTorch is not installed")
            return
        self.delayDisplay("Checking that a folder without cases is refused")
        with tempfile.TemporaryDirectory() as folder:
            try:
                MissingModalityTrainLogic().train(folder, str(Path(folder) / "run"))
            except MissingModalityError as error:
                assert folder in str(error), error
            else:
                raise AssertionError("a folder without cases was accepted")
