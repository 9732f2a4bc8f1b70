"""The researcher's panel: train a network on a folder of cases and export it for the segmentation panel."""

import tempfile
import time
from pathlib import Path

import qt
import slicer
import vtk
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin

from MissingModalityLib.core.errors import MissingModalityError
from MissingModalityLib.core.settings import as_text
from MissingModalityLib.runtime import background
from MissingModalityLib.runtime.jobs import Job
from MissingModalityLib.training.recipes import flattened
from MissingModalityTrainLib.data import DataSection
from MissingModalityTrainLib.evaluation import EvaluationSection
from MissingModalityTrainLib.parameternode import FIRST_RECIPE, MissingModalityTrainParameterNode
from MissingModalityTrainLib.plots import RunPlots
from MissingModalityTrainLib.synthesis import SynthesisSection
from MissingModalityTrainLib.training import TrainingSection

POLL_MILLISECONDS = 200
WAIT_SECONDS = 0.02


class MissingModalityTrain(ScriptedLoadableModule):
    """What Slicer shows about the module."""

    def __init__(self, parent):
        super().__init__(parent)
        parent.title = _("Brain Tumor Segmentation Training")
        parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        parent.dependencies = ["MissingModalitySeg"]
        parent.contributors = ["MissingModality contributors"]
        parent.helpText = _(
            "Trains a network that segments brain tumors from any subset of FLAIR, T1ce, T1 and T2, scores "
            "it on every subset, and exports it as one file for the segmentation module. Cases may lack "
            "sequences. Training runs in a process of its own: Slicer stays usable and may even be closed, "
            "and finds the training again. The command line can do the same. "
            "<b>Research use only, not a medical device.</b>"
        )
        parent.acknowledgementText = _(
            "Recipes aem and aem-kd: W. Liu, J. Hou, X. Zhong, H. Zhan, J. Cheng, Y. Fang, G. Yue: Enhancing "
            "Incomplete Multi-modal Brain Tumor Segmentation with Intra-modal Asymmetry and Inter-modal "
            "Dependency. Network rfnet: Y. Ding, X. Yu, Y. Yang: RFNet: Region-aware Fusion Network for "
            "Incomplete Multi-modal Brain Tumor Segmentation (ICCV 2021). Network segresnet: A. Myronenko: "
            "3D MRI Brain Tumor Segmentation Using Autoencoder Regularization (BrainLes 2018), as in MONAI."
        )


class MissingModalityTrainWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """The panel: four sections in working order, over one parameter node.

    Attributes:
        state: the parameter node; None while the scene changes.
        data, synthesis, training, evaluation: the sections.
    """

    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic = None
        self.state = None
        self._guiTag = None
        self._sections = ()

    def setup(self):
        super().setup()
        uiWidget = slicer.util.loadUI(self.resourcePath("UI/MissingModalityTrain.ui"))
        self.layout.addWidget(uiWidget)
        self.ui = slicer.util.childWidgetVariables(uiWidget)
        uiWidget.setMRMLScene(slicer.mrmlScene)
        self.logic = MissingModalityTrainLogic()
        self.data = DataSection(self)
        self.synthesis = SynthesisSection(self)
        self.training = TrainingSection(self)
        self.evaluation = EvaluationSection(self)
        self._sections = (self.data, self.synthesis, self.training, self.evaluation)
        for section in self._sections:
            section.connect()
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndCloseEvent, self.onSceneEndClose)
        self.initializeParameterNode()
        self.training.findLastRun()

    def cleanup(self):
        """The application is about to delete the panel."""
        for section in self._sections:
            section.cleanup()
        self.setParameterNode(None)
        self.removeObservers()

    def enter(self):
        self.initializeParameterNode()

    def exit(self):
        """What runs goes on while another module is shown, so the state is kept."""

    def onSceneStartClose(self, caller, event):
        """A training does not depend on the scene and goes on."""
        self.setParameterNode(None)

    def onSceneEndClose(self, caller, event):
        for section in self._sections:
            section.reset()
        self.initializeParameterNode()

    def initializeParameterNode(self):
        parameterNode = self.logic.getParameterNode()
        shown = self.state and self.state.parameterNode
        if parameterNode.parameterNode is not shown:
            self.setParameterNode(parameterNode)

    def setParameterNode(self, parameterNode):
        """Show another parameter node, or none."""
        from MissingModalityPanelLib.widgets import connectParameters

        modified = vtk.vtkCommand.ModifiedEvent
        if self.state is not None:
            self.state.disconnectGui(self._guiTag)
            self.removeObserver(self.state.parameterNode, modified, self.onStateModified)
        self.state = None
        if parameterNode is not None:
            self._guiTag = connectParameters(parameterNode, self.ui)
            for section in self._sections:
                section.show(parameterNode)
            self.state = parameterNode
            self.addObserver(parameterNode.parameterNode, modified, self.onStateModified)
            self.updateGui()

    def onStateModified(self, caller, event):
        """By the panel itself, by a script, or by a scene that was loaded."""
        for section in self._sections:
            section.show(self.state)
        self.updateGui()

    def updateGui(self):
        """Bring all sections up to date."""
        for section in self._sections:
            if self.state is not None:
                section.update()

    def ensureDependencies(self):
        """Make sure that what the library needs is installed.

        Raises:
            RuntimeError: it is not; the message says what to do.
        """
        from MissingModalityPanelLib.dependencies import ensureDependencies

        requirements = self.resourcePath("requirements-training.txt")
        ensureDependencies(_("Brain tumor segmentation training"), requirements)


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
        network=None,
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
            The running ``MissingModalityLib.runtime.jobs.Job``: :meth:`wait` for it, ``cancel()`` it, or
            look at ``running`` and ``error``.
        """
        arguments = trainArguments(
            data,
            output,
            recipe,
            network,
            preset,
            stages,
            settings,
            config,
            initial,
            resume,
            restart,
            seed,
            device,
            convention,
            prepared,
        )
        return self.runCommand(arguments, onProgress, onFinished)

    def startTraining(self, data, output, **choices):
        """Like :meth:`train`, in a process that goes on when the application ends.

        Args:
            data, output: as for :meth:`train`.
            choices: any further arguments of :meth:`train` but onProgress and onFinished.

        Returns:
            The ``MissingModalityLib.runtime.background.BackgroundRun``; ``background.find(output)`` finds it
            again.

        Raises:
            MissingModalityError: a process trains in ``output`` already, or it cannot be written to.
        """
        return background.start(trainArguments(data, output, **choices), Path(output))

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
            expected = job.cancelled or job.exit_code == 2
            raise (MissingModalityError if expected else RuntimeError)(job.error)
        return Path(job.result["output"])

    def runCommand(self, arguments, onProgress=None, onFinished=None):
        """Any command of ``missing-modality`` as a running job that delivers its news from a timer."""

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


def trainArguments(
    data,
    output,
    recipe=FIRST_RECIPE,
    network=None,
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
):
    """The command line of ``MissingModalityTrainLogic.train``."""
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
    return [*arguments, *(["--resume"] if resume else [])]


class MissingModalityTrainTest(ScriptedLoadableModuleTest):
    """Self-test of what takes seconds; training itself takes too long for one."""

    def setUp(self):
        slicer.mrmlScene.Clear()

    def runTest(self, **_arguments):
        for test in (self.test_StateInScene, self.test_Plots, self.test_FolderWithoutCases):
            self.setUp()
            test()

    def test_StateInScene(self):
        """What is chosen lies in the scene, and goes with it."""
        self.delayDisplay("Checking that choices are kept in the scene")
        MissingModalityTrainLogic().getParameterNode().seed = 7
        assert MissingModalityTrainLogic().getParameterNode().seed == 7
        slicer.mrmlScene.Clear()
        assert MissingModalityTrainLogic().getParameterNode().seed == 0

    def test_Plots(self):
        """A log of two epochs becomes two charts, however often it is shown."""
        self.delayDisplay("Plotting the log of a training")
        first = {"loss": {"total": 0.9}}
        second = {"loss": {"total": 0.7}, "dice": {"FLAIR WT": 0.5, "FLAIR TC": 0.4, "FLAIR ET": 0.3}}
        plots = RunPlots()
        for epochs in ([first], [first, second]):
            plots.fill(epochs)
        assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLPlotChartNode") == 2
        tables = [slicer.mrmlScene.GetNthNodeByClass(index, "vtkMRMLTableNode") for index in (0, 1)]
        assert [table.GetNumberOfRows() for table in tables] == [2, 1]

    def test_FolderWithoutCases(self):
        """A folder that cannot be used is refused with a message that names it."""
        self.delayDisplay("Checking that a folder without cases is refused")
        with tempfile.TemporaryDirectory() as folder:
            logic = MissingModalityTrainLogic()
            try:
                logic.wait(logic.runCommand(["cases", folder]))
            except MissingModalityError as error:
                assert folder in str(error), error
            else:
                raise AssertionError("a folder without cases was accepted")
