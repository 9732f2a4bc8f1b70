"""What further sequences bring: mean Dice of a subset beside that of a larger one, over the same cases.

Each pair of subsets is over the cases that were scored on both. Means over different cases would differ
because of the cases, and a case that lacks one sequence still tells what the others bring.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean
from typing import Any

from ..core.labels import REGIONS
from ..core.modalities import MODALITIES, SUBSETS, Modality, subset_name
from .row import Row

POINT = 0.01
"""Of Dice; a larger subset that loses no more is no worse."""

_DECIMALS = 4
"""A hundredth of a point."""


@dataclass(frozen=True)
class _Pair:
    """A subset and a larger one.

    Attributes:
        subset: name of the smaller one.
        added: the sequences that make it the larger one.
        larger: name of that.
        cases: how many were scored on both.
        before, after: their mean Dice, 0..1, by region from the smaller and the larger one.
    """

    subset: str
    added: tuple[Modality, ...]
    larger: str
    cases: int
    before: Mapping[str, float]
    after: Mapping[str, float]


def gains(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """What each single sequence adds to each subset, for the card of a student.

    Returns:
        ``subset``, ``added`` (title of the sequence), ``cases`` (how many were scored on both), and per
        region ``before`` and ``after``, their mean Dice (0..1, 4 decimals).
    """
    return [
        {
            "subset": pair.subset,
            "added": pair.added[0].title,
            "cases": pair.cases,
            "before": _rounded(pair.before),
            "after": _rounded(pair.after),
        }
        for pair in _pairs(rows)
        if len(pair.added) == 1
    ]


def further_sequences(rows: Iterable[Row]) -> dict[str, Any]:
    """How often a larger subset of sequences is worse: over all 50 pairs of one and a larger one, by region.

    Returns:
        ``pairs``, how many there are, three regions each; ``worse``, how many lose more than :data:`POINT` of
        mean Dice by the further sequences; ``worst``, that which loses most: ``subset``, ``larger``,
        ``region``, ``cases`` (scored on both) and ``loss`` (of Dice, -1..1, 4 decimals; negative where even
        this one gains). Empty where no case was scored on a subset and a larger one.
    """
    losses = [
        {
            "subset": pair.subset,
            "larger": pair.larger,
            "region": region,
            "cases": pair.cases,
            "loss": round(pair.before[region] - pair.after[region], _DECIMALS),
        }
        for pair in _pairs(rows)
        for region in REGIONS
    ]
    if not losses:
        return {}
    return {
        "pairs": len(losses),
        "worse": sum(entry["loss"] > POINT for entry in losses),
        "worst": max(losses, key=lambda entry: entry["loss"]),
    }


def _pairs(rows: Iterable[Row]) -> Iterator[_Pair]:
    """Every scored subset with every larger one, where any case has both."""
    dice: dict[str, dict[str, dict[str, float]]] = {}
    for row in rows:
        dice.setdefault(subset_name(row.subset), {}).setdefault(row.case, {})[row.region] = row.dice
    for subset in SUBSETS:
        absent = [modality for modality in MODALITIES if modality not in subset]
        for added in (some for count in range(len(absent)) for some in combinations(absent, count + 1)):
            smaller, larger = subset_name(subset), subset_name((*subset, *added))
            before, after = dice.get(smaller, {}), dice.get(larger, {})
            shared = before.keys() & after.keys()
            if shared:
                yield _Pair(
                    smaller, added, larger, len(shared), _means(before, shared), _means(after, shared)
                )


def _means(dice: Mapping[str, Mapping[str, float]], cases: Collection[str]) -> dict[str, float]:
    return {region: fmean(dice[case][region] for case in cases) for region in REGIONS}


def _rounded(dice: Mapping[str, float]) -> dict[str, float]:
    return {region: round(value, _DECIMALS) for region, value in dice.items()}
