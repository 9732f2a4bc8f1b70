"""The section MRI sequences: one volume selector for each sequence, and their detection by name."""

import qt
import slicer
import vtk
from slicer import vtkMRMLScalarVolumeNode
from slicer.i18n import tr as _

from MissingModalityLib.core.modalities import MODALITIES
from MissingModalityPanelLib.section import Section
from MissingModalityPanelLib.widgets import describeGrid, setStatus

CHANGES = (vtk.vtkCommand.ModifiedEvent, vtkMRMLScalarVolumeNode.ImageDataModifiedEvent)
"""Of a volume: its spacing, or its voxels, which may be replaced in place by cropping or resampling."""


class InputsParameters:
    """One volume node for each sequence, under the sequence's name in lower case."""

    # parameterNodeWrapper makes a parameter of each annotation, here one for each modality of the library
    __annotations__ = {modality.name.lower(): vtkMRMLScalarVolumeNode for modality in MODALITIES}

    def inputs(self):
        """Chosen volume nodes by ``Modality``, in channel order."""
        nodes = {modality: getattr(self, modality.name.lower()) for modality in MODALITIES}
        return {modality: node for modality, node in nodes.items() if node is not None}


class InputsSection(Section):
    """The selectors are made here, not in the .ui file: one for each sequence that the library knows."""

    name = "inputs"
    Parameters = InputsParameters

    def __init__(self, panel):
        super().__init__(panel)
        self._observed = set()
        self._captions = {modality: self._addSelector(modality) for modality in MODALITIES}
        self.ui.detectButton.clicked.connect(self.onDetect)

    def _addSelector(self, modality):
        """A row with the selector, and below it the caption, which is returned."""
        name = modality.name.lower()
        selector = slicer.qMRMLNodeComboBox()
        selector.nodeTypes = ["vtkMRMLScalarVolumeNode"]
        selector.showChildNodeTypes = False  # label maps are a kind of scalar volumes
        selector.addEnabled = selector.removeEnabled = selector.renameEnabled = False
        selector.noneEnabled = True
        selector.noneDisplay = _("None")
        selector.setToolTip(
            _("{sequence} volume. Leave it at None when the patient has no such volume.").format(
                sequence=modality.title
            )
        )
        # a dynamic property, as .ui files set it; the panel ties widgets that have it when all are made
        selector.setProperty("SlicerParameterName", name)
        selector.setMRMLScene(slicer.mrmlScene)
        caption = qt.QLabel()  # of one line: a form keeps room for more below a text that may wrap
        caption.setVisible(False)
        form = self.ui.sequencesWidget.layout()
        form.addRow(f"{modality.title}:", selector)
        form.addRow("", caption)
        setattr(self.ui, f"{name}Selector", selector)
        setattr(self.ui, f"{name}CaptionLabel", caption)
        return caption

    def onDetect(self):
        """Fill the selectors with the volumes that fit best, and give the reasons."""
        guesses = self.logic.detectInputs()
        inputs, warnings = self.logic.proposeInputs()
        for modality, node in self.state.inputs().items():
            guess = guesses.get(node.GetID())  # none for volumes that cannot be an input
            if guess is None or guess.modality is None:  # chosen by hand, and nothing speaks against it
                inputs.setdefault(modality, node)
        for modality in MODALITIES:
            setattr(self.state, modality.name.lower(), inputs.get(modality))
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
        setStatus(self.ui.detectionLabel, "\n".join([*found, *nothing, *warnings]))

    @property
    def problem(self):
        """A sentence about a volume that is chosen for two sequences; empty where there is none."""
        first = {}
        for modality, node in self.state.inputs().items():
            other = first.setdefault(node.GetID(), modality)
            if other is not modality:
                return _("'{name}' is chosen for both {first} and {second}. Choose each volume once.").format(
                    name=node.GetName(), first=other.title, second=modality.title
                )
        return ""

    def update(self):
        self._observe(set(self.state.inputs().values()))
        self._showGrids()

    def _observe(self, nodes):
        for observe, changed in (
            (self.panel.removeObserver, self._observed - nodes),
            (self.panel.addObserver, nodes - self._observed),
        ):
            for node in changed:
                for event in CHANGES:
                    observe(node, event, self._showGrids)
        self._observed = nodes

    def _showGrids(self, *_arguments):
        inputs = self.state.inputs() if self.state else {}
        for modality, caption in self._captions.items():
            setStatus(caption, describeGrid(inputs[modality]) if modality in inputs else "")

    def reset(self):
        setStatus(self.ui.detectionLabel, "")
