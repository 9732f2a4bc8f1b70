"""Folders of DICOM to segments: which series are used, and what is refused with nothing written."""

from __future__ import annotations

import csv
import json
import re
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import SimpleITK as sitk
from pydicom import dcmread
from pydicom.dataset import Dataset

from command_line import exit_code
from dicom_hospital_traps import HOSPITAL_TRAPS
from dicom_studies import Visit, save, write_study
from dicom_traps import TRAPS, slices, volumes
from MissingModalityLib.clinical.steps import Steps
from MissingModalityLib.core.errors import CaseError
from MissingModalityLib.core.modalities import Modality
from MissingModalityLib.dicom.listing import find_studies
from MissingModalityLib.dicom.reading import choose_series
from MissingModalityLib.imaging.grid import Grid
from MissingModalityLib.inference import folder_patients
from MissingModalityLib.inference.folder_patients import find_patients
from MissingModalityLib.inference.segment_dicom import segment_dicom
from MissingModalityLib.inference.segment_files import segment_files
from MissingModalityLib.inference.segment_folder import segment_folder
from small_cases import write_block_case

ALL_TRAPS = {**TRAPS, **HOSPITAL_TRAPS}
QUICK = ("plain", "missing slice", "pixels broken in one", "two patients", "half of the slices missing")
"""Kinds of traps that the suite of every day tries: each way that a study can go."""

NO_STEPS = ("--registration", "never", "--stripping", "never", "--no-content-check")
"""Noise in balls can neither be registered nor told from other noise."""


def segment(folder: Path, output: Path, student: Path, *options: str) -> int | str | None:
    files = ("--dicom", str(folder), "--output", str(output), "--student", str(student))
    return exit_code(["segment", *files, *NO_STEPS, "--device", "cpu", "--progress", "none", *options])


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in ALL_TRAPS]
)
def test_every_study_ends_in_segments_or_in_one_sentence(name, student, tmp_path, capfd):
    trap, folder, output = ALL_TRAPS[name], tmp_path / "study", tmp_path / "out"
    folder.mkdir()
    output.mkdir()
    trap.write(folder)
    code = segment(folder, output / "tumor.nii.gz", student, *trap.options)
    out, err = capfd.readouterr()
    written = sorted(path.name for path in output.iterdir())
    if trap.modalities is None:
        assert code == 2 and not written and "Traceback" not in err
        assert re.search(trap.told, err, re.DOTALL), err
        assert err.startswith("missing-modality: error: ")
        return
    assert code == 0, err
    assert written == ["tumor.nii.gz", "tumor.nii.gz.report.json"]
    report = json.loads((output / "tumor.nii.gz.report.json").read_text())
    assert report["modalities"] == trap.modalities
    said = "\n".join([*report["warnings"], *report["dicom"]["choice"]])
    assert re.search(trap.told, said), said
    assert all(sentence in out for sentence in report["dicom"]["choice"])


def test_the_result_is_that_of_the_same_volumes_as_files(student, tmp_path):
    inputs = volumes(Modality.FLAIR, Modality.T1)
    write_study(inputs, tmp_path / "study")
    assert segment(tmp_path / "study", tmp_path / "dicom.nii.gz", student) == 0
    files = {modality: tmp_path / f"{modality.name}.nii.gz" for modality in inputs}
    for modality, path in files.items():
        sitk.WriteImage(inputs[modality], str(path))
    steps = Steps("never", "never", content_check=False)
    segment_files(files, tmp_path / "files.nii.gz", student, "cpu", steps=steps)
    mine, theirs = (sitk.ReadImage(str(tmp_path / f"{name}.nii.gz")) for name in ("dicom", "files"))
    assert Grid.from_image(mine).matches(Grid.from_image(theirs))
    assert np.array_equal(sitk.GetArrayFromImage(mine), sitk.GetArrayFromImage(theirs))
    assert sitk.GetArrayFromImage(mine).any()


def test_the_report_names_series_and_not_the_patient(student, tmp_path):
    visit = Visit("SECRET")
    written = slices(Modality.T1, 3, visit)
    save(written, tmp_path / "study")
    report = segment_dicom(
        tmp_path / "study",
        tmp_path / "out.nii.gz",
        student,
        "cpu",
        steps=Steps("never", "never", None, False),
    )
    told = report["dicom"]
    assert told["study_uid"] == visit.study_uid and told["date"] == "2024-03-01"
    series_told = told["series"]["T1"]
    assert series_told["uid"] == written[0].SeriesInstanceUID
    assert series_told["description"] == "t1_se_tra" and series_told["number"] == 3
    assert report["inputs"] == {"T1": "'t1_se_tra' (series 3)"}
    assert "SECRET" not in (tmp_path / "out.nii.gz.report.json").read_text()


def test_the_result_lies_on_the_finest_series_that_covers_the_head():
    coarse, fine = slices(Modality.FLAIR, 1), slices(Modality.T1CE, 2)
    assert reference_of(coarse, fine) is Modality.T1CE
    assert reference_of(coarse, fine[:10]) is Modality.FLAIR


