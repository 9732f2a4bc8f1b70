"""Segments as DICOM objects from the panel, on series of Slicer's DICOM database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import slicer
import slicer.util
import vtk

pydicom = pytest.importorskip("pydicom", reason="pydicom is not installed")
pytest.importorskip("highdicom", reason="highdicom is not installed")

import dicom_studies  # noqa: E402 - needs pydicom
import qt_standin  # noqa: E402
import slicer_standin  # noqa: E402
from MissingModalityLib import mrml  # noqa: E402
from MissingModalityLib.core.labels import TumorClass  # noqa: E402
from MissingModalityLib.core.modalities import Modality  # noqa: E402
from MissingModalityLib.core.segments import REGION_SEGMENTS, SEGMENTS  # noqa: E402
from seg_panel import add_volumes, opened_panel  # noqa: E402

SEMI = "SEMIAUTOMATIC"
dependencies = slicer_standin.load_module("MissingModalityPanelLib.dependencies")


@pytest.fixture
def panel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    with opened_panel(monkeypatch, tmp_path) as widget:
        yield widget


def segmented(panel: Any) -> Any:
    """A segmentation with regions on the volume chosen for FLAIR, shown as the result."""
    (reference,) = add_volumes("FLAIR")
    panel.ui.detectButton.click()
    classes = np.zeros(mrml.voxels_of(reference).shape, np.uint8)
    classes[6:12, 8:14, 5:15] = TumorClass.ED
    classes[8:11, 9:13, 7:11] = TumorClass.ET
    node = mrml.place_segmentation(mrml.build_segmentation(classes, reference, regions=True), reference)
    panel.ui.outputSelector.setCurrentNode(node)
    return node


class Database:
    """Slicer's DICOM database of these files, as far as it is asked."""

    def __init__(self, files: list[Path]) -> None:
        self.files = {str(pydicom.dcmread(file).SOPInstanceUID): file for file in files}

    def fileForInstance(self, uid: str) -> str:
        return str(self.files.get(uid, ""))


