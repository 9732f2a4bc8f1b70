"""Who trains and who is scored in a study: divided by published sizes, by lists, or in two folders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..core.errors import OptionError
from ..datasets.case_list import listed_cases
from ..datasets.discovery import find_cases
from ..datasets.published_splits import PARTS, divide, in_proportion, list_file, published_split, write_lists

_SIZES, _SEED = (219, 50, 100), 0
"""Of a comparison that is of no paper: the proportions of BraTS 2020."""


@dataclass(frozen=True)
class Division:
    """One way to divide.

    Attributes:
        name: of the split; empty where the user has divided.
        training: names of the cases to train on.
        training_list: text file of these; None for all of the data.
        test_data: folder of the cases to score.
        test: their names.
        note: a sentence for readers of the table.
    """

    name: str
    training: tuple[str, ...]
    training_list: Path | None
    test_data: Path
    test: tuple[str, ...]
    note: str


def divisions_of(
    splits: Sequence[str],
    data: Path,
    output: Path,
    test: Path | None = None,
    lists: Path | None = None,
    convention: str | None = None,
    test_cases: int | None = None,
) -> list[Division]:
    """The divisions of a study; lists of names are written into ``output/lists``.

    Args:
        splits: names of published ones; an empty name is that of a comparison of no paper.
        data: folder of cases.
        output: of the study.
        test: folder of the cases to score, where all of ``data`` trains.
        lists: folder with ``training.txt`` and ``test.txt``, names of cases of ``data``.
        convention: label convention.
        test_cases: how many are scored at most, the first by name.

    Raises:
        OptionError: both folders are given, or lists that name no case or the same one.
        CaseError: a folder holds no case, or lists cannot be written.
    """
    if test is not None and lists is not None:
        raise OptionError("A folder of test cases and lists of names are two divisions. Give one of them.")
    listing = find_cases(data, convention)
    labeled = listing.labeled()[0]
    everybody = tuple(case.name for case in labeled)
    if test is not None:
        scored = _first([case.name for case in find_cases(test, convention).labeled()[0]], test_cases)
        return [Division("", everybody, None, test, scored, _given(everybody, scored))]
    if lists is not None:
        training, scored = (
            tuple(case.name for case in listed_cases(list_file(lists, part), listing))
            for part in (PARTS[0], PARTS[-1])
        )
        both = sorted(set(training) & set(scored))
        if both:
            raise OptionError(f"{lists}: '{both[0]}' is in both lists. Take it out of one of them.")
        scored = _first(scored, test_cases)
        return [Division("", training, list_file(lists, PARTS[0]), data, scored, _given(training, scored))]
    found = []
    for name in splits:
        sizes, seed = (published_split(name).sizes, published_split(name).seed) if name else (_SIZES, _SEED)
        exact = sum(sizes) == len(labeled)
        parts = divide(labeled, sizes if exact else in_proportion(sizes, len(labeled)), seed)
        folder = output / "lists" / (name or "own")
        write_lists(parts, folder)
        scored = _first(parts[PARTS[-1]], test_cases)
        note = f"Split {name or 'by seed'}: {len(parts[PARTS[0]])} training and {len(scored)} test cases"
        if name and not exact:
            note += f", in the proportions of {'/'.join(map(str, sizes))}, since the data has other numbers"
        training = parts[PARTS[0]]
        found.append(Division(name, training, list_file(folder, PARTS[0]), data, scored, f"{note}."))
    return found


def _first(names: Sequence[str], most: int | None) -> tuple[str, ...]:
    return tuple(names[:most])


def _given(training: Sequence[str], scored: Sequence[str]) -> str:
    return f"Division of the user's: {len(training)} training and {len(scored)} test cases."
