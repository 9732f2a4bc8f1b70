"""Divisions of published sizes: exact, by patients, repeated by their seed."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from MissingModalityLib.core.errors import CaseError, OptionError
from MissingModalityLib.datasets.case import Case
from MissingModalityLib.datasets.published_splits import (
    PARTS,
    SPLITS,
    divide,
    in_proportion,
    list_file,
    published_split,
    write_lists,
)


def cases(*names: str) -> list[Case]:
    return [Case(name, Path(name), "brats2021", {}) for name in names]


@pytest.mark.parametrize("name", SPLITS)
def test_every_published_split_has_its_sizes_and_is_repeated_by_its_name(name: str) -> None:
    split = published_split(name)
    all_cases = cases(*(f"Brats_{number:04}" for number in range(sum(split.sizes))))
    division = divide(all_cases, split.sizes, split.seed)
    assert tuple(len(division[part]) for part in PARTS) == split.sizes
    assert sorted(name for names in division.values() for name in names) == [one.name for one in all_cases]
    assert divide(all_cases[::-1], split.sizes, split.seed) == division


def test_the_three_splits_of_2018_differ() -> None:
    all_cases = cases(*(f"Brats18_{number:04}" for number in range(285)))
    tests = {
        divide(all_cases, SPLITS[name].sizes, SPLITS[name].seed)["test"]
        for name in SPLITS
        if name.startswith("brats2018")
    }
    assert len(tests) == 3


def test_visits_of_a_patient_stay_together_and_sizes_are_exact() -> None:
    names = [f"BraTS-GLI-{patient:05}-{visit:03}" for patient in range(20) for visit in range(patient % 3)]
    division = divide(cases(*names), (10, 3, len(names) - 13), 5)
    assert [len(division[part]) for part in PARTS] == [10, 3, len(names) - 13]
    parts = Counter(patient for part in PARTS for patient in {name[:15] for name in division[part]})
    assert set(parts.values()) == {1}


def test_a_split_that_cannot_be_made_is_refused() -> None:
    with pytest.raises(OptionError, match="219 \\+ 50 \\+ 100 cases is one of 369, and there are 2"):
        divide(cases("a", "b"), published_split("brats2020").sizes, 0)
    with pytest.raises(OptionError, match="The 2 cases of patient 'sub-1' fit into no part"):
        divide(cases("sub-1_ses-1", "sub-1_ses-2", "c"), (1, 1, 1), 0)
    with pytest.raises(OptionError, match="Did you mean brats2020"):
        published_split("brats-2020")


def test_sizes_in_proportion_use_every_case() -> None:
    assert in_proportion((219, 50, 100), 37) == (22, 5, 10)
    assert in_proportion((1080, 0, 270), 10) == (8, 0, 2)
    assert in_proportion((242, 12, 20), 4) == (2, 1, 1)


def test_lists_are_written_once_and_others_are_not_replaced(tmp_path: Path) -> None:
    division = {"training": ("b", "a"), "validation": (), "test": ("c",)}
    write_lists(division, tmp_path / "lists")
    write_lists(division, tmp_path / "lists")
    assert list_file(tmp_path / "lists", "training").read_text() == "b\na\n"
    assert not list_file(tmp_path / "lists", "validation").exists()
    with pytest.raises(CaseError, match="lists other cases already"):
        write_lists({**division, "test": ("d",)}, tmp_path / "lists")
