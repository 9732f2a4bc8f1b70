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

from ..core.labels import REGIONS
from ..core.modalities import MODALITIES, Modality, Subset, subset_name

_NOTICEABLE = 0.01
"""A smaller gain of mean Dice is nothing to acquire a sequence for."""


class Grade(Enum):
    """How far to trust a region; the value is the least Dice."""

    # the lower end of what experts reach among each other; under a half, most of what is found is not there
    # or most of what is there is not found
    RELIABLE = 0.75
    CHECK = 0.5
    DOUBTFUL = 0.0

    @classmethod
    def of(cls, dice: float) -> Grade:
        """The grade of a Dice score, 0..1."""
        return next(grade for grade in cls if dice >= grade.value)

    @property
    def word(self) -> str:
        """As reports have it: ``reliable``, ``check`` or ``doubtful``."""
        return self.name.lower()


@dataclass(frozen=True)
class Gain:
    """What one further modality brings: mean Dice, 0..1, of WT, TC and ET over the same cases.

    Attributes:
        modality: the one with which mean Dice over the regions rises most.
        cases: how many allow both subsets.
        before: without it.
        after: with it.
    """

    modality: Modality
    cases: int
    before: Mapping[str, float]
    after: Mapping[str, float]


@dataclass(frozen=True)
class Expectation:
    """Scores of a student on the labeled cases that it was evaluated on, for one subset.

    Attributes:
        dice: mean Dice, 0..1, of WT, TC and ET.
        spread: standard deviation over cases; None for a single one.
        cases: how many there were.
        gain: what would help most; None where nothing helps noticeably or no case allows a comparison.
    """

    dice: Mapping[str, float]
    spread: Mapping[str, float | None]
    cases: int
    gain: Gain | None


def expect(card: Mapping[str, Any], subset: Subset) -> Expectation | None:
    """Look up what a student's card says about a subset.

    Args:
        card: see :func:`.card.read_card`; ``evaluation`` is read, see
            :func:`~..evaluation.attach.summary_of`.
        subset: modalities in channel order.

    Returns:
        None where the student was never evaluated on this subset.
    """
    evaluation, name = card.get("evaluation", {}), subset_name(subset)
    found = next((entry for entry in evaluation.get("subsets", []) if entry["subset"] == name), None)
    if found is None:
        return None
    dice = {region: found["dice"][region] for region in REGIONS}
    spread = {region: found.get("dice_std", {}).get(region) for region in REGIONS}
    gains = [
        Gain(_modality(entry["added"]), entry["cases"], entry["before"], entry["after"])
        for entry in evaluation.get("gains", [])
        if entry["subset"] == name
    ]
    best = max(gains, key=_mean_gain, default=None)
    helps = best is not None and _mean_gain(best) >= _NOTICEABLE
    return Expectation(dice, spread, found["cases"], best if helps else None)


def _mean_gain(gain: Gain) -> float:
    return fmean(gain.after.values()) - fmean(gain.before.values())


def _modality(title: str) -> Modality:
    return next(modality for modality in MODALITIES if modality.title == title)
