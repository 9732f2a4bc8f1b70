"""The section Synthesis: look at what one tumor does in another brain, and write a whole synthetic set."""

import tempfile
from pathlib import Path
from typing import Annotated

import slicer
from slicer.i18n import tr as _
from slicer.parameterNodeWrapper import Choice, WithinRange

from MissingModalityLib.core.modalities import MODALITIES, Modality
from MissingModalityPanelLib.jobline import JobLine
from MissingModalityPanelLib.progresstexts import withWarnings
from MissingModalityPanelLib.section import Section
from MissingModalityPanelLib.slowdisks import isFolder
from MissingModalityPanelLib.widgets import setEnabledWithReason, setStatus, signalsBlocked
from MissingModalityTrainLib.viewlayouts import showVolumes

OWN = "MissingModality.preview"
"""Attribute that tells the nodes of a preview, those of a scene that was loaded too."""

IMAGES = ("x_a", "d_b", "t_b", "x_ab")
"""Steps of a preview, as the command names their files."""

DIFFERENCES = ("absolute", "signed", "none")
"""What a tumor brings along; values of the option of the synthesis."""

PLACEMENTS = ("aligned", "random")
"""Where a tumor goes; values of the option of the synthesis."""


def previewNames():
    """Texts of the nodes by step."""
    return {
        "x_a": _("X_A {sequence} of {recipient}"),
        "d_b": _("D_B asymmetry of {donor}"),
        "t_b": _("T_B tumor of {donor}"),
        "x_ab": _("X_AB {sequence} with tumor"),
    }


def differenceLabels():
    """Texts to show by difference."""
    return {
        "absolute": _("Absolute (as in the paper)"),
        "signed": _("Signed (as in its public code)"),
        "none": _("None: the tumor's own intensities"),
    }


def placementLabels():
    """Texts to show by placement."""
    return {"aligned": _("Where the donor has it"), "random": _("Anywhere in the brain")}


class SynthesisParameters:
    """Empty texts are not chosen yet; ``modality`` is the name of the ``Modality`` that a preview shows."""

    recipient: str = ""
    donor: str = ""
    modality: Annotated[str, Choice([modality.name for modality in MODALITIES])] = MODALITIES[0].name
    difference: Annotated[str, Choice(DIFFERENCES)] = DIFFERENCES[0]
    placement: Annotated[str, Choice(PLACEMENTS)] = PLACEMENTS[0]
    # scenes keep parameters by name, so these two stay though the options have new ones
    clip: bool = False
    blend: Annotated[float, WithinRange(0, 10)] = 0.0
    factor: Annotated[int, WithinRange(2, 32)] = 4
    synthesisPath: str = ""

    def synthesisOptions(self):
        """What differs from the paper's options, as texts by name."""
        chosen = {
            "difference": (self.difference, DIFFERENCES[0]),
            "placement": (self.placement, PLACEMENTS[0]),
            "clip_to_brain": (str(self.clip).lower(), "false"),
            "feather_mm": (f"{self.blend:g}", "0"),
        }
        return {name: value for name, (value, default) in chosen.items() if value != default}


