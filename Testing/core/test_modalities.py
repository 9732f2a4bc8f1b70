"""The order of sequences and subsets, and their names."""

from __future__ import annotations

from itertools import permutations

from MissingModalityLib.core.modalities import (
    MODALITIES,
    SUBSETS,
    availability,
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
