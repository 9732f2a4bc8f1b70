"""Who trains and who is scored in a study: divided by published sizes, by lists, or in two folders."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..core.errors import CaseError, OptionError
from ..datasets.case import Case, CaseListing
from ..datasets.case_list import listed_cases
from ..datasets.discovery import find_cases
from ..datasets.prepared import are_prepared
from ..datasets.published_splits import PARTS, divide, in_proportion, list_file, published_split, write_lists

_SIZES, _SEED = (219, 50, 100), 0
"""Of a comparison that is of no paper: the proportions of BraTS 2020."""

_DIGITS = 8
"""Of the hash in the name of a folder of lists."""


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
    training_cases: int | None = None,
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
        training_cases: how many are trained on at most, the first by name.
        test_cases: how many are scored at most, likewise.

    Raises:
        OptionError: both folders are given, or lists that name no case or the same one.
        CaseError: a folder holds no case, or that to score prepared ones alone, or lists cannot be written.
    """
    if test is not None and lists is not None:
        raise OptionError("A folder of test cases and lists of names are two divisions. Give one of them.")
    listing = find_cases(data, convention)
    labeled = listing.labeled()[0]
    everybody = tuple(case.name for case in labeled)
    to_score = listing if test is None else find_cases(test, convention)
    if are_prepared(to_score.cases):  # before days of training
        raise CaseError(
            f"'{to_score.folder}' holds prepared cases alone, and scores are of volumes. Give the folder of "
            "the volumes that they were made from, and this one to --prepared (prepared)."
        )
    if test is not None:
        scored = [case.name for case in to_score.labeled()[0]]
        found = [Division("", everybody, None, test, tuple(scored), _given(everybody, scored))]
    elif lists is not None:
        found = [_listed(lists, listing, data)]
    else:
        found = [_drawn(name, labeled, data, output / "lists" / (name or "own")) for name in splits]
    return [_limited(one, training_cases, test_cases, output) for one in found]


def _listed(lists: Path, listing: CaseListing, data: Path) -> Division:
    """The division of a user's lists."""
    training, scored = (
        tuple(case.name for case in listed_cases(list_file(lists, part), listing))
        for part in (PARTS[0], PARTS[-1])
    )
    both = sorted(set(training) & set(scored))
    if both:
        raise OptionError(f"{lists}: '{both[0]}' is in both lists. Take it out of one of them.")
    return Division("", training, list_file(lists, PARTS[0]), data, scored, _given(training, scored))


def _drawn(name: str, labeled: Sequence[Case], data: Path, folder: Path) -> Division:
    """The division of a published split, or of a comparison of no paper; its lists are written."""
    sizes, seed = (published_split(name).sizes, published_split(name).seed) if name else (_SIZES, _SEED)
    exact = sum(sizes) == len(labeled)
    parts = divide(labeled, sizes if exact else in_proportion(sizes, len(labeled)), seed)
    write_lists(parts, folder)
    training, scored = parts[PARTS[0]], parts[PARTS[-1]]
    note = f"Split {name or 'by seed'}: {len(training)} training and {len(scored)} test cases"
    if name and not exact:
        note += f", in the proportions of {'/'.join(map(str, sizes))}, since the data has other numbers"
    return Division(name, training, list_file(folder, PARTS[0]), data, scored, f"{note}.")


def _limited(division: Division, training: int | None, test: int | None, output: Path) -> Division:
    """The first cases of a division by name, where a preset takes no more; the list of them is written."""
    chosen, scored = division.training[:training], division.test[:test]
    if (chosen, scored) == (division.training, division.test):
        return division
    names = division.training_list
    if chosen != division.training:
        key = hashlib.sha256("\n".join(chosen).encode()).hexdigest()[:_DIGITS]
        folder = output / "lists" / f"first-{len(chosen)}-{key}"
        write_lists({PARTS[0]: chosen}, folder)
        names = list_file(folder, PARTS[0])
    note = f"{division.note} The preset takes the first of each by name: {len(chosen)} and {len(scored)}."
    return replace(division, training=chosen, training_list=names, test=scored, note=note)


def _given(training: Sequence[str], scored: Sequence[str]) -> str:
    return f"Division of the user's: {len(training)} training and {len(scored)} test cases."
