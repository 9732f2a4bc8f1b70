"""What is shown of a finished segmentation, and how it leaves Slicer."""

from pathlib import Path

import qt
import slicer
from slicer.i18n import tr as _

from MissingModalityLib.core.errors import MissingModalityError
from MissingModalityLib.core.segments import REGION_SEGMENTS, SEGMENTS
from MissingModalityPanelLib.widgets import silenced

DICOM_PLUGIN = "DICOMSegmentationPlugin"
"""Of the extension QuantitativeReporting."""


class ResultSection:
    """Table, display and export of one segmentation node."""

    def __init__(self, ui, logic, tell, tellFailure):
        """
        Args:
            ui: the panel's widgets.
            logic: the module's logic.
            tell, tellFailure: called with a sentence.
        """
        self._ui, self._logic = ui, logic
        self._done, self._failed = tell, tellFailure
        self._node = self._measured = None
        header = ui.volumesTable.horizontalHeader()
        header.setSectionResizeMode(qt.QHeaderView.ResizeToContents)
        header.setSectionResizeMode(0, qt.QHeaderView.Stretch)
        ui.opacitySlider.valueChanged.connect(self._onOpacity)
        ui.saveButton.clicked.connect(self._onSave)
        ui.dicomButton.clicked.connect(self._onDicom)
        self.showNode(None)

    def showNode(self, node):
        """The segmentation that table, display and export are about, or None."""
        if node is not self._measured:
            self._ui.volumesTable.setRowCount(0)
            self._ui.presenceLabel.setVisible(False)
        self._ui.resultLabel.setText(node.GetName() if node is not None else "")
        self._ui.resultLabel.setVisible(node is not None)
        self._node = node
        display = node.GetDisplayNode() if node is not None else None
        self._ui.show3DButton.setSegmentationNode(node)
        for widget in (self._ui.show3DButton, self._ui.opacitySlider, self._ui.saveButton):
            widget.setEnabled(display is not None)
        if display is not None:
            with silenced(self._ui.opacitySlider):
                self._ui.opacitySlider.setValue(display.GetOpacity3D())
        hasPlugin = DICOM_PLUGIN in getattr(slicer.modules, "dicomPlugins", {})
        self._ui.dicomButton.setEnabled(display is not None and hasPlugin)
        self._ui.dicomButton.setToolTip(
            _("Write the segmentation as a DICOM object; the volumes must have been loaded from DICOM")
            if hasPlugin
            else _("Install the extension QuantitativeReporting to write DICOM SEG")
        )

    def showMeasures(self, node, report):
        """Fill the table from the report of the run that has made a node."""
        self._measured = node
        table = self._ui.volumesTable
        segments = (*REGION_SEGMENTS, *SEGMENTS)
        table.setRowCount(len(segments))
        for row, segment in enumerate(segments):
            diameter = report["axial_diameters_mm"][segment.id]
            volume = report["volumes_cm3"][segment.id]
            texts = (_(segment.name), f"{volume:.2f}", f"{diameter:.0f}")
            for column, text in enumerate(texts):
                table.setItem(row, column, qt.QTableWidgetItem(text))
        self._showPresence(report.get("presence", {}))

    def _showPresence(self, presence):
        """What the model says of the tumor's parts as such; only some models do."""
        shares = [f"{_(s.name)} {100 * presence[s.id]:.0f} %" for s in SEGMENTS if s.id in presence]
        self._ui.presenceLabel.setText(_("Present at all: {shares}").format(shares=", ".join(shares)))
        self._ui.presenceLabel.setVisible(bool(shares))

    def forget(self):
        """Show nothing."""
        self._measured = None
        self.showNode(None)

    def _onOpacity(self, value):
        if self._node is not None:
            self._logic.setOpacity(self._node, value)

    def _onSave(self, *_arguments):
        name = f"{self._node.GetName()}.nii.gz"
        path = qt.QFileDialog.getSaveFileName(
            None, _("Save label map"), name, _("Label map (*.nii.gz *.nrrd)")
        )
        if path:
            self._try(lambda: self._logic.saveLabelMap(self._node, path), path)

    def _onDicom(self, *_arguments):
        folder = qt.QFileDialog.getExistingDirectory(None, _("Folder for the DICOM file"))
        if folder:
            self._try(lambda: self._logic.saveDicomSeg(self._node, folder), folder)

    def _try(self, write, place):
        try:
            write()
        except MissingModalityError as error:
            self._failed(str(error))
        else:
            self._done(_("Wrote {path}").format(path=place))


def saveDicomSeg(node, folder):
    """Write a segmentation as DICOM SEG with the plugin of QuantitativeReporting.

    Raises:
        MissingModalityError: the plugin is absent or fails, or the volume did not come from DICOM.
    """
    try:
        import DICOMSegmentationPlugin
    except ImportError:
        raise MissingModalityError(
            _("DICOM SEG needs the extension QuantitativeReporting. Install it with the Extensions Manager.")
        ) from None
    reference = node.GetNodeReference(node.GetReferenceImageGeometryReferenceRole())
    if reference is None or not reference.GetAttribute("DICOM.instanceUIDs"):
        raise MissingModalityError(
            _(
                "'{name}' cannot be written as DICOM SEG, since the volume it lies on was not loaded from "
                "DICOM. Load that volume with the DICOM module and segment again."
            ).format(name=node.GetName())
        )
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    exporter = DICOMSegmentationPlugin.DICOMSegmentationPluginClass()
    try:
        exportables = exporter.examineForExport(hierarchy.GetItemByDataNode(node))
        for exportable in exportables:
            exportable.directory = str(Path(folder))
        problem = exporter.export(exportables)
    except Exception as error:  # whatever the other extension meets
        problem = str(error)
    if problem:
        raise MissingModalityError(
            _("'{name}' was not written as DICOM SEG: {problem}").format(name=node.GetName(), problem=problem)
        )
