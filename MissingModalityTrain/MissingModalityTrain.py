"""The researcher's panel: train a network on a folder of cases and export it for the segmentation panel."""

import tempfile

import slicer
import vtk
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin

from MissingModalityLib.core.errors import MissingModalityError
from MissingModalityTrainLib.data import DataSection
from MissingModalityTrainLib.evaluation import EvaluationSection
from MissingModalityTrainLib.logic import MissingModalityTrainLogic
from MissingModalityTrainLib.plots import RunPlots
from MissingModalityTrainLib.synthesis import SynthesisSection
from MissingModalityTrainLib.training import TrainingSection


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
