"""A case is called by its own path: never otherwise because of a neighbor, and so on every file system."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from MissingModalityLib.core.file_names import MOST_BYTES, name_key, portable_name
from MissingModalityLib.core.files import write_text
from MissingModalityLib.core.modalities import Modality
from MissingModalityLib.datasets.case import CaseListing
from MissingModalityLib.datasets.discovery import find_cases


def touch(folder: Path, *files: str) -> None:
    """Empty files; a search looks at names alone."""
    for file in files:
        path = folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def names(listing: CaseListing) -> list[str]:
    return [case.name for case in listing.cases]


@pytest.mark.parametrize(
    ("old", "new", "name"),
    [
        ("P2/week-012/flair.nii.gz", "P1/week-012/flair.nii.gz", "P2__week-012"),
        ("siteA/7/7_flair.nii.gz", "siteB/7/7_flair.nii.gz", "siteA__7"),
        ("P1/t0/brain_flair.nii.gz", "P2/t0/brain_flair.nii.gz", "P1__t0__brain"),
        ("b/x_flair.nrrd", "a/x_flair.nrrd", "b__x"),
        ("P1/baseline/anat/flair.mha", "P2/baseline/anat/flair.mha", "P1__baseline"),
        ("set1/imagesTr/c.nii.gz", "set2/imagesTr/c.nii.gz", "set1__c"),
    ],
)
def test_a_new_patient_renames_no_other_case(tmp_path: Path, old: str, new: str, name: str) -> None:
    for file in (old, new):
        if "imagesTr" in file:
            folder = (tmp_path / file).parents[1]
            touch(folder, "dataset.json")
            channels = '{"modality": {"0": "FLAIR"}, "labels": {}}'
            (folder / "dataset.json").write_text(channels)
    touch(tmp_path, old)
    assert names(find_cases(tmp_path)) == [name]
    touch(tmp_path, new)
    after = names(find_cases(tmp_path))
    assert name in after and len(set(after)) == 2
    shutil.rmtree(tmp_path / old.split("/")[0])
    assert names(find_cases(tmp_path)) == [other for other in after if other != name]


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("HGG/Brats18_CBICA_ALU_1/Brats18_CBICA_ALU_1_flair.nii.gz", "Brats18_CBICA_ALU_1"),
        ("train/BraTS-GLI-00005-100/BraTS-GLI-00005-100-t2f.nii.gz", "BraTS-GLI-00005-100"),
        ("sub-01/ses-1/anat/sub-01_ses-1_FLAIR.nii.gz", "sub-01_ses-1"),
        ("P1/scan2/P1_scan2_flair.nii.gz", "P1_scan2"),
    ],
)
def test_a_name_that_says_it_all_gets_no_folders(tmp_path: Path, file: str, name: str) -> None:
    touch(tmp_path, file)
    assert names(find_cases(tmp_path)) == [name]


def test_a_search_that_begins_at_the_patient_tells_its_name(tmp_path: Path) -> None:
    touch(tmp_path, "P7/week-000/flair.nii.gz", "P7/week-012/flair.nii.gz")
    assert (
        names(find_cases(tmp_path / "P7")) == names(find_cases(tmp_path)) == ["P7__week-000", "P7__week-012"]
    )
    assert names(find_cases(tmp_path / "P7" / "week-000")) == ["week-000"]


def test_names_of_earlier_versions_still_find_their_case(tmp_path: Path) -> None:
    touch(tmp_path, "P1/a/flair.nii.gz", "P2/a/flair.nii.gz", "P3/b/flair.nii.gz", "P4/c/x_flair.nii.gz")
    listing = find_cases(tmp_path)
    found = {name: listing.find(name) for name in ("P1__a", "b", "x", "P4__c__x", "a", "d")}
    assert {name: case and case.name for name, case in found.items()} == {
        "P1__a": "P1__a",
        "b": "P3__b",
        "x": "P4__c__x",
        "P4__c__x": "P4__c__x",
        "a": None,  # two cases have been called so
        "d": None,
    }


@pytest.mark.parametrize(
    "files",
    [
        ("x_flair.nii.gz", "X_FLAIR.NII.GZ"),
        ("P1/flair.nii.gz", "p1/flair.nii.gz"),
        ("ä_flair.nii", "a\u0308_flair.nii", "Ä_t1.nii"),
        ("straße_t1.nrrd", "STRASSE_t1.nrrd"),
        ("a:b_t2.mha", "a?b_t2.mha"),
    ],
)
def test_names_that_some_file_system_takes_for_one_are_numbered_apart_and_told(
    tmp_path: Path, files: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    touch(tmp_path, *files)
    listing = find_cases(tmp_path)
    assert len({name_key(case.name) for case in listing.cases}) == len(files)
    assert len(listing.warnings) == len(files) - 1
    for warning in listing.warnings:
        assert str(tmp_path) in warning and warning in listing.describe()
    assert listing.to_json()["warnings"] == list(listing.warnings)


@pytest.mark.parametrize(
    ("name", "portable"),
    [
        ("BraTS2021_00000", "BraTS2021_00000"),
        ("Fälle neu (3)", "Fälle neu (3)"),
        ("CON", "CON_"),
        ("aux.2", "aux_.2"),
        ("com1", "com1_"),
        ("comrade", "comrade"),
        ("P1.", "P1_"),
        ("P1 . ", "P1_"),
        ("a:b|c\nd", "a_b_c_d"),
        ("x\udce4", "x_"),
        ("...", "_"),
    ],
)
def test_a_name_is_one_that_every_system_takes(name: str, portable: str) -> None:
    assert portable_name(name) == portable == portable_name(portable)


@pytest.mark.parametrize("name", ["x" * 400, "é" * 150, "脳" * 100])
def test_a_long_name_is_cut_and_stays_different(name: str) -> None:
    short = portable_name(name)
    assert len(short.encode()) <= MOST_BYTES and short != portable_name(name + "2")
    assert portable_name("x" * MOST_BYTES) == "x" * MOST_BYTES


@pytest.mark.parametrize(
    ("files", "found"),
    [
        (("T1w", "ce-gad_T1w", "T2w", "FLAIR"), "FLAIR T1CE T1 T2"),
        (("acq-mprage_T1w", "acq-mprage_ce-gadolinium_run-02_T1w", "acq-tse_T2w"), "T1CE T1 T2"),
        (("acq-postGd_T1w", "rec-norm_FLAIR"), "FLAIR T1CE"),
        (("ce-gad_T1",), "T1CE"),
    ],
)
@pytest.mark.parametrize("case", ["sub-01", "sub-01_ses-pre"])
def test_sequences_of_bids_make_one_case(
    tmp_path: Path, case: str, files: tuple[str, ...], found: str
) -> None:
    touch(tmp_path / "sub-01" / "anat", *(f"{case}_{file}.nii.gz" for file in files))
    (only,) = find_cases(tmp_path).cases
    assert [modality.name for modality in only.subset] == found.split()
    assert only.name == case and only.patient == "sub-01"
    contrast = only.images.get(Modality.T1CE)
    assert contrast is None or any(word in contrast.path.name for word in ("ce-", "postGd"))


def test_two_files_of_one_sequence_of_bids_are_told(tmp_path: Path) -> None:
    touch(tmp_path, "sub-01_run-1_T1w.nii.gz", "sub-01_run-2_T1w.nii.gz", "sub-02_T1w.nii.gz")
    listing = find_cases(tmp_path)
    assert names(listing) == ["sub-02"]
    assert "run-1_T1w.nii.gz and sub-01_run-2" in listing.skipped[0].reason


def test_volumes_that_are_skipped_beside_a_case_are_known_to_it(tmp_path: Path) -> None:
    touch(tmp_path, "P1/flair.nii.gz", "P1/swi.nii.gz", "P1/notes.txt")
    touch(tmp_path, "flat/a_t1.nii.gz", "flat/a_adc.nii.gz", "flat/ab_t1.nii.gz", "flat/ab_swi.nii.gz")
    beside = {case.name: case.beside for case in find_cases(tmp_path).cases}
    assert {name: [text.split(" ")[0] for text in texts] for name, texts in beside.items()} == {
        "P1": ["swi.nii.gz"],
        "flat__a": ["a_adc.nii.gz"],
        "flat__ab": ["ab_swi.nii.gz"],
    }


@pytest.mark.parametrize("name", ["x" * 240 + ".json", "é" * 120 + ".nii.gz", "脳" * 80 + ".csv"])
def test_a_name_that_just_fits_is_written(name: str, tmp_path: Path) -> None:
    write_text("there", tmp_path / name)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["there"]


def test_a_text_with_a_name_that_is_no_text_is_written(tmp_path: Path) -> None:
    write_text("x\udcff, ü", tmp_path / "table.csv")
    assert (tmp_path / "table.csv").read_text(encoding="utf-8") == "x\\udcff, ü"
