"""Who trains and who is scored: published sizes, proportions, lists, two folders."""

from __future__ import annotations

from pathlib import Path

import pytest

from MissingModalityLib.core.errors import CaseError, OptionError
from MissingModalityLib.imaging.prepared_folder import prepare_cases
from MissingModalityLib.studies.division import divisions_of


def test_another_number_of_cases_is_divided_in_proportion(tiny_cases: Path, tmp_path: Path) -> None:
    (division,) = divisions_of(("brats2020",), tiny_cases, tmp_path)
    assert (len(division.training), len(division.test)) == (1, 1)
    assert division.training_list.read_text().split() == [*division.training]
    assert "in the proportions of 219/50/100" in division.note and division.test_data == tiny_cases
    assert divisions_of(("brats2020",), tiny_cases, tmp_path) == [division]
    three = divisions_of(("brats2018-1", "brats2018-2", "brats2018-3"), tiny_cases, tmp_path)
    assert [one.name for one in three] == ["brats2018-1", "brats2018-2", "brats2018-3"]


def test_two_folders_and_lists_are_taken_as_they_are(tiny_cases: Path, tmp_path: Path) -> None:
    (division,) = divisions_of(("brats2020",), tiny_cases, tmp_path, test=tiny_cases)
    assert division.training == ("patient_a", "patient_b", "patient_c") and division.training_list is None
    assert division.test == division.training
    (tmp_path / "training.txt").write_text("HG_patient_a\n")
    (tmp_path / "test.txt").write_text("patient_c\npatient_b\n")
    (division,) = divisions_of(("",), tiny_cases, tmp_path, lists=tmp_path)
    assert (division.training, division.test) == (("patient_a",), ("patient_b", "patient_c"))
    (tmp_path / "test.txt").write_text("patient_a\n")
    with pytest.raises(OptionError, match="'patient_a' is in both lists"):
        divisions_of(("",), tiny_cases, tmp_path, lists=tmp_path)
    with pytest.raises(OptionError, match="two divisions"):
        divisions_of(("",), tiny_cases, tmp_path, tiny_cases, tmp_path)


def test_a_preset_takes_the_first_cases_alone_and_says_so(tiny_cases: Path, tmp_path: Path) -> None:
    limits = {"training_cases": 2, "test_cases": 1}
    (division,) = divisions_of(("brats2020",), tiny_cases, tmp_path, test=tiny_cases, **limits)
    assert division.training == ("patient_a", "patient_b") and division.test == ("patient_a",)
    assert division.training_list.read_text().split() == ["patient_a", "patient_b"]
    assert division.note.endswith("The preset takes the first of each by name: 2 and 1.")
    (whole,) = divisions_of(("brats2020",), tiny_cases, tmp_path, test=tiny_cases, training_cases=3)
    assert whole.training_list is None and "preset" not in whole.note


def test_an_output_folder_of_other_data_is_not_taken_over(tiny_cases: Path, tmp_path: Path) -> None:
    divisions_of(("brats2020",), tiny_cases, tmp_path)
    (tmp_path / "lists" / "brats2020" / "test.txt").write_text("somebody\n")
    with pytest.raises(CaseError, match="lists other cases already"):
        divisions_of(("brats2020",), tiny_cases, tmp_path)


def test_prepared_cases_alone_are_refused_as_those_to_score(tiny_cases: Path, tmp_path: Path) -> None:
    prepare_cases(tiny_cases, tmp_path / "prepared")
    for given in ({"data": tmp_path / "prepared"}, {"data": tiny_cases, "test": tmp_path / "prepared"}):
        with pytest.raises(
            CaseError, match=r"prepared' holds prepared cases alone, and scores are of volumes"
        ):
            divisions_of(("brats2020",), output=tmp_path / "output", **given)
    (division,) = divisions_of(("",), tmp_path / "prepared", tmp_path / "output", test=tiny_cases)
    assert division.training == division.test
