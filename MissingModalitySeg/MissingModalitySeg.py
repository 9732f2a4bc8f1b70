"""The clinician's panel: whatever MRI sequences are loaded go in, tumor segments come out."""

import importlib.util
import sys
from enum import Enum
from pathlib import Path

import qt
import slicer
import vtk
from slicer import vtkMRMLScalarVolumeNode, vtkMRMLSegmentationNode
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

if importlib.util.find_spec("MissingModalityLib") is None:
    # In a source tree the library lies beside the other module; an installed extension has all in one folder.
    sys.path.append(str(Path(__file__).resolve().parents[1] / "MissingModalityTrain"))

from MissingModalityLib.errors import MissingModalityError
from MissingModalityLib.modalities import MODALITIES, Modality
from MissingModalityLib.segments import REGION_SEGMENTS, SEGMENTS
from MissingModalitySegLib.dependencies import ensureDependencies, isTorchInstalled
from MissingModalitySegLib.running import SegmentationRun, nodesByModality
from MissingModalitySegLib.sampledata import addSyntheticPatient, registerSampleData
from MissingModalitySegLib.students import StudentChooser

POLL_MILLISECONDS = 100


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
            "to four of FLAIR, T1ce, T1 and T2. The volumes must be skull-stripped and show the head in the "
            "same place; their grids may differ. <b>Research use only, not a medical device.</b> Nothing "
            "leaves this computer."
        )
        parent.acknowledgementText = _(
            "Networks: Y. Ding, X. Yu, Y. Yang: RFNet: Region-aware Fusion Network for Incomplete "
            "Multi-modal Brain Tumor Segmentation (ICCV 2021), and A. Myronenko: 3D MRI Brain Tumor "
            "Segmentation Using Autoencoder Regularization (BrainLes 2018), trained on random subsets of "
            "the sequences. The card of each model names the data that it was trained on; please cite "
            "those too."
        )
        slicer.app.connect("startupCompleted()", self.onStartupCompleted)

    def onStartupCompleted(self):
        """Register the codes that Slicer's lists lack, and the synthetic patient among the sample data."""
        terminology = self.resourcePath("SegmentationCategoryTypeModifier-MissingModality.term.json")
        slicer.modules.terminologies.logic().LoadTerminologyFromFile(terminology)
        registerSampleData()


class Device(Enum):
    """Where the network runs; values as on the command line."""

    AUTO = "auto"
    CPU = "cpu"
    GPU = "cuda"

    def label(self):
        return {"auto": _("Automatic"), "cpu": _("CPU"), "cuda": _("GPU (CUDA)")}[self.value]


@parameterNodeWrapper
class MissingModalitySegParameterNode:
    """State of the panel, kept in the scene; an empty ``studentPath`` means the default model."""

    flair: vtkMRMLScalarVolumeNode
    t1ce: vtkMRMLScalarVolumeNode
    t1: vtkMRMLScalarVolumeNode
    t2: vtkMRMLScalarVolumeNode
    outputSegmentation: vtkMRMLSegmentationNode
    regions: bool = False
    device: Device = Device.AUTO
    studentPath: str = ""

    def inputs(self):
        """Chosen volume nodes by ``Modality``, in channel order."""
        nodes = {modality: getattr(self, modality.name.lower()) for modality in MODALITIES}
        return {modality: node for modality, node in nodes.items() if node is not None}


class MissingModalitySegWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """The panel. It holds no state of its own: what is chosen lies in the parameter node."""

    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic = None
        self._parameterNode = None
        self._guiTag = None
        self._run = None
        self._timer = None
        self._students = None

    def setup(self):
        super().setup()
        uiWidget = slicer.util.loadUI(self.resourcePath("UI/MissingModalitySeg.ui"))
        self.layout.addWidget(uiWidget)
        self.ui = slicer.util.childWidgetVariables(uiWidget)
        uiWidget.setMRMLScene(slicer.mrmlScene)
        self.logic = MissingModalitySegLogic()
        self._timer = qt.QTimer()
        self._timer.setInterval(POLL_MILLISECONDS)
        self._timer.timeout.connect(self._onTimer)
        self._students = StudentChooser(
            self.ui.studentSelector, self.ui.studentPathLabel, self.ui.studentPathEdit, self._onStudentChosen
        )
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndCloseEvent, self.onSceneEndClose)
        self.ui.detectButton.clicked.connect(self.onDetect)
        self.ui.applyButton.clicked.connect(self.onApply)
        self.ui.cancelButton.clicked.connect(self.onCancel)
        self.initializeParameterNode()

    def cleanup(self):
        """The application is about to delete the panel."""
        self.onCancel()
        self.setParameterNode(None)
        self.removeObservers()

    def enter(self):
        self.initializeParameterNode()

    def exit(self):
        """A running segmentation goes on while another module is shown, so its state is kept."""

    def onSceneStartClose(self, caller, event):
        self.onCancel()
        self.setParameterNode(None)

    def onSceneEndClose(self, caller, event):
        self._tell(self.ui.detectionLabel, "")
        self._tell(self.ui.statusLabel, "")
        self.ui.volumesTable.setRowCount(0)
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
        self._parameterNode = parameterNode
        if self._parameterNode is not None:
            self._guiTag = self._parameterNode.connectGui(self.ui)
            self.addObserver(self._parameterNode.parameterNode, modified, self._updateGui)
            self._students.show(self._parameterNode.studentPath)
            self._updateGui()

    def onDetect(self):
        """Fill the selectors with the volumes that fit best, and say why."""
        guesses = self.logic.detectInputs()
        inputs, remarks = self.logic.proposeInputs()
        for modality in MODALITIES:
            setattr(self._parameterNode, modality.name.lower(), inputs.get(modality))
        found = [
            _("{sequence}: '{name}', {confidence}% sure. {reason}").format(
                sequence=modality.title,
                name=node.GetName(),
                confidence=round(100 * guesses[node.GetID()].confidence),
                reason=guesses[node.GetID()].reason,
            )
            for modality, node in inputs.items()
        ]
        nothing = [] if inputs else [_("No loaded volume tells its sequence; choose by hand.")]
        self._tell(self.ui.detectionLabel, "\n".join([*found, *nothing, *remarks]))

    def onApply(self):
        """Start the segmentation; what is wrong with the input is told, and nothing changes."""
        state = self._parameterNode
        try:
            ensureDependencies(_("Brain tumor segmentation"), self.resourcePath("requirements.txt"))
            self._run = self.logic.startSegmentation(
                {modality.name: node for modality, node in state.inputs().items()},
                state.outputSegmentation,
                state.studentPath or None,
                state.device.value,
                state.regions,
                self._onProgress,
                self._onFinished,
            )
        except (MissingModalityError, RuntimeError) as error:
            self._tellFailure(str(error))
            return
        self.ui.volumesTable.setRowCount(0)
        self._tell(self.ui.statusLabel, _("Starting..."))
        self._timer.start()
        self._updateGui()

    def onCancel(self):
        if self._run is not None:
            self._run.cancel()

    def _onTimer(self):
        if self._run is not None:
            self._run.poll()

    def _onProgress(self, event):
        stages = {
            "read": _("Reading the volumes"),
            "prepare": _("Bringing the volumes onto one grid"),
            "segment": _("Segmenting"),
            "write": _("Writing the result"),
        }
        self.ui.progressBar.setMaximum(event.total)
        self.ui.progressBar.setValue(event.step)
        self._tell(self.ui.statusLabel, stages.get(event.stage, event.stage) + "...")

    def _onFinished(self, run):
        self._timer.stop()
        self._run = None
        if run.cancelled:
            self._tell(self.ui.statusLabel, _("Canceled. The scene is as it was."))
        elif run.exception is not None:
            self._tellFailure(str(run.exception))
        else:
            self._parameterNode.outputSegmentation = run.segmentation
            self._showResult(run)
        self._updateGui()

    def _tell(self, label, text):
        label.setText(text)
        label.setVisible(bool(text))

    def _tellFailure(self, message):
        self._tell(self.ui.statusLabel, message)
        slicer.util.errorDisplay(message, windowTitle=_("Brain tumor segmentation"))

    def _showResult(self, run):
        volumes = self.logic.volumes(run.segmentation)
        table = self.ui.volumesTable
        table.setRowCount(len(volumes))
        for row, segment in enumerate((*SEGMENTS, *reversed(REGION_SEGMENTS))):
            table.setItem(row, 0, qt.QTableWidgetItem(_(segment.name)))
            table.setItem(row, 1, qt.QTableWidgetItem(f"{volumes[segment.id]:.2f}"))
        table.resizeColumnToContents(0)
        done = _("Done in {seconds} s on {device} with {sequences}.").format(
            seconds=round(run.report["seconds"]["total"]),
            device=run.report["device"]["description"],
            sequences=run.report["modalities"],
        )
        self._tell(self.ui.statusLabel, "\n".join([done, *run.report["warnings"]]))

    def _onStudentChosen(self):
        if self._parameterNode is not None:
            self._parameterNode.studentPath = self._students.path
            self._updateGui()

    def _unmetConditions(self):
        """What keeps Apply from working, for its tooltip."""
        nodes = list(self._parameterNode.inputs().values())
        twice = len({node.GetID() for node in nodes}) < len(nodes)
        conditions = {
            _("A segmentation is running."): self._run is not None,
            _("Choose at least one volume."): not nodes,
            _("Choose each volume for one sequence only."): twice,
            _("Choose a model file that exists."): not self._students.isUsable(),
        }
        return [text for text, unmet in conditions.items() if unmet]

    def _updateGui(self, caller=None, event=None):
        if self._parameterNode is None:
            return
        unmet = self._unmetConditions()
        self.ui.applyButton.setEnabled(not unmet)
        self.ui.applyButton.setToolTip("\n".join(unmet) or _("Segment the tumor in the chosen volumes"))
        self.ui.cancelButton.setEnabled(self._run is not None)
        self.ui.progressBar.setVisible(self._run is not None)


