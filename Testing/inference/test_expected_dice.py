"""What the panel says to expect, looked up in evaluations."""

from __future__ import annotations

from typing import Any

import pytest

from MissingModalityLib.core.modalities import SUBSETS, Modality, subset_name
from MissingModalityLib.inference.card import read_card
from MissingModalityLib.inference.expected_dice import Gain, Grade, expect
from MissingModalityLib.inference.locations import bundled_student

FLAIR, T1CE, T1, T2 = Modality


def named(dice: tuple[float, float, float]) -> dict[str, float]:
    return dict(zip(("WT", "TC", "ET"), dice, strict=True))


def card(dice: tuple[float, float, float], **gains: tuple[float, float, float]) -> dict[str, Any]:
    """A card that knows T2, and what each of ``gains`` brings on three of its five cases."""
    return {
        "evaluation": {
            "subsets": [
                {"subset": "T2", "cases": 5, "dice": named(dice), "dice_std": named((0.1, 0.2, 0.3))}
            ],
            "gains": [
                {"subset": "T2", "added": name, "cases": 3, "before": named(dice), "after": named(after)}
                for name, after in gains.items()
            ],
        }
    }


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


def test_the_one_sequence_that_helps_most_is_named_with_what_it_gives() -> None:
    before, after = (0.8, 0.4, 0.3), (0.75, 0.7, 0.7)
    found = expect(card(before, FLAIR=(0.9, 0.4, 0.3), T1ce=after, T1=before), (T2,))
    assert found is not None
    assert (found.dice, found.spread, found.cases) == (named(before), named((0.1, 0.2, 0.3)), 5)
    assert found.gain == Gain(T1CE, 3, named(before), named(after))


def test_nothing_is_recommended_that_does_not_help_noticeably() -> None:
    found = expect(card((0.8, 0.4, 0.3), FLAIR=(0.809, 0.409, 0.309), T1=(0.1, 0.1, 0.1)), (T2,))
    assert found is not None and found.gain is None


def test_a_subset_that_was_never_evaluated_has_no_expectation() -> None:
    assert expect(card((0.8, 0.4, 0.3)), (FLAIR,)) is None
    assert expect({}, (FLAIR,)) is None


def test_the_bundled_student_tells_what_to_expect_of_every_subset() -> None:
    card = read_card(bundled_student())
    for subset in SUBSETS:
        found = expect(card, subset)
        assert found is not None and set(found.dice) == {"WT", "TC", "ET"}, subset_name(subset)
    assert found.gain is None, "all four sequences are there"
