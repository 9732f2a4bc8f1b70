"""No patient is on both sides of a split: not by another visit, not under another name."""

from __future__ import annotations

from pathlib import Path

import pytest

from MissingModalityLib.core.errors import OptionError
from MissingModalityLib.core.modalities import Modality
from MissingModalityLib.datasets.case import Case, ImageFile
from MissingModalityLib.datasets.grouping import patients_of
from MissingModalityLib.datasets.patients import (
    changed,
    describe_changed,
    describe_same,
    patient_of,
    same_volumes,
)
from MissingModalityLib.datasets.splitting import split_cases, split_folds

ROOT = Path("data")


def cases(*names: str) -> list[Case]:
    return [
        Case(name, ROOT.joinpath(*name.split("__")), "x", {Modality.T1: ImageFile(Path(name))})
        for name in names
    ]


@pytest.mark.parametrize(
    ("name", "patient"),
    [
        ("sub-01_ses-1", "sub-01"),
        ("sub-01__ses-1", "sub-01"),
        ("siteA__sub-01_ses-post", "sub-01"),
        ("BraTS-GLI-00005-100", "BraTS-GLI-00005"),
        ("train__BraTS-GLI-00005-100", "BraTS-GLI-00005"),
        ("brats_tcia_pat103_0002", "brats_tcia_pat103"),
        ("UPENN-GBM-00002_21", "UPENN-GBM-00002"),
        ("Patient-001__week-000-2", "Patient-001"),
        ("100101_time1", "100101"),
        ("PatientID_0003_Timepoint_1", "PatientID_0003"),
        ("P01_baseline", "P01"),
        ("P01_20190301", "P01"),
        ("P01__2019-03-01", "P01"),
        ("RHUH-0001__0", "RHUH-0001"),
        ("A7__scan2", "A7"),
        ("set__A7__pre-op", "set__A7"),
        ("A7_scan2", "A7"),
        ("A7-t0", "A7"),
        ("P01_pre", "P01"),
        ("UCSF-PDGM-0004_FU001d", "UCSF-PDGM-0004"),
        # patients, though some of it could be a visit
        ("scan7", "scan7"),
        ("glioma_study_1", "glioma_study_1"),
        ("Smith_t1", "Smith_t1"),
        ("site2_mri_3", "site2_mri_3"),
        ("train__scan7", "train__scan7"),
        ("HGG__12", "HGG__12"),
        ("BraTS2021_00003", "BraTS2021_00003"),
        ("Brats18_CBICA_ALU_1", "Brats18_CBICA_ALU_1"),
        ("case_1", "case_1"),
        ("UCSF-PDGM-0004", "UCSF-PDGM-0004"),
    ],
)
def test_a_visit_is_told_from_its_patient(name: str, patient: str) -> None:
    assert patient_of(name) == patient


@pytest.mark.parametrize("form", ["sub-{:02}_ses-{}", "Patient-{:03}__week-{:03}", "P{}_visit{}"])
@pytest.mark.parametrize("seed", range(6))
def test_visits_are_on_one_side(form: str, seed: int) -> None:
    visits = cases(*(form.format(patient, visit) for patient in range(6) for visit in range(2)))
    for sides in (split_cases(visits, 0.3, seed), split_folds(visits, 3, seed)):
        patients = [{case.patient for case in side} for side in sides]
        assert sum(map(len, patients)) == len(set().union(*patients)) == 6


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(
    "contents",
    [
        {"a": {"FLAIR": "1", "T1": "2"}, "z": {"FLAIR": "1", "T1": "2"}},
        {"a": {"FLAIR": "1"}, "z": {"T2": "1"}},  # one of them calls it another sequence
        {"a": {"FLAIR": "1"}, "m": {"FLAIR": "1", "T1": "2"}, "z": {"T1": "2"}},  # over a third one
    ],
)
def test_one_patient_under_two_names_is_on_one_side(contents: dict, seed: int) -> None:
    some = cases("a", "b", "c", "m", "z")
    known = patients_of(some, contents)
    for sides in (split_cases(some, 0.4, seed, known), split_folds(some, 2, seed, known)):
        (held,) = [side for side in sides if "a" in {case.name for case in side}]
        assert set(contents) <= {case.name for case in held}


def test_visits_and_copies_are_joined_to_one_patient() -> None:
    some = cases("sub-1_ses-1", "sub-1_ses-2", "copy", "sub-2_ses-1")
    contents = {"sub-1_ses-2": {"T1": "1"}, "copy": {"T1": "1"}, "sub-2_ses-1": {"T1": "2"}}
    patients = patients_of(some, contents)
    assert patients["copy"] == patients["sub-1_ses-1"] == patients["sub-1_ses-2"] != patients["sub-2_ses-1"]


def test_equal_labels_make_no_patient() -> None:
    contents = {"a": {"T1": "1", "label": "9"}, "b": {"T1": "2", "label": "9"}}
    assert patients_of(cases("a", "b"), contents) == {"a": "a", "b": "b"}
    assert same_volumes(contents) == []


def test_a_split_without_copies_is_as_before() -> None:
    some = cases(*"abcdefgh")
    contents = {case.name: {"T1": case.name} for case in some}
    assert split_cases(some, 0.3, 1, patients_of(some, contents)) == split_cases(some, 0.3, 1)


@pytest.mark.parametrize(
    ("pattern", "patients"),
    [
        (r"^([A-Z])", ["A", "A", "B"]),
        (r"-(\d+)x", ["1", "2", "1"]),
        (r"\d+x$", ["1x", "2x", "1x"]),
    ],
)
def test_a_setting_names_the_patient_where_no_rule_can(pattern: str, patients: list[str]) -> None:
    some = cases("A-1x", "A-2x", "B-1x")
    assert list(patients_of(some, None, pattern, ROOT).values()) == patients


def test_a_pattern_sees_the_folders_and_is_refused_where_it_finds_nobody() -> None:
    some = [Case("x1", ROOT / "P1" / "left", "x", {}), Case("x2", ROOT / "P1" / "right", "x", {})]
    assert set(patients_of(some, None, r"^(P\d+)/", ROOT).values()) == {"P1"}
    with pytest.raises(OptionError, match=r"patient=Q finds no patient in 'P1/left/x1'"):
        patients_of(some, None, "Q", ROOT)


def test_what_changed_is_told_by_the_voxels_that_both_sides_know() -> None:
    before = {
        "same": {"T1": "1", "T1 intensities 1": "5", "label": "9"},
        "other": {"T1": "1", "T2": "2", "label": "9"},
        "scored": {"T1": "1"},
        "of an earlier version": {},
    }
    now = {
        "same": {"T1": "1", "T1 intensities 1": "6", "label": "9"},
        "other": {"T1": "3", "FLAIR": "4", "label": "8"},
        "scored": {"T1": "1", "label": "9"},
        "of an earlier version": {"T1": "1"},
        "new": {"T1": "1"},
    }
    changes = changed(before, now)
    assert changes == {"other": ["T1", "T2", "label", "FLAIR"]}
    assert describe_changed(changes, "it", "it began") == (
        "case 'other' of it has other voxels than when it began (T1, T2, label, FLAIR)"
    )


def test_copies_are_told_in_words() -> None:
    contents = {"b": {"T1": "1"}, "a": {"T2": "1"}, "c": {"T1": "3"}}
    assert describe_same(contents, " here") == [
        "Cases 'a' and 'b' hold the same volume, so they are of one patient here."
    ]
