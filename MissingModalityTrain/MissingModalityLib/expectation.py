"""What to expect from a student where only some sequences are there: its own evaluation, looked up.

Grades compare with people: experts who outlined the same gliomas agreed with each other with Dice of about
0.74 to 0.85 (Menze et al., "The Multimodal Brain Tumor Image Segmentation Benchmark", TMI 2015).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from statistics import fmean
from typing import Any

from .modalities import MODALITIES, Modality, Subset, subset_name
from .regions import REGIONS

_NOTICEABLE = 0.01
"""A smaller gain of mean Dice is nothing to acquire a sequence for."""


class Grade(Enum):
    """How far to trust a region; the value is the least Dice."""

    GOOD = 0.75
    DOUBTFUL = 0.5
    UNRELIABLE = 0.0

    @classmethod
    def of(cls, dice: float) -> Grade:
        """The grade of a Dice score, 0..1."""
        return next(grade for grade in cls if dice >= grade.value)


@dataclass(frozen=True)
class Expectation:
    """Mean scores of a student on the labeled cases that it was evaluated on, for one subset.

    Attributes:
        subset: the modalities.
        dice: mean Dice, 0..1, of WT, TC and ET, as far as they were scored.
        cases: how many there were.
        helpful: the one further modality with which mean Dice over the regions is highest; None where none
            adds anything.
        improved: ``dice`` with it; empty without.
    """

    subset: Subset
    dice: Mapping[str, float]
    cases: int
    helpful: Modality | None
    improved: Mapping[str, float]


def expect(card: Mapping[str, Any], subset: Subset) -> Expectation | None:
    """Look up what a student's card says about a subset.

    Args:
        card: see :func:`.card.read_card`; ``evaluation`` is read, see :func:`.evaluation.attach.summary_of`.
        subset: modalities in channel order.

    Returns:
        None where the student was never evaluated on this subset.
    """
    entries = {entry["subset"]: entry for entry in card.get("evaluation", {}).get("subsets", [])}
    found = entries.get(subset_name(subset))
    if found is None:
        return None
    dice = _dice(found)
    gains = {}
    for modality in set(MODALITIES) - set(subset):
        entry = entries.get(subset_name((*subset, modality)))
        if entry:
            gains[modality] = _gain(dice, _dice(entry)), _dice(entry)
    best = max(gains, key=lambda modality: gains[modality][0], default=None)
    if best is None or gains[best][0] < _NOTICEABLE:
        return Expectation(subset, dice, found["cases"], None, {})
    return Expectation(subset, dice, found["cases"], best, gains[best][1])


def _gain(dice: Mapping[str, float], improved: Mapping[str, float]) -> float:
    """Mean gain over the regions scored in both."""
    both = dice.keys() & improved.keys()
    return fmean(improved[region] - dice[region] for region in both) if both else 0.0


def _dice(entry: Mapping[str, Any]) -> dict[str, float]:
    return {region: entry["dice"][region] for region in REGIONS if entry["dice"][region] is not None}
