"""Series of which names and headers tell nothing are asked by their voxels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import SimpleITK as sitk

from dicom_studies import Visit, save, series
from dicom_traps import slices
from MissingModalityLib.core.errors import CaseError
from MissingModalityLib.core.modalities import Modality
from MissingModalityLib.dicom.listing import DicomStudy, find_studies
from MissingModalityLib.dicom.visits import only_visit
from MissingModalityLib.inference import silent_series
from MissingModalityLib.inference.silent_series import read_visit_by_voxels

SILENT = {"SeriesDescription": ""}


@pytest.fixture
def scrubbed(real_case: Callable[[str], Path], tmp_path: Path) -> DicomStudy:
    """T1 and T2 of a raw patient, of 2 mm, of which nothing but the voxels tells which is which."""
    folder = real_case("TCGA-FG-6692_native_unstripped")
    for number, name in enumerate(("t1", "t2"), 1):
        image = sitk.BinShrink(sitk.ReadImage(str(folder / f"{name}.nii.gz")), (2, 2, 1))
        save(series(sitk.Cast(image, sitk.sitkInt16), SILENT, number=number), tmp_path)
    return find_studies(tmp_path).studies[0]


def test_a_scrubbed_study_is_read_by_what_its_voxels_look_like(scrubbed: DicomStudy) -> None:
    volumes, chosen = read_visit_by_voxels(scrubbed)
    assert {modality: one.number for modality, one in chosen.series.items()} == {
        Modality.T1: 1,
        Modality.T2: 2,
    }
    assert sum("by what its voxels look like alone" in sentence for sentence in volumes.warnings) == 2
    assert all("voxels look like" in sentence for sentence in chosen.sentences[:2])


def test_what_names_tell_is_not_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("its name tells")

    monkeypatch.setattr(silent_series, "sequence_of", refuse)
    save(slices(Modality.FLAIR), tmp_path)
    volumes, _ = read_visit_by_voxels(find_studies(tmp_path).studies[0])
    assert list(volumes.images) == [Modality.FLAIR]


def test_voxels_that_do_not_tell_either_are_said_to(tmp_path: Path) -> None:
    save(series(sitk.Image(12, 12, 12, sitk.sitkInt16), SILENT), tmp_path)
    with pytest.raises(CaseError, match=r"nor header tells the modality\. The voxels do not settle it"):
        read_visit_by_voxels(find_studies(tmp_path).studies[0])


def test_of_several_visits_that_nothing_tells_of_none_is_taken_unasked(tmp_path: Path) -> None:
    for date in ("20240301", "20240601"):
        image = sitk.Image(12, 12, 12, sitk.sitkInt16)
        save(series(image, SILENT, Visit(date=date)), tmp_path)
    with pytest.raises(CaseError, match="Choose one by --patient"):
        only_visit(find_studies(tmp_path))
