"""What further sequences bring, on scores made by hand."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from MissingModalityLib.core.labels import REGIONS
from MissingModalityLib.core.modalities import SUBSETS, Modality, Subset
from MissingModalityLib.evaluation.averages import summarize
from MissingModalityLib.evaluation.gains import further_sequences, gains
from MissingModalityLib.evaluation.metrics import SCORED_REGIONS
from MissingModalityLib.evaluation.row import Row
from MissingModalityLib.evaluation.tables import notes

T1CE, FLAIR = (Modality.T1CE,), (Modality.FLAIR,)
BOTH = (*FLAIR, *T1CE)


def rows(case: str, subset: Subset, dice: float, **others: float) -> Iterator[Row]:
    """Scores of every region, ``dice`` but for those of ``others``."""
    for region in SCORED_REGIONS:
        yield Row(case, subset, region, others.get(region, dice), 1.0, 7, 7)


def test_more_sequences_that_never_harm_make_no_pair_of_the_150_worse() -> None:
    scored = [row for subset in SUBSETS for row in rows("a", subset, 0.2 * len(subset))]
    found = further_sequences(scored)
    assert (found["pairs"], found["worse"]) == (50 * len(REGIONS), 0)
    assert found["worst"]["loss"] == pytest.approx(-0.2), "the one that gains least"
    assert len(gains(scored)) == sum(4 - len(subset) for subset in SUBSETS)


def test_pairs_that_lose_more_than_a_point_are_counted_and_the_worst_is_named() -> None:
    scored = [
        *rows("a", T1CE, 0.6, TC=0.70),
        *rows("b", T1CE, 0.6, TC=0.80),
        *rows("a", FLAIR, 0.605),
        *rows("b", FLAIR, 0.605),
        *rows("a", BOTH, 0.6, TC=0.67, ET=0.58),
        *rows("b", BOTH, 0.6, TC=0.79, ET=0.58),
    ]
    found = further_sequences(scored)
    # TC and ET from T1ce, ET from FLAIR; WT from FLAIR loses half a point
    assert (found["pairs"], found["worse"]) == (6, 3)
    assert found["worst"] == {
        "subset": "FLAIR",
        "larger": "FLAIR+T1ce",
        "region": "ET",
        "cases": 2,
        "loss": 0.025,
    }
    tc = further_sequences([row for row in scored if row.subset != FLAIR])["worst"]
    assert (tc["subset"], tc["region"], tc["loss"]) == ("T1ce", "TC", 0.02)


@pytest.mark.parametrize(("after", "worse"), [(0.49, 0), (0.4899, 3)])
def test_a_point_itself_is_no_loss(after: float, worse: int) -> None:
    assert further_sequences([*rows("a", FLAIR, 0.5), *rows("a", BOTH, after)])["worse"] == worse


def test_a_pair_is_over_the_cases_that_were_scored_on_both() -> None:
    scored = [*rows("a", FLAIR, 0.4), *rows("easy", FLAIR, 1.0), *rows("a", BOTH, 0.5)]
    found = further_sequences(scored)
    assert found["worse"] == 0 and found["worst"]["cases"] == 1, "the easy case lacks T1ce"
    assert further_sequences([*rows("a", FLAIR, 0.4), *rows("b", BOTH, 0.1)]) == {}


@pytest.mark.parametrize("subsets", [[FLAIR], [FLAIR, T1CE], []], ids=len)
def test_nothing_is_told_without_a_subset_and_a_larger_one(subsets: list[Subset]) -> None:
    scored = [row for subset in subsets for row in rows("a", subset, 0.5)]
    assert further_sequences(scored) == {} and gains(scored) == []


def test_two_and_three_sequences_more_are_pairs_and_no_single_gains() -> None:
    scored = [*rows("a", FLAIR, 0.9), *rows("a", SUBSETS[-1], 0.8)]
    assert further_sequences(scored)["worse"] == 3 and gains(scored) == []


def test_the_table_tells_it_in_points() -> None:
    def note(dice: float) -> str:
        scored = [*rows("a", T1CE, 0.5), *rows("a", BOTH, 0.5, TC=dice)]
        text = notes({"hd95_rule": "penalty", "skipped": [], **summarize(scored)})
        return next(line for line in text.splitlines() if "More than a point" in line)

    assert "is lost in 1 of 3 ways" in note(0.488)
    assert note(0.488).endswith("The worst is TC from T1ce to FLAIR+T1ce: -1.2.")
    assert "is lost in 0 of 3 ways" in note(0.6) and note(0.6).endswith(": +0.0.")
    alone = notes({"hd95_rule": "penalty", "skipped": [], **summarize(list(rows("a", FLAIR, 0.5)))})
    assert "More than a point" not in alone
