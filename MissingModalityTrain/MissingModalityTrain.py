"""The researcher's panel: train a network on a folder of cases and export it for the segmentation panel."""

import tempfile
import time
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
from MissingModalityLib.training.recipes import RECIPES, flattened
from MissingModalityLib.training.settings import as_text

POLL_MILLISECONDS = 200
WAIT_SECONDS = 0.02
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
            "Recipes aem and aem-kd: W. Liu, J. Hou, X. Zhong, H. Zhan, J. Cheng, Y. Fang, G. Yue: Enhancing "
            "Incomplete Multi-modal Brain Tumor Segmentation with Intra-modal Asymmetry and Inter-modal "
            "Dependency. Network rfnet: Y. Ding, X. Yu, Y. Yang: RFNet: Region-aware Fusion Network for "
            "Incomplete Multi-modal Brain Tumor Segmentation (ICCV 2021). Network segresnet: A. Myronenko: "
            "3D MRI Brain Tumor Segmentation Using Autoencoder Regularization (BrainLes 2018), as in MONAI."
        )


class Network(Enum):
    """What is trained; values as on the command line."""

    SEGRESNET = "segresnet"
    RFNET = "rfnet"

    def label(self):
        return {
            "segresnet": _("SegResNet (light)"),
            "rfnet": _("RFNet (as in the papers; needs a GPU)"),
        }[self.value]


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
    network: Network = Network.SEGRESNET
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
            lambda: self.logic.train(
                state.dataPath or None,
                state.runPath,
                recipe=state.recipe,
                network=state.network.value,
                preset=state.preset.value,
                resume=resume,
                device=state.device.value,
                onProgress=self._onProgress,
                onFinished=self._onFinished,
            )
        )

    def onExport(self):
        """Write the student file of the chosen run folder."""
        state = self._parameterNode
        self._doneText = _("Wrote {path}").format(path=state.studentPath)
        self._start(lambda: self.logic.export(state.runPath, state.studentPath, self._onFinished))

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
        self._updateGui()

    def _onProgress(self, event):
        self.ui.progressBar.setMaximum(event.total)
        self.ui.progressBar.setValue(event.step)
        numbers = [f"{name} {value:.4g}" for name, value in event.values.items()]
        self._tell(", ".join([f"{event.stage} {event.step}/{event.total}", event.message, *numbers]))
        if event.message != self._lastMessage:
            self._lastMessage = event.message
            self.ui.logText.appendPlainText(self.ui.statusLabel.text)

    def _onFinished(self, job):
        self._job = None
        if job.log:
            self.ui.logText.appendPlainText(job.log)
        if job.cancelled:
            self._tell(_("Canceled. Resume goes on after the last whole epoch."))
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
    """Training and export in child processes, for the panel and for scripts: the application stays alive."""

    def __init__(self, parent=None):
        ScriptedLoadableModuleLogic.__init__(self, parent)
        self._timers = {}

    def getParameterNode(self):
        return MissingModalityTrainParameterNode(super().getParameterNode())

    def train(
        self,
        data,
        output,
        recipe=FIRST_RECIPE,
        network="segresnet",
        preset="paper",
        stages=None,
        settings=None,
        config=None,
        initial=None,
        resume=False,
        restart=None,
        seed=0,
        device="auto",
        convention=None,
        prepared=None,
        onProgress=None,
        onFinished=None,
    ):
        """``MissingModalityLib.train`` in a process of its own.

        Args:
            data ... prepared: as there; ``settings`` are values by key, no whole plan.
            onProgress: called with each ``MissingModalityLib.Event`` while Slicer's event loop turns.
            onFinished: called with the job at the end, whatever the end is.

        Returns:
            The running ``MissingModalityLib.jobs.Job``: :meth:`wait` for it, ``cancel()`` it, or look at
            ``running`` and ``error``.
        """
        given = {
            "data": data,
            "output": output,
            "recipe": recipe,
            "network": network,
            "preset": preset,
            "stages": ",".join(stages) if stages else None,
            "config": config,
            "init": initial,
            "restart": restart,
            "seed": seed,
            "device": device,
            "convention": convention,
            "prepared": prepared,
        }
        arguments = ["train"]
        for name, value in given.items():
            arguments += [] if value is None else [f"--{name}", str(value)]
        if settings:
            arguments += ["--set", *(f"{key}={as_text(value)}" for key, value in flattened(settings).items())]
        return self._start([*arguments, *(["--resume"] if resume else [])], onProgress, onFinished)

    def export(self, run, output, onFinished=None):
        """``MissingModalityLib.export`` in a process of its own; returns the running job."""
        return self._start(["export", "--run", str(run), "--output", str(output)], None, onFinished)

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
            expected = job.cancelled or job.exit_code == 2
            raise (MissingModalityError if expected else RuntimeError)(job.error)
        return Path(job.result["output"])

    def _start(self, arguments, onProgress, onFinished):
        """A running job that delivers its news from a timer."""

        def finish(job):
            self._timers.pop(job).stop()
            if onFinished is not None:
                onFinished(job)

        job = Job(arguments, onProgress, finish)
        timer = self._timers[job] = qt.QTimer()
        timer.setInterval(POLL_MILLISECONDS)
        timer.timeout.connect(job.poll)
        timer.start()
        return job.start()


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
                logic = MissingModalityTrainLogic()
                logic.wait(logic.train(folder, Path(folder) / "run"))
            except MissingModalityError as error:
                assert folder in str(error), error
            else:
                raise AssertionError("a folder without cases was accepted")
