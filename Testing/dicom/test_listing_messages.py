"""What a search for DICOM tells of files that it cannot use, interrupted copies, and names of patients."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from pydicom.fileset import FileSet

from dicom_headers import SEQUENCES, save, slices
from MissingModalityLib.core.errors import CaseError
from MissingModalityLib.dicom.headers import Frame
from MissingModalityLib.dicom.listing import find_studies
from MissingModalityLib.dicom.reading import choose_series
from MissingModalityLib.dicom.slices import placement
from MissingModalityLib.dicom.visits import only_visit


def test_two_patients_under_one_id_are_told_apart_by_their_names(tmp_path: Path) -> None:
    for name in ("One", "Two"):
        save(slices(count=8, PatientName=name, **SEQUENCES["T1"]), tmp_path / name)
    assert len(find_studies(tmp_path).studies) == 2


def test_a_bad_file_costs_itself_and_is_told_with_its_reason(tmp_path: Path) -> None:
    good = save(slices(count=9, **SEQUENCES["T2"]), tmp_path)
    whole = good[0].read_bytes()
    (tmp_path / "cut in its pixels").write_bytes(whole[:-20])
    (tmp_path / "cut in its header").write_bytes(whole[:400])
    (tmp_path / "noise").write_bytes(whole[:132] + os.urandom(600))
    (tmp_path / "readme.txt").write_text("the viewer starts by itself " * 9)
    (tmp_path / "all.zip").write_bytes(b"PK" * 99)
    (tmp_path / "x_flair.nii.gz").write_bytes(b"\x1f\x8b" * 99)
    (tmp_path / "empty").touch()
    os.mkfifo(tmp_path / "pipe")
    listing = find_studies(tmp_path)
    assert len(listing.studies[0].series[0].files) == 9
    reasons = {entry.path.name: entry.reason for entry in listing.skipped}
    assert "inside its image" in reasons["cut in its pixels"]
    assert "damaged" in reasons["cut in its header"] and "damaged" in reasons["noise"]
    assert reasons["readme.txt"] == "is not a DICOM file" and "unpack" in reasons["all.zip"]
    assert reasons["x_flair.nii.gz"] == "is not a DICOM file"
    assert reasons["empty"] == "is empty" and reasons["pipe"] == "is not a regular file"


def test_an_image_that_lies_there_twice_counts_once(tmp_path: Path) -> None:
    save(slices(**SEQUENCES["T2"]), tmp_path / "a")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    listing = find_studies(tmp_path)
    assert listing.studies[0].series[0].size[2] == 12
    assert len(listing.skipped) == 12 and "same SOP Instance UID" in listing.skipped[0].reason


def test_series_that_cannot_be_used_for_one_reason_are_told_together(tmp_path: Path) -> None:
    for number in range(8):
        save(slices(number, count=1, **SEQUENCES["T1"], StudyDescription="MRT Knie"), tmp_path)
    with pytest.raises(CaseError, match=r"'t1_se_tra' \(series 5\) and 2 more: shows another part") as told:
        choose_series(find_studies(tmp_path).studies[0])
    assert str(told.value).count("another part") == 1


def test_visits_of_one_day_are_named_by_what_was_examined(tmp_path: Path) -> None:
    for number, name in enumerate(("Brain", "Brain with contrast"), 1):
        header = {"StudyInstanceUID": f"1.2.{number}", "StudyDescription": name}
        save(slices(number, count=8, **SEQUENCES["T1"], **header), tmp_path)
    with pytest.raises(CaseError, match=r"\(Brain, 1\.2\.1\); .* \(Brain with contrast, 1\.2\.2\)"):
        only_visit(find_studies(tmp_path))


def test_an_interrupted_copy_is_told_with_the_study_that_it_cut(tmp_path: Path) -> None:
    cut, whole = tmp_path / "cut", tmp_path / "whole"
    paths = save(slices(count=14, **SEQUENCES["T2"]), cut)
    save(slices(**SEQUENCES["T2"], PatientID="P2"), whole)
    for path in paths[-3:]:
        path.write_bytes(path.read_bytes()[:-20])
    paths[-4].write_bytes(b"")
    paths[-1].rename(cut / "IM00013.part")
    (whole / ".nomedia").touch()
    first, second = find_studies(tmp_path).studies
    assert first.cut_off.startswith("4 files beside the images are empty or cut off, as after an interrupted")
    assert "IM00010, IM00011, IM00012 and 1 more" in first.cut_off and not second.cut_off


def test_that_other_patients_lie_in_the_folder_is_told_without_their_names(tmp_path: Path) -> None:
    save(slices(1, **SEQUENCES["T2"]), tmp_path)
    assert only_visit(find_studies(tmp_path)).doubts == ()
    save(slices(2, count=1, **SEQUENCES["T1"], PatientID="Miller", StudyInstanceUID="1.2"), tmp_path)
    (told,) = only_visit(find_studies(tmp_path)).doubts
    assert "1 other patient too" in told and "Miller" not in told
    named = find_studies(tmp_path).studies[-1].patient
    assert only_visit(find_studies(tmp_path), named).doubts == ()


def test_an_index_tells_how_many_of_its_files_are_not_there(tmp_path: Path) -> None:
    files = FileSet()
    indexed = SEQUENCES["T2"] | {"StudyTime": "101500", "StudyID": "1", "AccessionNumber": ""}
    for path in save(slices(count=9, **indexed), tmp_path / "in"):
        files.add(path)
    files.write(tmp_path / "cd")
    shutil.rmtree(tmp_path / "in")
    images = sorted(path for path in (tmp_path / "cd").rglob("*") if path.is_file())[1:]
    images[-1].unlink()
    (index,) = find_studies(tmp_path).skipped
    assert index.reason.startswith("is the index of a CD, of whose 9 files 1 is not there")


def test_a_folder_without_dicom_is_refused_with_what_lies_in_it(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_bytes(b"x" * 500)
    with pytest.raises(CaseError, match=r"No DICOM image found.* In it: letter.txt is not a"):
        find_studies(tmp_path)
    (tmp_path / "brain.nii.gz").write_bytes(b"x" * 500)
    with pytest.raises(CaseError, match=r"but 1 volume such as brain.nii.gz. Name the files"):
        find_studies(tmp_path)
    with pytest.raises(CaseError, match="does not exist"):
        find_studies(tmp_path / "absent")


@pytest.mark.parametrize("value", ["nan", "inf", "1e300", "x"])
@pytest.mark.parametrize("keyword", ["ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"])
def test_a_place_that_is_no_number_is_none(tmp_path: Path, keyword: str, value: str) -> None:
    image = Frame(tmp_path, None, {keyword: "\\".join([value] * 6)[: -len(value) * 3 - 3]})
    assert image.numbers(keyword) == () and placement([image] * 9) is None


def test_names_of_patients_do_not_leave_the_search(tmp_path: Path) -> None:
    save(slices(count=8, PatientName="Secret^Name", PatientID="", **SEQUENCES["T1"]), tmp_path)
    (study,) = find_studies(tmp_path).studies
    assert study.patient == "without an ID"
    assert "Secret" not in str([one.to_json() for one in study.series])
