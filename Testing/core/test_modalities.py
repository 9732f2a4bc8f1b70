"""The order of sequences and subsets, and their names."""

from __future__ import annotations

from itertools import permutations

import pytest

from MissingModalityLib.core.errors import OptionError
from MissingModalityLib.core.modalities import (
    ALIASES,
    MODALITIES,
    SUBSETS,
    Modality,
    availability,
    modality_named,
    subset_name,
    subset_named,
    subset_of,
)

# as the tables of RFNet's paper list them
PRINTED = (
    *("T2", "T1ce", "T1", "FLAIR"),
    *("T1ce+T2", "T1ce+T1", "FLAIR+T1", "T1+T2", "FLAIR+T2", "FLAIR+T1ce"),
    *("FLAIR+T1ce+T1", "FLAIR+T1+T2", "FLAIR+T1ce+T2", "T1ce+T1+T2", "FLAIR+T1ce+T1+T2"),
)


def test_subsets_stand_in_the_papers_order() -> None:
    assert tuple(map(subset_name, SUBSETS)) == PRINTED


def test_a_subset_has_one_name_whatever_the_order_it_is_given_in() -> None:
    for subset in SUBSETS:
        assert {subset_name(order) for order in permutations(subset)} == {subset_name(subset)}
        assert {subset_named(subset_name(subset).lower()), subset_of(availability(subset))} == {subset}
    assert [modality.title for modality in MODALITIES] == ["FLAIR", "T1ce", "T1", "T2"]


@pytest.mark.parametrize(
    ("name", "modality"),
    [
        *(("FLAIR", Modality.FLAIR), ("flair", Modality.FLAIR), ("t2f", Modality.FLAIR)),
        *(("t1ce", Modality.T1CE), ("T1c", Modality.T1CE), ("t1gd", Modality.T1CE), ("T1-Gd", Modality.T1CE)),
        *(("t1n", Modality.T1), ("T1w", Modality.T1), ("T2W", Modality.T2), (Modality.T2, Modality.T2)),
    ],
)
def test_a_sequence_is_known_by_each_of_its_names(name, modality) -> None:
    assert modality_named(name) is modality


def test_no_name_stands_for_two_sequences() -> None:
    names = [name for known in MODALITIES for name in (known.name.lower(), *ALIASES[known])]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("name", ["dwi", "", "T", 0, None])
def test_what_is_no_sequence_is_refused_by_its_name(name) -> None:
    with pytest.raises(OptionError, match="is no sequence of FLAIR, T1ce, T1 and T2"):
        modality_named(name)


def test_a_misspelled_sequence_is_answered_with_the_nearest() -> None:
    with pytest.raises(OptionError, match="Did you mean FLAIR"):
        modality_named("flare")
