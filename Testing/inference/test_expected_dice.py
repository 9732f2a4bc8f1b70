"""What the panel says to expect, looked up in evaluations."""

from __future__ import annotations

from typing import Any

import pytest

from MissingModalityLib.core.modalities import SUBSETS, Modality, subset_name
from MissingModalityLib.inference.card import read_card
from MissingModalityLib.inference.expected_dice import Grade, expect
from MissingModalityLib.inference.locations import bundled_student

FLAIR, T2 = Modality.FLAIR, Modality.T2


def named(dice: tuple[float, float, float]) -> dict[str, float]:
    return dict(zip(("WT", "TC", "ET"), dice, strict=True))


def card(dice: tuple[float, float, float]) -> dict[str, Any]:
    """A card that knows T2."""
    row = {"subset": "T2", "cases": 5, "dice": named(dice), "dice_std": named((0.1, 0.2, 0.3))}
    return {"evaluation": {"subsets": [row]}}


@pytest.mark.parametrize(
    ("dice", "grade"),
    [
        (1.0, Grade.RELIABLE),
        (0.75, Grade.RELIABLE),
        (0.7499, Grade.CHECK),
        (0.5, Grade.CHECK),
        (0.4999, Grade.DOUBTFUL),
        (0.0, Grade.DOUBTFUL),
    ],
)
def test_grades_begin_at_their_least_dice(dice: float, grade: Grade) -> None:
    assert Grade.of(dice) is grade


def test_the_scores_of_the_subset_are_looked_up() -> None:
    found = expect(card((0.8, 0.4, 0.3)), (T2,))
    assert found is not None
    assert (found.dice, found.spread) == (named((0.8, 0.4, 0.3)), named((0.1, 0.2, 0.3)))
    assert (found.cases, found.changes) == (5, ())


def test_a_subset_that_was_never_evaluated_has_no_expectation() -> None:
    assert expect(card((0.8, 0.4, 0.3)), (FLAIR,)) is None
    assert expect({}, (FLAIR,)) is None


def test_the_bundled_student_tells_what_to_expect_of_every_subset() -> None:
    card = read_card(bundled_student())
    for subset in SUBSETS:
        found = expect(card, subset)
        assert found is not None and set(found.dice) == {"WT", "TC", "ET"}, subset_name(subset)
    assert not any(change.added for change in found.changes), "all four sequences are there"