def reference_of(*series_slices: list[Dataset]) -> Modality:
    """Of a study with these series, which gives the grid."""
    with TemporaryDirectory() as folder:
        for data_sets in series_slices:
            save(data_sets, Path(folder))
        return next(iter(choose_series(find_studies(folder).studies[0]).series))


@pytest.mark.parametrize(
    "options, sentence",
    [
        (("--dicom", "D", "--flair", "x.nii"), "--dicom D and --flair contradict each other"),
        (("--patient", "P", "--flair", "x.nii"), "--patient chooses in a folder of DICOM"),
        (("--study", "S", "--flair", "x.nii"), "--study chooses in a folder of DICOM"),
        (("--series", "T1=1", "--flair", "x.nii"), "--series chooses in a folder of DICOM"),
        (("--one-visit", "--flair", "x.nii"), "--one-visit chooses in a folder of DICOM"),
        (("--dicom", "D", "--one-visit", "--patient", "P"), "Leave out patient and study"),
        (("--dicom", "D", "--series", "T1=1", "t1n=2"), "--series names T1 twice: 1 and 2"),
        (("--dicom", "D", "--series", "X=1"), "'X' is no sequence"),
        (("--dicom", "nowhere"), "nowhere does not exist"),
    ],
)
def test_options_that_contradict_each_other_are_refused(options, sentence, student, tmp_path, capfd):
    files = ("--output", str(tmp_path / "out.nii.gz"), "--student", str(student))
    assert exit_code(["segment", *options, *files, "--progress", "none"]) == 2
    assert sentence in capfd.readouterr().err


def test_no_image_is_overwritten(student, tmp_path, capfd):
    paths = save(slices(Modality.T1), tmp_path / "study", suffix=".nii.gz")
    before = paths[3].read_bytes()
    assert segment(tmp_path / "study", paths[3], student) == 2
    assert "no report beside it says that it is an earlier result" in capfd.readouterr().err
    assert segment(tmp_path / "study", paths[3], student, "--overwrite") == 2
    assert "would overwrite an input" in capfd.readouterr().err and paths[3].read_bytes() == before


class TestFolder:
    """Cases of volumes and visits of DICOM side by side."""

    @pytest.fixture
    def data(self, tmp_path: Path) -> Path:
        data = tmp_path / "data"
        write_block_case(data / "case_a", ("flair",), label=False)
        save(slices(Modality.T1, 1), data / "pacs")
        save(slices(Modality.T1, 1, Visit("PHANTOM2")), data / "pacs")
        for data_set in (broken := slices(Modality.T1, 1, Visit("PHANTOM3"))):
            data_set.ImagePositionPatient = broken[0].ImagePositionPatient
        save(broken, data / "pacs")
        (data / "notes.txt").write_text("from two hospitals")
        return data

    def run(self, data: Path, student: Path) -> dict:
        steps = Steps("never", "never", content_check=False)
        return segment_folder(data, data.parent / "out", student, "cpu", suffix=".nii.gz", steps=steps)

    def test_each_patient_is_one_line_and_a_broken_study_stops_nobody(self, data, student):
        result = self.run(data, student)
        assert result["segmented"] == ["case_a", "PHANTOM1__2024-03-01", "PHANTOM2__2024-03-01"]
        assert list(result["failed"]) == ["PHANTOM3__2024-03-01"] and not result["unforeseen"]
        assert "none of its series can be used" in result["failed"]["PHANTOM3__2024-03-01"]
        with (data.parent / "out" / "volumes.csv").open() as file:
            rows = list(csv.DictReader(file))
        assert [row["case"] for row in rows] == [*result["segmented"], "PHANTOM3__2024-03-01"]
        assert [entry["path"] for entry in result["skipped"]] == ["notes.txt"]

    def test_what_is_done_is_known_by_its_images(self, data, student):
        done = self.run(data, student)["segmented"]
        (data / "pacs").rename(data / "moved")
        assert self.run(data, student)["kept"] == done
        path = sorted((data / "moved").iterdir())[2]
        image = dcmread(path)
        image.PixelData = image.PixelData[:400] + b"\x07\x00" + image.PixelData[402:]
        image.save_as(path)
        assert self.run(data, student)["segmented"] == [done[1]]

    def test_a_folder_without_dicom_is_searched_without_a_program_for_it(self, data, monkeypatch):
        shutil.rmtree(data / "pacs")

        def refuse(*_: object) -> None:
            raise AssertionError("no DICOM lies there")

        monkeypatch.setattr(folder_patients, "find_studies", refuse)
        assert [patient.name for patient in find_patients(data).patients] == ["case_a"]

    def test_a_folder_with_neither_is_refused(self, tmp_path):
        (tmp_path / "x.txt").write_text("x")
        with pytest.raises(CaseError, match="No case found"):
            find_patients(tmp_path)

    def test_a_study_whose_files_lack_the_preamble_is_found(self, tmp_path):
        for path in save(slices(Modality.T2), tmp_path):
            path.write_bytes(path.read_bytes()[132:])
        assert [patient.name for patient in find_patients(tmp_path).patients] == ["PHANTOM1__2024-03-01"]
