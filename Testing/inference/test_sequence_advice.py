"""Which region gains and which loses by a sequence, in both directions, over the same patients."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from MissingModalityLib.core.modalities import Modality
from MissingModalityLib.inference.sequence_advice import Change, changes

FLAIR, T1CE, T1, T2 = Modality
Dice = tuple[float, float, float]


def named(dice: Dice) -> dict[str, float]:
    return dict(zip(("WT", "TC", "ET"), dice, strict=True))


def gain(subset: str, added: str, before: Dice, after: Dice, cases: int = 3) -> dict[str, Any]:
    return {
        "subset": subset,
        "added": added,
        "cases": cases,
        "before": named(before),
        "after": named(after),
    }


def table(cases: int, **rows: tuple[int, Dice]) -> dict[str, Any]:
    """An evaluation of so many patients; by subset (``_`` for ``+``) how many a row holds, and their Dice."""
    return {
        "cases": cases,
        "subsets": [
            {"subset": name.replace("_", "+"), "cases": count, "dice": named(dice)}
            for name, (count, dice) in rows.items()
        ],
    }


def test_a_sequence_that_helps_one_region_and_harms_others_is_told_so() -> None:
    evaluation = {"gains": [gain("T2", "T1ce", (0.62, 0.38, 0.05), (0.59, 0.35, 0.24), cases=4)]}
    (change,) = changes(evaluation, (T2,))
    assert (change.modalities, change.added, change.cases) == ((T1CE,), True, 4)
    assert (change.gaining, change.losing) == (("ET",), ("WT", "TC"))
    assert str(change) == (
        "Adding T1ce, in the same 4 patients: better: ET from 0.05 to 0.24; worse: WT from 0.62 to 0.59, "
        "TC from 0.38 to 0.35"
    )


def test_each_region_has_the_sequence_that_helps_it_most() -> None:
    before = (0.6, 0.4, 0.3)
    evaluation = {
        "gains": [
            gain("T2", "T1", before, (0.61, 0.45, 0.3)),
            gain("T2", "FLAIR", before, (0.8, 0.41, 0.3)),
            gain("T2", "T1ce", before, (0.5, 0.7, 0.7)),
        ]
    }
    assert [change.modalities for change in changes(evaluation, (T2,))] == [(FLAIR,), (T1CE,)]


def test_what_was_chosen_though_it_hurts_is_told_too() -> None:
    evaluation = {"gains": [gain("FLAIR", "T1", (0.7, 0.5, 0.3), (0.6, 0.5, 0.4))]}
    (change,) = changes(evaluation, (FLAIR, T1))
    assert (change.modalities, change.added) == ((T1,), False)
    assert (change.before, change.after) == (named((0.6, 0.5, 0.4)), named((0.7, 0.5, 0.3)))
    assert str(change) == (
        "Without T1, in the same 3 patients: better: WT from 0.60 to 0.70; worse: ET from 0.40 to 0.30"
    )
    assert str(replace(change, cases=1)).startswith("Without T1, in the same 1 patient: better")


def test_several_sequences_are_left_out_by_rows_of_the_same_patients() -> None:
    everything, pair = (0.63, 0.324, 0.246), (0.649, 0.381, 0.367)
    evaluation = table(4, FLAIR_T1ce_T1_T2=(4, everything), FLAIR_T1ce=(4, pair), FLAIR=(4, everything))
    assert changes(evaluation, tuple(Modality)) == (
        Change((T1, T2), False, 4, named(everything), named(pair)),
    )


def test_rows_of_other_patients_are_never_compared() -> None:
    everything, pair = (0.63, 0.324, 0.246), (0.705, 0.44, 0.43)
    assert not changes(table(5, FLAIR_T1ce_T1_T2=(4, everything), FLAIR_T1ce=(5, pair)), tuple(Modality))


@pytest.mark.parametrize(("rise", "told"), [(0.0099, 0), (0.01, 1)])
def test_less_than_a_point_of_dice_is_no_advice(rise: float, told: int) -> None:
    before = (0.8, 0.4, 0.3)
    evaluation = {"gains": [gain("T2", "FLAIR", before, (0.8 + rise, 0.4, 0.3))]}
    assert len(changes(evaluation, (T2,))) == told
    assert not changes(evaluation, (FLAIR, T2))
