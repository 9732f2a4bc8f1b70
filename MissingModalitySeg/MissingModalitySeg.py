"""The clinician's panel: whatever MRI sequences are loaded go in, tumor segments come out."""

import importlib.util
import os
import sys
from pathlib import Path

import qt
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

if importlib.util.find_spec("MissingModalityLib") is None:
    # In a source tree the library lies beside the other module; an installed extension has all in one folder.
    sys.path.append(str(Path(__file__).resolve().parents[1] / "MissingModalityTrain"))

from MissingModalityLib.core.errors import MissingModalityError
from MissingModalityLib.core.modalities import MODALITIES, Modality
from MissingModalityLib.core.segments import REGION_SEGMENTS, SEGMENTS
from MissingModalityPanelLib.dependencies import ensureDependencies, isTorchInstalled
from MissingModalityPanelLib.widgets import connectParameters, describeGrid, silenced
from MissingModalitySegLib.devicefinder import DeviceFinder
from MissingModalitySegLib.foldertexts import outcomeText, progressText
from MissingModalitySegLib.logic import MissingModalitySegLogic
from MissingModalitySegLib.outlook import outlook
from MissingModalitySegLib.results import ResultSection
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


class MissingModalitySegWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """The panel. It holds no state of its own: what is chosen lies in the parameter node."""

    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic = None
        self._parameterNode = None
        self._guiTag = None
        self._entered = False
        self._run = None
        self._timer = None
        self._students = None
        self._devices = None
        self._result = None
        self._made = None

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
        self._students = StudentChooser(self.ui, self._onStudentChosen)
        self._devices = DeviceFinder(self.ui.deviceFoundLabel)
        self._result = ResultSection(self.ui, self.logic, self._tellStatus, self._tellFailure)
        self._folders = {
            "folderDataPath": self.ui.folderDataEdit,
            "folderOutputPath": self.ui.folderOutputEdit,
        }
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndCloseEvent, self.onSceneEndClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndImportEvent, self.onSceneEndImport)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.NodeRemovedEvent, self._updateGui)
        self.ui.detectButton.clicked.connect(self.onDetect)
        self.ui.applyButton.clicked.connect(self.onApply)
        self.ui.cancelButton.clicked.connect(self.onCancel)
        self.ui.folderButton.clicked.connect(self.onSegmentFolder)
        for edit in self._folders.values():
            edit.currentPathChanged.connect(self._onFolderChosen)
            edit.validInputChanged.connect(self._onFolderChosen)  # all that is told of a cleared path
        self.initializeParameterNode()

    def cleanup(self):
        """The application is about to delete the panel."""
        self.onCancel()
        self._timer.stop()
        self._devices.stop()
        self.setParameterNode(None)
        self.removeObservers()

    def enter(self):
        self._students.refresh()
        self.initializeParameterNode()
        self._timer.start()
        self._entered = True
        self._updateGui()

    def exit(self):
        """A running segmentation goes on while another module is shown, so its state is kept."""
        self._entered = False
        self._devices.stop()

    def onSceneStartClose(self, caller, event):
        self.onCancel()
        self.setParameterNode(None)

    def onSceneEndClose(self, caller, event):
        self._tell(self.ui.detectionLabel, "")
        self._tellStatus("")
        self._made = None
        self._result.forget()
        self.initializeParameterNode()

    def onSceneEndImport(self, caller, event):
        """The choices of a loaded scene may name volumes that came in after them."""
        self.setParameterNode(self.logic.getParameterNode())

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
            self._guiTag = connectParameters(parameterNode, self.ui)
            self._parameterNode = parameterNode
            self.addObserver(parameterNode.parameterNode, modified, self._updateGui)
            self._updateGui()

    def onDetect(self):
        """Fill the selectors with the volumes that fit best, and say why."""
        guesses = self.logic.detectInputs()
        inputs, warnings = self.logic.proposeInputs()
        for modality, node in self._parameterNode.inputs().items():
            guess = guesses.get(node.GetID())  # none for volumes that cannot be an input
            if guess is None or guess.modality is None:  # chosen by hand, and nothing speaks against it
                inputs.setdefault(modality, node)
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
            if node.GetID() in guesses
        ]
        nothing = [] if inputs else [_("No loaded volume tells its sequence; choose by hand.")]
        self._tell(self.ui.detectionLabel, "\n".join([*found, *nothing, *warnings]))

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
        except (MissingModalityError, RuntimeError, OSError) as error:
            self._tellFailure(str(error))
            return
        self._begin()

    def onSegmentFolder(self):
        """Start on all patients of a folder; nothing comes into the scene."""
        state = self._parameterNode
        try:
            ensureDependencies(_("Brain tumor segmentation"), self.resourcePath("requirements.txt"))
        except RuntimeError as error:
            self._tellFailure(str(error))
            return
        self._run = self.logic.startFolder(
            state.folderDataPath,
            state.folderOutputPath,
            state.studentPath or None,
            state.device.value,
            self._onFolderProgress,
            self._onFolderFinished,
        )
        self._begin()

    def _begin(self):
        self.ui.progressBar.setValue(0)
        self._tellStatus(_("Starting..."))
        self._updateGui()

    def onCancel(self):
        if self._run is not None:
            self._run.cancel()

    def _onTimer(self):
        self._devices.poll()
        if self._run is not None:
            self._run.poll()

    def _onProgress(self, event):
        stages = {
            "read": _("Reading the volumes"),
            "prepare": _("Bringing the volumes onto one grid"),
            "segment": _("Segmenting"),
            "write": _("Writing the result"),
        }
        self._showStep(event)
        self._tellStatus(stages.get(event.stage, event.stage) + "...")

    def _showStep(self, event):
        self.ui.progressBar.setMaximum(event.total)
        self.ui.progressBar.setValue(event.step)

    def _onFolderProgress(self, event):
        self._showStep(event)
        if event.message:
            self._tellStatus(progressText(event))

    def _onFolderFinished(self, job):
        self._run = None
        if job.error and not job.cancelled:
            self._tellFailure(job.error)
        else:
            self._tellStatus(outcomeText(job))
        self._updateGui()

    def _onFinished(self, run):
        self._run = None
        if run.cancelled:
            self._tellStatus(_("Canceled. The scene is as it was."))
        elif run.exception is not None:
            self._tellFailure(str(run.exception))
        else:
            # the selector stays as it is: a second run must not overwrite what came of this one
            self._made = run.segmentation
            self._showResult(run)
        self._updateGui()

    def _tell(self, label, text):
        label.setText(text)
        label.setVisible(bool(text))

    def _tellStatus(self, text):
        self._tell(self.ui.statusLabel, text)

    def _tellFailure(self, message):
        self._tellStatus(message)
        slicer.util.errorDisplay(message, windowTitle=_("Brain tumor segmentation"))

    def _showResult(self, run):
        self._result.showMeasures(run.segmentation, run.report)
        slicer.util.setSliceViewerLayers(background=run.reference, fit=True)
        done = _("Done in {seconds} s on {device} with {sequences}.").format(
            seconds=round(run.report["seconds"]["total"]),
            device=run.report["device"]["description"],
            sequences=run.report["modalities"],
        )
        self._tellStatus("\n".join([done, *run.report["warnings"]]))

    def _showChoices(self):
        """Fill the widgets that the wrapper cannot tie to a field: model and paths."""
        self._students.show(self._parameterNode.studentPath)
        for field, edit in self._folders.items():
            path = getattr(self._parameterNode, field)
            if edit.currentPath != path:  # else the cursor would jump while somebody types
                with silenced(edit):
                    edit.setCurrentPath(path)

    def _onStudentChosen(self):
        if self._parameterNode is not None:
            self._parameterNode.studentPath = self._students.choice
            self._updateGui()

    def _onFolderChosen(self, *_arguments):
        if self._parameterNode is not None:
            chosen = {field: edit.currentPath for field, edit in self._folders.items()}
            for field, path in chosen.items():
                setattr(self._parameterNode, field, path)
            self._updateGui()

    def _showDevice(self):
        """Not beside a run, since both would be slower and the estimate wrong, and not unseen."""
        if self._run is not None or self._students.problem or not self._entered:
            self._devices.stop()
        else:
            self._devices.show(self._parameterNode.device.value, self._students.path)

    def _usedTwice(self):
        """A sentence about a volume chosen for two sequences, empty where there is none."""
        first = {}
        for modality, node in self._parameterNode.inputs().items():
            other = first.setdefault(node.GetID(), modality)
            if other is not modality:
                return _("'{name}' is chosen for both {first} and {second}. Choose each volume once.").format(
                    name=node.GetName(), first=other.title, second=modality.title
                )
        return ""

    def _unmetConditions(self):
        """For each button that starts something what keeps it from working, for its tooltip."""
        state = self._parameterNode
        general = [_("A segmentation is running.")] if self._run is not None else []
        general += [self._students.problem] if self._students.problem else []
        nothing = [] if state.inputs() else [_("Choose at least one volume.")]
        twice = [self._usedTwice()] if self._usedTwice() else []
        data = [] if os.path.isdir(state.folderDataPath) else [_("Choose the folder of patients.")]
        output = [] if state.folderOutputPath else [_("Choose a folder for the results.")]
        return {
            self.ui.applyButton: [*general, *nothing, *twice],
            self.ui.folderButton: [*general, *data, *output],
        }

    def _updateGui(self, caller=None, event=None):
        if self._parameterNode is None:
            return
        self._showChoices()
        ready = {
            self.ui.applyButton: _("Segment the tumor in the chosen volumes"),
            self.ui.folderButton: _("Segment every patient from the sequences that the folder has of them"),
        }
        for button, unmet in self._unmetConditions().items():
            button.setEnabled(not unmet)
            button.setToolTip("\n".join(unmet) or ready[button])
        self.ui.cancelButton.setEnabled(self._run is not None)
        self.ui.progressBar.setVisible(self._run is not None)
        self._showInputs()
        self._showDevice()
        self._result.showNode(self._parameterNode.outputSegmentation or self._lastResult())

    def _lastResult(self):
        """The segmentation that the last run has made, as long as the scene has it."""
        if self._made is not None and self._made.GetScene() is None:
            self._made = None
        return self._made

    def _showInputs(self):
        """Each volume's grid, and what to expect of all of them."""
        inputs = self._parameterNode.inputs()
        for modality in MODALITIES:
            caption = describeGrid(inputs[modality]) if modality in inputs else ""
            self._tell(getattr(self.ui, f"{modality.name.lower()}CaptionLabel"), caption)
        text = self._usedTwice() or self._students.problem
        if inputs and not text:
            text = outlook(self._students.card, tuple(inputs))
        self._tell(self.ui.expectationLabel, text if inputs else "")


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
        return addSyntheticPatient(seed=1, shape=(78, 120, 120), spacing=(2.0, 2.0, 2.0))
