"""What the panel says to expect, looked up in evaluations."""

from __future__ import annotations

from typing import Any

import pytest

from MissingModalityLib.card import read_card
from MissingModalityLib.errors import MissingModalityError
from MissingModalityLib.expectation import Grade, expect
from MissingModalityLib.modalities import SUBSETS, Modality, subset_name
from MissingModalityLib.models import bundled_student

FLAIR, T1CE, T1, T2 = Modality


def card(**dice: tuple[float, float, float]) -> dict[str, Any]:
    """A card with an evaluation; keys are subset names with ``_`` for ``+``."""
    subsets = [
        {
            "subset": name.replace("_", "+"),
            "cases": 5,
            "dice": dict(zip(("WT", "TC", "ET"), scores, strict=True)),
        }
        for name, scores in dice.items()
    ]
    return {"evaluation": {"subsets": subsets}}


@pytest.mark.parametrize(
    ("dice", "grade"),
    [
        (1.0, Grade.GOOD),
        (0.75, Grade.GOOD),
        (0.7499, Grade.DOUBTFUL),
        (0.5, Grade.DOUBTFUL),
        (0.4999, Grade.UNRELIABLE),
        (0.0, Grade.UNRELIABLE),
    ],
)
def test_grades_begin_at_their_least_dice(dice: float, grade: Grade) -> None:
    assert Grade.of(dice) is grade


def test_the_one_sequence_that_helps_most_is_named_with_what_it_gives() -> None:
    found = expect(
        card(T2=(0.8, 0.4, 0.3), T1ce_T2=(0.8, 0.7, 0.7), FLAIR_T2=(0.9, 0.4, 0.3), T1_T2=(0.8, 0.4, 0.3)),
        (T2,),
    )
    assert found is not None
    assert (found.dice, found.cases) == ({"WT": 0.8, "TC": 0.4, "ET": 0.3}, 5)
    assert (found.helpful, found.improved) == (T1CE, {"WT": 0.8, "TC": 0.7, "ET": 0.7})


def test_nothing_is_recommended_that_does_not_help_noticeably() -> None:
    found = expect(card(T2=(0.8, 0.4, 0.3), FLAIR_T2=(0.809, 0.409, 0.309), T1_T2=(0.1, 0.1, 0.1)), (T2,))
    assert found is not None and (found.helpful, found.improved) == (None, {})


def test_a_subset_that_was_never_evaluated_has_no_expectation() -> None:
    assert expect(card(T2=(0.8, 0.4, 0.3)), (FLAIR,)) is None
    assert expect({}, (FLAIR,)) is None


def test_a_region_that_was_never_scored_is_left_out() -> None:
    found = expect(card(T2=(0.8, None, None), T1_T2=(0.9, 0.5, 0.5)), (T2,))  # type: ignore[arg-type]
    assert found is not None and found.dice == {"WT": 0.8}
    assert (found.helpful, found.improved) == (T1, {"WT": 0.9, "TC": 0.5, "ET": 0.5})


def test_the_bundled_student_tells_what_to_expect_of_every_subset() -> None:
    try:
        path = bundled_student()
    except MissingModalityError as error:
        pytest.skip(str(error))
    for subset in SUBSETS:
        found = expect(read_card(path), subset)
        assert found is not None and set(found.dice) == {"WT", "TC", "ET"}, subset_name(subset)
    assert found.helpful is None, "all four sequences are there"
