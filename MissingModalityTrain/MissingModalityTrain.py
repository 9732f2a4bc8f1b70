"""The researcher's panel: train a network on a folder of cases and export it for the segmentation panel."""

import sys
import tempfile

import slicer
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import ScriptedLoadableModule, ScriptedLoadableModuleTest

if sys.version_info < (3, 11):  # noqa: UP036 - older Slicers come here, and the library cannot say it to them
    raise RuntimeError("MissingModality needs Slicer 5.10 or later. Install the current Slicer.")

# Slicer imports this file whenever it starts, so nothing that follows may bring PyTorch, which takes seconds.
from MissingModalityLib.core.errors import MissingModalityError
from MissingModalityLib.training.log import LogLine
from MissingModalityPanelLib.links import DOCUMENTS, FORUM, helpLinks
from MissingModalityPanelLib.panel import SectionPanel
from MissingModalityTrainLib.logic import MissingModalityTrainLogic
from MissingModalityTrainLib.plots import RunPlots
from MissingModalityTrainLib.sections import SECTIONS


class MissingModalityTrain(ScriptedLoadableModule):
    """What Slicer shows about the module."""

    def __init__(self, parent):
        super().__init__(parent)
        parent.title = _("Brain Tumor Segmentation Training")
        parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        # segments of a preview carry codes of the terminology that this module loads
        parent.dependencies = ["MissingModalitySeg"]
        parent.contributors = ["MissingModality contributors"]
        parent.helpText = _(
            "Trains a network that segments brain tumors from any subset of FLAIR, T1ce, T1 and T2, scores "
            "it on every subset, and exports it as one file for the segmentation module. Cases may lack "
            "sequences. Training runs in a process of its own: Slicer stays usable and may even be closed, "
            "and finds the training again. The command line can do the same. "
            "<b>Research use only, not a medical device.</b>"
        )
        parent.helpText += helpLinks(
            {
                _("tutorial"): DOCUMENTS + "tutorial.md",
                _("recipes"): DOCUMENTS + "recipes.md",
                _("labels"): DOCUMENTS + "labels.md",
                _("forum"): FORUM,
            }
        )
        parent.acknowledgementText = _(
            "Recipes aem and aem-kd: W. Liu, J. Hou, X. Zhong, H. Zhan, J. Cheng, Y. Fang, G. Yue: Enhancing "
            "Incomplete Multi-modal Brain Tumor Segmentation with Intra-modal Asymmetry and Inter-modal "
            "Dependency. Network rfnet: Y. Ding, X. Yu, Y. Yang: RFNet: Region-aware Fusion Network for "
            "Incomplete Multi-modal Brain Tumor Segmentation (ICCV 2021). Network segresnet: A. Myronenko: "
            "3D MRI Brain Tumor Segmentation Using Autoencoder Regularization (BrainLes 2018), as in MONAI."
        )


class MissingModalityTrainWidget(SectionPanel):
    """The panel; what is on it lies in its sections."""

    title = _("Brain tumor segmentation training")
    requirements = "requirements-training.txt"
    logicClass = MissingModalityTrainLogic
    sectionClasses = SECTIONS

    def setup(self):
        super().setup()
        # last: a run that the parameter node of the scene names goes before the one used last
        self.training.findLastRun()


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
        dice = {"FLAIR WT": 0.5, "FLAIR TC": 0.4, "FLAIR ET": 0.3}
        first = LogLine(stage="train", epoch=1, loss={"total": 0.9}, seconds=1.0)
        second = LogLine(stage="train", epoch=2, loss={"total": 0.7}, seconds=1.0, dice=dice)
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
