"""A model that tells the resection cavity, from the command line: every output and every table shows it."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from command_line import exit_code
from dicom_studies import write_study
from dicom_traps import volumes
from MissingModalityLib.core.labels import RESECTION_CAVITY
from MissingModalityLib.core.modalities import Modality
from MissingModalityLib.core.segments import CAVITY_SEGMENT, REGION_SEGMENTS, SEGMENTS
from MissingModalityLib.evaluation.model_card import main as write_card
from MissingModalityLib.inference.student import Student
from small_networks import small_network

AS_GIVEN = ("--registration", "never", "--stripping", "never", "--no-content-check", "--device", "cpu")
RULE = ("--resection-cavity", "class", "--device", "cpu", "--progress", "none")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained network that finds some tumor, and some cavity where there is none."""
    network = small_network("segresnet", 5, blocks=(1, 1, 1), head="regions+cavity")
    with torch.no_grad():  # spread the answers of fresh weights
        for parameter in network.parameters():
            parameter.mul_(3)
        list(network.parameters())[-1].copy_(torch.tensor([-2.0, -2.0, -2.0, 2.0]))
    path = tmp_path_factory.mktemp("model") / "cavity.safetensors"
    Student(network, {"name": "cavity", "window": [40, 40, 40]}).save(path)
    return path


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of DICOM with two sequences."""
    folder = tmp_path_factory.mktemp("dicom") / "study"
    write_study(volumes(Modality.FLAIR, Modality.T1), folder)
    return folder


def segment(study: Path, output: Path, model: Path, *more: str) -> None:
    command = ["segment", "--dicom", str(study), "--output", str(output), "--student", str(model)]
    assert exit_code([*command, *AS_GIVEN, "--progress", "none", *more]) == 0


@pytest.fixture(scope="module")
def found(study: Path, model: Path, tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    """(z, y, x) classes on the grid of the finest series, as NIfTI holds them."""
    path = tmp_path_factory.mktemp("found") / "tumor.nii.gz"
    segment(study, path, model, "--labels", "brats2024")
    return sitk.GetArrayFromImage(sitk.ReadImage(str(path)))


def test_nifti_holds_its_number_and_the_report_its_volume(
    study: Path, model: Path, found: np.ndarray, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert set(np.unique(found)) == {0, 1, 2, 3, RESECTION_CAVITY}
    segment(study, tmp_path / "tumor.seg.nrrd", model)
    report = json.loads((tmp_path / "tumor.seg.nrrd.report.json").read_text())
    image = sitk.ReadImage(str(tmp_path / "tumor.seg.nrrd"))
    volume = np.count_nonzero(found == RESECTION_CAVITY) * np.prod(image.GetSpacing()) / 1000
    assert report["volumes_cm3"]["RC"] == pytest.approx(volume, abs=1e-3)
    assert report["axial_diameters_mm"]["RC"] > 0
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), found)
    assert image.GetMetaData("Segment3_Name") == CAVITY_SEGMENT.name
    assert "RC" in capsys.readouterr().out


def test_dicom_seg_has_a_segment_of_it_with_its_code(
    study: Path, model: Path, found: np.ndarray, tmp_path: Path
) -> None:
    highdicom = pytest.importorskip("highdicom", reason="highdicom is not installed")
    segment(study, tmp_path / "tumor.dcm", model, "--regions")
    written = highdicom.seg.segread(tmp_path / "tumor.dcm")
    every = (*SEGMENTS, CAVITY_SEGMENT, *REGION_SEGMENTS)
    assert [entry.SegmentLabel for entry in written.SegmentSequence] == [one.name for one in every]
    code = written.SegmentSequence[3].SegmentedPropertyTypeCodeSequence[0]
    assert (code.CodingSchemeDesignator, code.CodeValue) == CAVITY_SEGMENT.property_type[:2]
    stored = written.get_volume(allow_missing_positions=True).array
    for place, one in enumerate(every):
        assert np.count_nonzero(stored[..., place]) == np.isin(found, one.classes).sum(), one.name


def test_the_table_of_a_folder_has_columns_of_it(model: Path, study: Path, tmp_path: Path) -> None:
    command = ["segment-folder", "--data", str(study), "--output", str(tmp_path), "--student", str(model)]
    assert exit_code([*command, *AS_GIVEN, "--progress", "none"]) == 0
    with (tmp_path / "volumes.csv").open(encoding="utf-8", newline="") as file:
        (row,) = csv.DictReader(file)
    assert float(row["RC_cm3"]) > 0 and float(row["RC_mm"]) > 0


def write_labeled_case(folder: Path, found: np.ndarray) -> None:
    """One case of BraTS 2024 whose label holds every class."""
    folder.mkdir(parents=True)
    name = folder.name
    classes = np.zeros(found.shape, np.uint8)
    middle = tuple(side // 2 for side in found.shape)
    for number in (1, 2, 3, RESECTION_CAVITY):
        rows = slice(middle[1] - 5 + 2 * number, middle[1] - 3 + 2 * number)
        classes[middle[0] - 2 : middle[0] + 2, rows, middle[2] - 4 : middle[2] + 4] = number
    images = volumes(Modality.FLAIR, Modality.T1)
    for suffix, modality in (("t2f", Modality.FLAIR), ("t1n", Modality.T1)):
        sitk.WriteImage(images[modality], str(folder / f"{name}-{suffix}.nii.gz"))
    label = sitk.GetImageFromArray(classes)
    label.CopyInformation(images[Modality.FLAIR])
    sitk.WriteImage(label, str(folder / f"{name}-seg.nii.gz"))


@pytest.mark.slow
def test_evaluations_comparisons_and_model_cards_have_columns_of_it(
    model: Path, found: np.ndarray, tmp_path: Path
) -> None:
    write_labeled_case(tmp_path / "cases" / "BraTS-GLI-00001-101", found)
    scores = tmp_path / "scores"
    command = ["evaluate", "--model", str(model), "--data", str(tmp_path / "cases"), "--output", str(scores)]
    assert exit_code([*command, *RULE]) == 0
    summary = json.loads((scores / "summary.json").read_text())
    assert summary["cases"][0]["reference_voxels"]["RC"] > 0
    assert 0 < summary["averages"]["all"]["dice"]["RC"] < 1
    assert "Dice RC" in (scores / "table.md").read_text()
    assert exit_code(["compare", f"a={scores}", f"b={scores}", "--output", str(tmp_path / "together")]) == 0
    table = (tmp_path / "together" / "comparison.md").read_text()
    head, _, ours = table.splitlines()[:3]
    cell = ours.split(" | ")[head.split(" | ").index("Dice RC")]
    assert cell == f"{100 * summary['averages']['all']['dice']['RC']:.1f}"
    assert write_card([str(model), str(scores), str(tmp_path / "card.md")]) == 0
    card = (tmp_path / "card.md").read_text()
    assert "resection cavity (RC) too" in card
    assert "| subset | Dice WT | Dice TC | Dice ET | Dice ET>=500 | Dice RC |" in card
