"""The section Synthesis: look at what one tumor does in another brain, and write a whole synthetic set."""

import tempfile
from pathlib import Path

import slicer
from slicer.i18n import tr as _

from MissingModalityLib.core.modalities import Modality
from MissingModalityPanelLib.section import JobLine, Section, explain, isFolder, tell
from MissingModalityTrainLib.viewlayouts import showVolumes

OWN = "MissingModality.preview"
"""Attribute that tells the nodes of a preview, those of a scene that was loaded too."""

NAMES = {
    "x_a": "X_A {sequence} of {recipient}",
    "d_b": "D_B asymmetry of {donor}",
    "t_b": "T_B tumor of {donor}",
    "x_ab": "X_AB {sequence} with tumor",
}


class SynthesisSection(Section):
    """Donors and recipients are the labeled cases that the section Data has found."""

    paths = ("synthesisPath",)
    choices = ("recipient", "donor")

    def __init__(self, panel):
        super().__init__(panel)
        self._folder = None
        self._offered = []
        self._previews = False
        self._job = JobLine(self, "synthesis")
        self.ui.previewButton.clicked.connect(self.onPreview)
        self.ui.generateButton.clicked.connect(self.onGenerate)

    def onPreview(self):
        """Put X_A, D_B, T_B, X_AB and Y_AB of the chosen pair into the scene."""
        state = self.state
        if not self._canCompute():
            return
        if self._folder is None:
            # the prepared cases stay, so that another look at the same pair is quick
            self._folder = tempfile.TemporaryDirectory(prefix="MissingModality-", ignore_cleanup_errors=True)
        folder = Path(self._folder.name)
        arguments = [
            *("synthesize", "--pair", state.recipient, state.donor, "--modality", state.modality.value),
            *("--output", folder / "preview", "--prepared", folder / "prepared"),
            *self._common(),
        ]
        words = {
            "sequence": Modality[state.modality.value].title,
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
        done = _("Wrote {count} synthetic cases to {folder}; contact_sheet.png there shows some.")
        self._previews = False
        self._job.start(
            arguments,
            _("Starting..."),
            lambda result: done.format(count=len(result["synthetic"]), folder=folder),
            _("Canceled. Whole cases stay in the folder; Generate makes those that are missing."),
        )

    def update(self):
        state = self.state
        names = [case["name"] for case in self.panel.data.labeled()]
        if names != self._offered:
            self._offer(names)
        common = {
            _("A synthesis is running."): self._job.running,
            _("Choose the folder of cases."): not isFolder(state.dataPath),
        }
        count = self.ui.recipientSelector.count
        explain(
            self.ui.previewButton,
            _("Show each step for the chosen pair in the slice views"),
            {
                **common,
                _("Look at the folder first: the preview needs two cases with labels."): count < 2,
                _("Choose two different cases."): count > 1 and state.recipient == state.donor,
            },
        )
        explain(
            self.ui.generateButton,
            _("Write the synthetic cases of the whole folder; the recipes make theirs while they train"),
            {**common, _("Choose the output folder."): not state.synthesisPath},
        )
        self._job.update()

    def reset(self):
        """A preview belongs to the scene; cases that are being written do not."""
        if self._previews:
            self._job.cancel()
            tell(self.ui.synthesisStatusLabel, "")

    def cleanup(self):
        self._job.cancel()
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    def _offer(self, names):
        """Fill both selectors with cases; what was chosen stays if it is among them."""
        self._offered = names
        for number, (field, selector) in enumerate(self._selectors.items()):
            selector.blockSignals(True)
            selector.clear()
            for name in names:
                selector.addItem(name, name)
            known = getattr(self.state, field) in names
            first = number if len(names) > number else 0
            selector.setCurrentIndex(selector.findData(getattr(self.state, field)) if known else first)
            selector.blockSignals(False)
        self._onChosen()

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
        from MissingModalityLib import mrml
        from MissingModalityLib.imaging.volumes import read_image

        images = {name: read_image(Path(result[name])) for name in (*NAMES, "y_ab")}
        before = previewNodes()
        volumes = [
            mrml.add_volume(slicer.mrmlScene, images[name], text.format(**words))
            for name, text in NAMES.items()
        ]
        labels = mrml.build_segmentation(mrml.array_of(images["y_ab"]), volumes[-1])
        segmentation = mrml.place_segmentation(labels, volumes[-1])
        segmentation.SetName(_("Y_AB labels"))
        for node in (*volumes, segmentation):
            node.SetAttribute(OWN, "1")
        for node in before:
            slicer.mrmlScene.RemoveNode(node)
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
