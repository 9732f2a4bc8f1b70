"""The clinician's panel: whatever MRI sequences are loaded go in, tumor segments come out."""

import importlib.util
import sys
from pathlib import Path

import slicer
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import ScriptedLoadableModule, ScriptedLoadableModuleTest

if importlib.util.find_spec("MissingModalityLib") is None:
    # In a source tree the library lies beside the other module; an installed extension has all in one folder.
    sys.path.append(str(Path(__file__).resolve().parents[1] / "MissingModalityTrain"))

if sys.version_info < (3, 11):  # noqa: UP036 - older Slicers come here, and the library cannot say it to them
    raise RuntimeError("MissingModality needs Slicer 5.10 or later. Install the current Slicer.")

# Slicer imports this file whenever it starts, so nothing that follows may bring PyTorch, which takes seconds.
from MissingModalityLib.core.errors import MissingModalityError
from MissingModalityLib.core.modalities import Modality
from MissingModalityLib.core.segments import REGION_SEGMENTS, SEGMENTS
from MissingModalityPanelLib.dependencies import isTorchInstalled
from MissingModalityPanelLib.links import DOCUMENTS, FORUM, MODEL_CARDS, helpLinks
from MissingModalityPanelLib.panel import SectionPanel
from MissingModalitySegLib.logic import MissingModalitySegLogic
from MissingModalitySegLib.sampledata import addSyntheticPatient, registerSampleData
from MissingModalitySegLib.sections import SECTIONS


class MissingModalitySeg(ScriptedLoadableModule):
    """What Slicer shows about the module, and what it registers at startup."""

    def __init__(self, parent):
        super().__init__(parent)
        parent.title = _("Brain Tumor Segmentation (Any MRI Subset)")
        parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        parent.dependencies = []
        parent.contributors = ["MissingModality contributors"]
        parent.helpText = _(
            "Segments necrotic or non-enhancing core, edema and enhancing tumor in brain MRI from any one "
            "to four of FLAIR, T1ce, T1 and T2. Volumes may come as the scanner gives them: they are laid "
            "over each other and the brain is found where that is needed. <b>Research use only, not a "
            "medical device.</b> Nothing leaves this computer."
        )
        parent.helpText += helpLinks(
            {
                _("tutorial"): DOCUMENTS + "tutorial.md",
                _("raw volumes"): DOCUMENTS + "raw-input.md",
                _("model cards"): MODEL_CARDS,
                _("forum"): FORUM,
            }
        )
        parent.acknowledgementText = _(
            "Networks: Y. Ding, X. Yu, Y. Yang: RFNet: Region-aware Fusion Network for Incomplete "
            "Multi-modal Brain Tumor Segmentation (ICCV 2021), and A. Myronenko: 3D MRI Brain Tumor "
            "Segmentation Using Autoencoder Regularization (BrainLes 2018), trained on random subsets of "
            "the sequences. The card of each model names the data that it was trained on; please cite "
            "those too."
        )
        # modules are made one after another: Terminologies and Sample Data need not be there yet
        slicer.app.connect("startupCompleted()", self.onStartupCompleted)

    def onStartupCompleted(self):
        """Register the codes that Slicer's lists lack, and the synthetic patient among the sample data."""
        terminology = self.resourcePath("SegmentationCategoryTypeModifier-MissingModality.term.json")
        slicer.modules.terminologies.logic().LoadTerminologyFromFile(terminology)
        registerSampleData(self.resourcePath("Icons"))


class MissingModalitySegWidget(SectionPanel):
    """The panel; what is on it lies in its sections."""

    title = _("Brain tumor segmentation")
    requirements = "requirements.txt"
    logicClass = MissingModalitySegLogic
    sectionClasses = SECTIONS


class MissingModalitySegTest(ScriptedLoadableModuleTest):
    """Self-test on a small synthetic patient with the bundled model; runs in Slicer and in the test suite."""

    def setUp(self):
        slicer.mrmlScene.Clear()

    def runTest(self, **_arguments):
        for test in (self.test_Detection, self.test_Segmentation, self.test_BadInput):
            self.setUp()
            test()

    def test_Detection(self):
        """Each volume of the patient is recognized by its name."""
        self.delayDisplay("Detecting the sequences of a synthetic patient")
        patient = self._addPatient()
        inputs, warnings = MissingModalitySegLogic().proposeInputs()
        assert inputs == patient, f"proposed {inputs} for {patient}"
        assert not warnings, warnings

    def test_Segmentation(self):
        """Two of four sequences give segments on the first volume's grid."""
        if not isTorchInstalled():
            self.delayDisplay("Segmentation is not tested: PyTorch is not installed")
            return
        self.delayDisplay("Segmenting a synthetic patient from FLAIR and T1ce")
        patient = self._addPatient()
        inputs = {name: patient[Modality[name]] for name in ("FLAIR", "T1CE")}
        logic = MissingModalitySegLogic()
        node = logic.segment(inputs, device="cpu", regions=True)
        ids = list(node.GetSegmentation().GetSegmentIDs())
        assert ids == [segment.id for segment in (*SEGMENTS, *REGION_SEGMENTS)], ids
        role = node.GetReferenceImageGeometryReferenceRole()
        assert node.GetNodeReference(role) is inputs["FLAIR"]
        assert logic.volumes(node)["WT"] > 0, "no tumor was found in the synthetic patient"

    def test_BadInput(self):
        """Nothing chosen is told and leaves no segmentation behind."""
        self.delayDisplay("Checking that bad input is refused")
        try:
            MissingModalitySegLogic().segment({})
        except MissingModalityError as error:
            assert "at least one" in str(error)
        else:
            raise AssertionError("an empty selection was accepted")
        assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 0

    def _addPatient(self):
        # voxels of 2 mm: a whole head of an eighth of the usual number, since people wait for this test
        return addSyntheticPatient(seed=1, shape=(78, 120, 120), spacing=(2.0, 2.0, 2.0))