def test_dicom_seg_is_written_on_the_slices_of_its_volume(
    panel: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not panel.ui.dicomButton.enabled
    node = segmented(panel)
    reference = panel.ui.flairSelector.currentNode()
    image = sitk.Cast(mrml.image_of(reference), sitk.sitkInt16)
    files = dicom_studies.save(
        dicom_studies.series(image, dicom_studies.HEADERS[Modality.FLAIR]), tmp_path / "series"
    )
    database = Database(files)
    path = tmp_path / "tumor.dcm"
    monkeypatch.setattr(qt_standin.QFileDialog, "answer", str(path))
    panel.ui.dicomButton.click()
    assert "was not loaded from DICOM" in panel.ui.statusLabel.text and not path.exists()
    monkeypatch.setattr(slicer, "dicomDatabase", database, raising=False)
    reference.SetAttribute("DICOM.instanceUIDs", " ".join(database.files))
    expected = mrml.classes_of(node, reference)
    # where the volume is shown is not where it was acquired
    moved = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTransformNode")
    matrix = vtk.vtkMatrix4x4()
    matrix.SetElement(0, 3, 25.0)
    moved.SetMatrixTransformToParent(matrix)
    for shown in (reference, node):
        shown.SetAndObserveTransformNodeID(moved.GetID())
    panel.ui.dicomButton.click()
    assert panel.ui.statusLabel.text == f"Wrote {path}"
    written = pydicom.dcmread(path)
    names = [segment.name for segment in (*SEGMENTS, *REGION_SEGMENTS)]
    assert [entry.SegmentLabel for entry in written.SegmentSequence] == names
    of_slice = {str(pydicom.dcmread(file).SOPInstanceUID): index for index, file in enumerate(files)}
    found = np.zeros_like(expected)
    for plane, frame in zip(written.pixel_array, written.PerFrameFunctionalGroupsSequence, strict=True):
        number = frame.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        origin = frame.DerivationImageSequence[0].SourceImageSequence[0]
        if number <= len(SEGMENTS):
            found[of_slice[origin.ReferencedSOPInstanceUID]][plane != 0] = number
    np.testing.assert_array_equal(found, expected)
    assert expected.any()
    assert {entry.SegmentAlgorithmType for entry in written.SegmentSequence} == {"AUTOMATIC"}
    corrected = (expected == TumorClass.ET) & (np.arange(expected.shape[2]) > 8)
    slicer.util.updateSegmentBinaryLabelmapFromArray(corrected.astype(np.uint8), node, "ET", reference)
    panel.ui.dicomButton.click()
    written = pydicom.dcmread(path)
    types = {entry.TrackingID: entry.SegmentAlgorithmType for entry in written.SegmentSequence}
    assert types == {**dict.fromkeys(("NCR", "ED"), "AUTOMATIC"), **dict.fromkeys(("ET", "WT", "TC"), SEMI)}
    core = slicer.util.arrayFromSegmentBinaryLabelmap(node, "TC", reference) != 0
    np.testing.assert_array_equal(core, corrected)
    path.unlink()
    slicer.util.updateSegmentBinaryLabelmapFromArray(np.ones_like(expected), node, "WT", reference)
    panel.ui.dicomButton.click()
    assert panel.ui.statusLabel.text.startswith(f"Wrote {path}\nAs it is shown, no longer the sum")
    path.unlink()
    panel.ui.regionsButton.click()
    reference.HardenTransform()
    panel.ui.dicomButton.click()
    assert "does not lie on the slices of its series" in panel.ui.statusLabel.text and not path.exists()
    files[3].unlink()
    panel.ui.dicomButton.click()
    assert "not in Slicer's DICOM database any more" in panel.ui.statusLabel.text


def test_a_volume_that_was_moved_by_a_whole_slice_is_not_written_as_if_it_lay_there_still(
    panel: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = segmented(panel)
    reference = panel.ui.flairSelector.currentNode()
    image = sitk.Cast(mrml.image_of(reference), sitk.sitkInt16)
    files = dicom_studies.save(
        dicom_studies.series(image, dicom_studies.HEADERS[Modality.FLAIR]), tmp_path / "series"
    )
    monkeypatch.setattr(slicer, "dicomDatabase", Database(files), raising=False)
    reference.SetAttribute("DICOM.instanceUIDs", " ".join(slicer.dicomDatabase.files))
    matrix = vtk.vtkMatrix4x4()
    matrix.SetElement(2, 3, reference.GetSpacing()[2])
    moved = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTransformNode")
    moved.SetMatrixTransformToParent(matrix)
    for shown in (reference, node):
        shown.SetAndObserveTransformNodeID(moved.GetID())
        shown.HardenTransform()
    path = tmp_path / "tumor.dcm"
    monkeypatch.setattr(qt_standin.QFileDialog, "answer", str(path))
    panel.ui.dicomButton.click()
    assert "does not lie on the slices of its series" in panel.ui.statusLabel.text and not path.exists()


def test_a_package_that_dicom_seg_lacks_is_asked_for(
    panel: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    monkeypatch.setattr(dependencies, "DICOM_SEG_REQUIREMENT", "notional>=0.28")

    def decline(requirements: list[str], requester: str, **_options: bool) -> None:
        asked.append((requirements, requester))
        raise RuntimeError("declined")

    segmented(panel)
    monkeypatch.setattr(slicer.packaging, "pip_ensure", decline)
    monkeypatch.setattr(qt_standin.QFileDialog, "answer", str(tmp_path / "tumor.dcm"))
    panel.ui.dicomButton.click()
    assert asked == [(["notional>=0.28"], panel.title)]
    assert panel.ui.statusLabel.text.startswith("notional>=0.28: needed, and not installed.")
