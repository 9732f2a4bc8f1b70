"""The section Result: measures, display and export of one segmentation node."""

from html import escape

import qt
from slicer.i18n import tr as _

from MissingModalityLib.core.errors import MissingModalityError
from MissingModalityLib.core.labels import CAVITY_REGION
from MissingModalityLib.core.segments import REGION_SEGMENTS, SEGMENTS, disjoint_segments
from MissingModalityLib.inference.expected_dice import Grade
from MissingModalityPanelLib.dependencies import ensureDicomSeg
from MissingModalityPanelLib.section import Section
from MissingModalityPanelLib.segmentnames import segmentName
from MissingModalityPanelLib.widgets import fillTable, setStatus, signalsBlocked
from MissingModalitySegLib.expectationsection import SIGNS, gradedLine, patientCount
from MissingModalitySegLib.resultview import otherSegments, stampOf


class ResultSection(Section):
    """Shows the chosen output segmentation, else the one that the last run has made."""

    name = "result"

    def __init__(self, panel):
        super().__init__(panel)
        self._node = self._made = self._stamp = self._report = self._shown = None
        header = self.ui.volumesTable.horizontalHeader()
        header.setSectionResizeMode(qt.QHeaderView.ResizeToContents)  # of every column, so it comes first
        # names are the widest cells, and wrap; numbers would be cut off
        header.setSectionResizeMode(0, qt.QHeaderView.Stretch)
        self.ui.opacitySlider.valueChanged.connect(self._onOpacity)
        self.ui.saveButton.clicked.connect(self._onSave)
        self.ui.dicomButton.clicked.connect(self._onDicom)
        self.ui.regionsButton.clicked.connect(self._onRegions)
        self.ui.regionsButton.setVisible(False)

    def showRun(self, run):
        """A run has made a segmentation: what it reports is shown as long as the node is, and is as made."""
        # the output selector stays as it is: a second run must not overwrite what came of this one
        self._made, self._stamp, self._report = run.segmentation, stampOf(run.segmentation), run.report
        self._shown = None
        self.update()

    def isAsMade(self, node):
        """Whether a node holds what the last run has made, and nobody has changed it since."""
        return node is self._made and stampOf(node) == self._stamp

    def update(self):
        if self._made is not None and self._made.GetScene() is None:  # the user has deleted it
            self._made = None
        self._showNode(self.state.outputSegmentation or self._made)

    def reset(self):
        self._made = None

    def _showNode(self, node):
        """Tie display and export to a segmentation node, or to none; without one the section is closed."""
        if (node is None) != (self._node is None):
            self.ui.resultCollapsibleButton.collapsed = node is None
        self._node = node
        self._showMeasures(stampOf(node) if node is not None and node is self._made else None)
        setStatus(self.ui.resultLabel, node.GetName() if node is not None else "")
        display = node.GetDisplayNode() if node is not None else None
        self.ui.show3DButton.setSegmentationNode(node)
        for name in ("show3DButton", "opacitySlider", "saveButton", "dicomButton"):
            getattr(self.ui, name).setEnabled(display is not None)
        if display is not None:
            with signalsBlocked(self.ui.opacitySlider):
                self.ui.opacitySlider.setValue(display.GetOpacity3D())

    def _showMeasures(self, stamp):
        """Table and texts of what the last run has made.

        Args:
            stamp: of its segments as they are now; None where another node is shown, or none.
        """
        if stamp == self._shown and stamp is not None:
            return
        if stamp not in (None, self._stamp) and not self.panel.isShown:
            return  # somebody is at work in the Segment Editor; measured when the panel is shown again
        self._shown = stamp
        self.ui.volumesTable.setRowCount(0)
        self.ui.regionsButton.setVisible(False)
        for label in (self.ui.estimateLabel, self.ui.notesLabel, self.ui.presenceLabel):
            setStatus(label, "")
        if stamp is None:
            return
        setStatus(self.ui.notesLabel, notesText(self._report))
        if stamp != self._stamp:
            self._measureAnew()
            return
        self._fillTable(self._report["volumes_cm3"], self._report["axial_diameters_mm"])
        setStatus(self.ui.estimateLabel, worthText(self._report))
        # only models with a presence head report it
        presence = self._report.get("presence", {})
        shares = [f"{segmentName(s.id)} {100 * presence[s.id]:.0f} %" for s in SEGMENTS if s.id in presence]
        text = _("Present at all: {shares}").format(shares=", ".join(shares))
        setStatus(self.ui.presenceLabel, text if shares else "")

    def _measureAnew(self):
        """Segments that were corrected by hand have other measures, and the model has not judged them."""
        text = _("The segments were changed since they were made, and are measured as they are now.")
        told = []
        try:
            told = self._oddities()
            self._fillTable(*self.logic.measures(self._node))
        except MissingModalityError as error:  # their volume is gone, or all of them are
            text = _("The segments were changed since they were made.") + f" {error}"
        text = " ".join([text, *told])
        self._shown = stampOf(self._node)  # whole tumor and tumor core have followed their parts
        setStatus(self.ui.estimateLabel, f"{SIGNS[Grade.CHECK]} {escape(text)}")

    def _oddities(self):
        """Let whole tumor and core follow their parts; sentences about what is shown and not counted."""
        apart = self.logic.updateRegions(self._node)
        self.ui.regionsButton.setVisible(bool(apart))
        return [text for text in (apartText(apart), leftOutText(self._node)) if text]

    def _onRegions(self, *_arguments):
        """Make whole tumor and tumor core anew, whatever was drawn in them."""
        try:
            self.logic.updateRegions(self._node, drawn=True)
        except MissingModalityError as error:
            self.panel.showError(str(error))
        self.panel.updateGui()

    def _fillTable(self, volumes, diameters):
        """Volumes in cm³ and longest axial diameters in mm, by ID of the segment."""
        segments = (*REGION_SEGMENTS, *disjoint_segments(CAVITY_REGION in volumes))
        rows = [
            (segmentName(segment.id), f"{volumes[segment.id]:.2f}", f"{diameters[segment.id]:.0f}")
            for segment in segments
        ]
        fillTable(self.ui.volumesTable, rows, numbers=(1, 2))

    def _onOpacity(self, value):
        if self._node is not None:
            self.logic.setOpacity(self._node, value)

    def _onSave(self, *_arguments):
        name = f"{self._node.GetName()}.nii.gz"
        path = qt.QFileDialog.getSaveFileName(
            None, _("Save label map"), name, _("Label map (*.nii.gz *.nrrd)")
        )
        if path:
            self._write(self.logic.saveLabelMap, path, placeText(self._node))

    def _onDicom(self, *_arguments):
        name = f"{self._node.GetName()}.dcm"
        path = qt.QFileDialog.getSaveFileName(None, _("Save DICOM SEG"), name, _("DICOM SEG (*.dcm)"))
        if path:
            self._write(self._saveDicom, path)

    def _saveDicom(self, node, path):
        ensureDicomSeg(self.panel.title)
        self.logic.saveDicomSeg(node, path)

    def _write(self, save, path, place=""):
        try:
            save(self._node, path)
        except (MissingModalityError, RuntimeError) as error:
            self.panel.run.setStatus(str(error))
            self.panel.showError(str(error))
        else:
            told = [_("Wrote {path}").format(path=path), place, *self._oddities()]
            self.panel.run.setStatus("\n".join(filter(None, told)))


