"""Which sequence to add and which to leave out, by a student's evaluation of the same patients."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..core.labels import REGIONS
from ..core.modalities import Subset, subset_name, subset_named
from ..core.words import counted

NOTICEABLE = 0.01
"""A smaller change of mean Dice is nothing to acquire a sequence for, or to leave one out."""


@dataclass(frozen=True)
class Change:
    """What other sequences bring: mean Dice, 0..1, of WT, TC and ET over the same patients.

    Attributes:
        modalities: what is added or left out.
        added: whether it is added.
        cases: how many patients allow both.
        before: with the sequences at hand.
        after: with the others.
    """

    modalities: Subset
    added: bool
    cases: int
    before: Mapping[str, float]
    after: Mapping[str, float]

    @property
    def gaining(self) -> tuple[str, ...]:
        """Regions that get better noticeably."""
        return tuple(region for region in REGIONS if self.rise(region) >= NOTICEABLE)

    @property
    def losing(self) -> tuple[str, ...]:
        """Regions that get worse noticeably."""
        return tuple(region for region in REGIONS if self.rise(region) <= -NOTICEABLE)

    def rise(self, region: str) -> float:
        """By how much the mean Dice of a region is higher after the change."""
        # cards hold four decimals, whose differences binary fractions miss by little
        return round(self.after[region] - self.before[region], 4)

    def __str__(self) -> str:
        """Such as ``"Adding T1ce, in the same 4 patients: better: ET from 0.05 to 0.24; worse: ..."``."""
        heading = "Adding" if self.added else "Without"
        told = [
            f"{word}: {', '.join(map(self._dice_pair, regions))}"
            for word, regions in (("better", self.gaining), ("worse", self.losing))
            if regions
        ]
        same = f"in the same {counted(self.cases, 'patient')}"
        return f"{heading} {subset_name(self.modalities)}, {same}: {'; '.join(told)}"

    def _dice_pair(self, region: str) -> str:
        return f"{region} from {self.before[region]:.2f} to {self.after[region]:.2f}"


def changes(evaluation: Mapping[str, Any], subset: Subset) -> tuple[Change, ...]:
    """What would help a region most: sequences to add, one at a time, then sequences to leave out.

    A mean over regions would hide that one of them gets worse, so each region has its own best change, and
    each change tells of all regions.

    Args:
        evaluation: entry ``evaluation`` of a student's card.
        subset: the modalities at hand, in channel order.

    Returns:
        At most one change for each region and direction; none where no region gains noticeably.
    """
    return (*_best(_additions(evaluation, subset)), *_best(_omissions(evaluation, subset)))


def _additions(evaluation: Mapping[str, Any], subset: Subset) -> Iterator[Change]:
    for gain in evaluation.get("gains", []):
        if gain["subset"] == subset_name(subset):
            yield Change(_subset(gain["added"]), True, gain["cases"], gain["before"], gain["after"])


def _omissions(evaluation: Mapping[str, Any], subset: Subset) -> Iterator[Change]:
    """One sequence by what adding it brought, several by rows of the table that hold every patient."""
    for gain in evaluation.get("gains", []):
        if {*_subset(gain["subset"]), *_subset(gain["added"])} == set(subset):
            yield Change(_subset(gain["added"]), False, gain["cases"], gain["after"], gain["before"])
    rows = {
        _subset(row["subset"]): {region: row["dice"][region] for region in REGIONS}
        for row in evaluation.get("subsets", [])
        if row["cases"] == evaluation.get("cases")
    }
    for smaller in rows if subset in rows else ():
        left_out = tuple(modality for modality in subset if modality not in smaller)
        if len(left_out) > 1 and set(smaller) < set(subset):
            yield Change(left_out, False, evaluation["cases"], rows[subset], rows[smaller])


def _subset(name: str) -> Subset:
    return subset_named(name) or ()


def _best(found: Iterable[Change]) -> tuple[Change, ...]:
    """For each region the change by which it gains most; of equal ones that with fewest sequences."""
    ordered = sorted(found, key=lambda change: (len(change.modalities), change.modalities))
    helping: dict[Subset, Change] = {}
    for region in REGIONS:
        candidates = [change for change in ordered if region in change.gaining]
        if candidates:
            best = max(candidates, key=lambda change: change.rise(region))
            helping[best.modalities] = best
    return tuple(helping.values())