class MissingModalitySegLogic(ScriptedLoadableModuleLogic):
    """Segmentation of MRML volumes, for the panel and for scripts."""

    def getParameterNode(self):
        return MissingModalitySegParameterNode(super().getParameterNode())

    def segment(
        self, inputs, outputSegmentation=None, student=None, device="auto", regions=False, onProgress=None
    ):
        """Segment the tumor and wait for the result.

        Args:
            inputs: volume nodes by sequence name, any of "FLAIR", "T1CE", "T1", "T2". The first one is the
                reference: the segments lie on its grid.
            outputSegmentation: segmentation node to overwrite; a new one where None.
            student: path of a .safetensors file; the bundled model where None.
            device: "auto", "cpu", "cuda" or "cuda:N".
            regions: add whole tumor and tumor core.
            onProgress: called with each ``MissingModalityLib.progress.Event``.

        Returns:
            The vtkMRMLSegmentationNode.

        Raises:
            MissingModalityError: bad input; the message names the volume and the remedy.
            RuntimeError: the process crashed; Slicer's log has the details.
            In both cases the scene is unchanged.
        """
        run = self.startSegmentation(inputs, outputSegmentation, student, device, regions, onProgress)
        run.wait()
        if run.exception is not None:
            raise run.exception
        return run.segmentation

    def startSegmentation(
        self,
        inputs,
        outputSegmentation=None,
        student=None,
        device="auto",
        regions=False,
        onProgress=None,
        onFinished=None,
    ):
        """Like :meth:`segment`, without waiting.

        Args:
            onFinished: called with the SegmentationRun at the end, whatever the end is.

        Returns:
            The SegmentationRun: call its ``poll()`` from a timer; ``cancel()`` ends it.

        Raises:
            MissingModalityError: as :meth:`segment`, as far as known before the start.
        """
        nodes = nodesByModality(inputs)
        finished = onFinished or (lambda run: None)
        return SegmentationRun(nodes, outputSegmentation, student, device, regions, onProgress, finished)

    def detectInputs(self, scene=None):
        """Guess the MRI sequence of each loaded volume.

        Returns:
            ``Guess(modality, confidence, reason)`` by node ID; ``modality`` is None where nothing tells.
        """
        from MissingModalityLib import mrml

        return mrml.detect_inputs(scene or slicer.mrmlScene)

    def proposeInputs(self, scene=None):
        """The most likely volume for each sequence.

        Returns:
            Volume nodes by ``Modality``, and remarks for people about volumes that were left out.
        """
        from MissingModalityLib import mrml

        scene = scene or slicer.mrmlScene
        return mrml.assign_inputs(scene, mrml.detect_inputs(scene))

    def volumes(self, segmentationNode):
        """Volumes in cm3 by segment ID: NCR, ED, ET, TC (tumor core), WT (whole tumor)."""
        from MissingModalityLib import mrml

        return mrml.region_volumes(segmentationNode)


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
        inputs, remarks = MissingModalitySegLogic().proposeInputs()
        assert inputs == patient, f"proposed {inputs} for {patient}"
        assert not remarks, remarks

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
        return addSyntheticPatient(seed=1, shape=(78, 120, 120), spacing=(2.0, 2.0, 2.0))