def placeText(node):
    """A sentence where a label map lies elsewhere than the file of its volume; empty where it does not."""
    reference = node.GetNodeReference(node.GetReferenceImageGeometryReferenceRole())
    transform = reference.GetParentTransformNode() if reference is not None else None
    text = _(
        "It lies where '{volume}' is shown, under the transform '{transform}', and not over its file. "
        "Take both out of the transform for that, or harden it and save the volume too."
    )
    return text.format(volume=reference.GetName(), transform=transform.GetName()) if transform else ""


def apartText(names):
    """A sentence about regions that are not the sums of their parts; empty where there are none."""
    text = _(
        "As it is shown, no longer the sum of its parts: {segments}. The table and files go by the parts; "
        "draw in these alone."
    )
    return text.format(segments=", ".join(names)) if names else ""


def leftOutText(node):
    """A sentence about segments that somebody has added; empty where there are none."""
    others = otherSegments(node)
    text = _(
        "Not counted and not in files, for they are none of the segments of a result: {segments}. Draw what "
        "belongs to the tumor into these."
    )
    return text.format(segments=", ".join(others)) if others else ""


def worthText(report):
    """How far to trust this very result, region by region, as rich text.

    That is the Dice that the model estimates for it, and the mean of patients with the same sequences, as far
    as the report has them; the grade goes by the first one that is there.
    """
    estimated = report.get("estimated_dice", {})
    expectation = report.get("expectation", {"dice": {}})
    told = [_("Dice estimated for it")] if estimated else []
    if expectation["dice"]:
        mean = _("mean Dice of {patients} with {sequences}")
        told.append(mean.format(patients=patientCount(expectation["cases"]), sequences=report["modalities"]))
    heading = _("What <b>this result</b> is worth")
    if not told:
        text = _("{heading}: nothing tells; the model was never evaluated on {sequences}.")
        return f"{SIGNS[Grade.CHECK]} {text.format(heading=heading, sequences=report['modalities'])}"
    named = {_("estimated"): estimated, _("mean"): expectation["dice"]}
    grades = {region: Grade.of(value) for region, value in (estimated or expectation["dice"]).items()}
    lines = [
        gradedLine(
            region, grade, ", ".join(f"{name} {dice[region]:.2f}" for name, dice in named.items() if dice)
        )
        for region, grade in grades.items()
    ]
    advice = _("Look at every slice before you use it.") if grades["WT"] is Grade.CHECK else ""
    return "<br>".join([f"{heading}: {', '.join(told)}", *lines, *filter(None, [advice])])


def notesText(report):
    """What the user should know about the volumes and what was done to them, as rich text."""
    if not report["warnings"]:
        return f"{SIGNS[Grade.RELIABLE]} {_('Nothing to note about the volumes.')}"
    return "<br>".join(f"{SIGNS[Grade.CHECK]} {escape(warning)}" for warning in report["warnings"])