class SynthesisSection(Section):
    """Donors and recipients are the labeled cases that the section Data has found."""

    name = "synthesis"
    Parameters = SynthesisParameters
    paths = ("synthesisPath",)
    choices = ("recipient", "donor", "modality", "difference", "placement")

    def __init__(self, panel):
        super().__init__(panel)
        self._folder = None
        self._offered = []
        self._previews = False
        self._job = JobLine(self)
        self.offer("modality", {modality.name: modality.title for modality in MODALITIES})
        self.offer("difference", differenceLabels())
        self.offer("placement", placementLabels())
        self.ui.previewButton.clicked.connect(self.onPreview)
        self.ui.generateButton.clicked.connect(self.onGenerate)

    def onPreview(self):
        """Put X_A, D_B, T_B, X_AB and Y_AB of the chosen pair into the scene."""
        state = self.state
        if not self._canCompute():
            return
        if self._folder is None:
            # the prepared cases stay, so that another look at the same pair is quick; on Windows others may
            # still hold a file when the folder goes
            self._folder = tempfile.TemporaryDirectory(prefix="MissingModality-", ignore_cleanup_errors=True)
        folder = Path(self._folder.name)
        arguments = [
            *("synthesize", "--pair", state.recipient, state.donor, "--modality", state.modality),
            *("--output", folder / "preview", "--prepared", folder / "prepared"),
            *self._common(),
        ]
        words = {
            "sequence": Modality[state.modality].title,
            "recipient": state.recipient,
            "donor": state.donor,
        }
        self._previews = True
        doing = _("Making a preview...")
        self._job.start(arguments, doing, lambda result: self._onPreviewed(result, words))

    def onGenerate(self):
        """Write the synthetic cases of the whole folder."""
        if not self._canCompute():
            return
        folder, factor = self.state.synthesisPath, self.state.factor
        arguments = ["synthesize", "--output", folder, "--factor", str(factor), *self._common()]
        done = _("Synthetic cases in {folder}: {count}; contact_sheet.png there shows some.")
        self._previews = False
        self._job.start(
            arguments,
            _("Starting..."),
            lambda result: withWarnings(
                done.format(count=len(result["synthetic"]), folder=folder), result["warnings"]
            ),
            _("Canceled. Whole cases stay in the folder; Generate makes those that are missing."),
        )

    def update(self):
        state = self.state
        names = [case["name"] for case in self.panel.data.labeled()]
        if names != self._offered:
            self._offerCases(names)
        common = {
            _("A synthesis is running."): self._job.isRunning,
            _("Choose the folder of cases."): not isFolder(state.dataPath),
        }
        count = self.ui.recipientSelector.count
        setEnabledWithReason(
            self.ui.previewButton,
            _("Show each step for the chosen pair in the slice views"),
            {
                **common,
                _("Look at the folder first: the preview needs two cases with labels."): count < 2,
                _("Choose two different cases."): count > 1 and state.recipient == state.donor,
            },
        )
        setEnabledWithReason(
            self.ui.generateButton,
            _("Write the synthetic cases of the whole folder; the recipes make theirs while they train"),
            {**common, _("Choose the output folder."): not state.synthesisPath},
        )
        self._job.update()

    def reset(self):
        """A preview belongs to the scene; cases that are being written do not."""
        if self._previews:
            self._job.cancel()
            setStatus(self.ui.synthesisStatusLabel, "")

    def cleanup(self):
        self._job.cancel()
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    def _offerCases(self, names):
        """Fill both selectors with cases; what was chosen stays if it is among them."""
        self._offered = names
        for number, field in enumerate(("recipient", "donor")):
            self.offer(field, {name: name for name in names})
            selector = self._selectors[field]
            if selector.currentIndex < 0:
                with signalsBlocked(selector):
                    selector.setCurrentIndex(number if len(names) > number else 0)
        self.onChosen("recipient", "donor")

    def _canCompute(self):
        try:
            self.panel.ensureDependencies()
        except RuntimeError as error:
            self._job.fail(str(error))
            return False
        return True

    def _common(self):
        """Arguments that preview and generation share."""
        state = self.state
        arguments = ["--data", state.dataPath, "--seed", str(state.seed)]
        if state.convention:
            arguments += ["--convention", state.convention]
        options = state.synthesisOptions()
        if options:
            arguments += ["--set", *(f"{name}={value}" for name, value in options.items())]
        return arguments

    def _onPreviewed(self, result, words):
        """Everything is built before anything of the last preview goes."""
        import SimpleITK as sitk

        from MissingModalityLib import mrml
        from MissingModalityLib.imaging.volumes import read_image

        images = {name: read_image(Path(result[name])) for name in (*IMAGES, "y_ab")}
        before = previewNodes()  # asked before the new nodes get the same mark
        volumes = [
            mrml.add_volume(slicer.mrmlScene, images[name], text.format(**words))
            for name, text in previewNames().items()
        ]
        labels = mrml.build_segmentation(sitk.GetArrayFromImage(images["y_ab"]), volumes[-1])
        segmentation = mrml.place_segmentation(labels, volumes[-1])
        segmentation.SetName(_("Y_AB labels"))
        for node in (*volumes, segmentation):
            node.SetAttribute(OWN, "1")
        for node in before:
            slicer.mrmlScene.RemoveNode(node)
        # ITK's points are LPS, Slicer's views RAS
        x, y, z = images["x_ab"].TransformIndexToPhysicalPoint(result["center"])
        showVolumes(volumes, segmentation, (-x, -y, z))
        return _(
            "X_A: the recipient. D_B: how the donor's brain differs from its mirror image. T_B: the part "
            "inside the tumor, which is added. X_AB: the sum, with its labels."
        )


def previewNodes():
    """The nodes of the preview in the scene."""
    kinds = ("vtkMRMLScalarVolumeNode", "vtkMRMLSegmentationNode")
    nodes = [node for kind in kinds for node in slicer.util.getNodesByClass(kind)]
    return [node for node in nodes if node.GetAttribute(OWN)]
