"""Means of an evaluation's scores: over cases for each subset, and over subsets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean, stdev
from typing import Any

from ..core.labels import CAVITY_REGION, REGIONS
from ..core.modalities import MODALITIES, SUBSETS, Modality, Subset, subset_name
from ..core.words import counted
from .agreement import agreements
from .gains import further_sequences
from .measures import MEASURES
from .metrics import scored_regions
from .row import Row

GROUPS: Mapping[str, tuple[Subset, ...]] = {
    "all": SUBSETS,
    "with FLAIR": tuple(subset for subset in SUBSETS if Modality.FLAIR in subset),
    "with T1ce": tuple(subset for subset in SUBSETS if Modality.T1CE in subset),
    "without T1ce": tuple(subset for subset in SUBSETS if Modality.T1CE not in subset),
    **{
        f"with {counted(number, 'sequence')}": tuple(subset for subset in SUBSETS if len(subset) == number)
        for number in range(1, len(MODALITIES) + 1)
    },
}
"""Subsets that are averaged over."""


def summarize(rows: Sequence[Row]) -> dict[str, Any]:
    """Means and standard deviations over cases per subset, and averages over subsets.

    Returns:
        ``subsets``: one entry per subset that any case allows, in the papers' order, with ``subset``,
        ``cases`` (how many), and per region ``dice``, ``hd95`` and, where every row has them, the others of
        :data:`.measures.MEASURES` (means over the cases that have a value, else None), ``dice_std`` ...
        (sample standard deviations over cases, None for a single one), and what
        :func:`.agreement.agreements` gives; ``averages``: the same over the subsets of each of
        :data:`GROUPS`: the plain mean of the subsets' means and the standard deviation over cases of each
        case's own mean over these subsets; ``empty``: per
        region the number of cases without it in the reference, and of predictions that missed or invented
        it; ``further_sequences``: see :func:`.gains.further_sequences`.
    """
    subsets, metrics = [], _measured(rows)
    for subset in SUBSETS:
        chosen = [row for row in rows if row.subset == subset]
        if chosen:
            entry = {"subset": subset_name(subset), "cases": len({row.case for row in chosen})}
            subsets.append({**entry, **_means(chosen, metrics), **agreements(chosen)})
    averages = {}
    for title, members in GROUPS.items():
        names = set(map(subset_name, members))
        entries = [entry for entry in subsets if entry["subset"] in names]
        if entries:
            chosen = [row for row in rows if row.subset in members]
            # _average comes last: its means replace those of _means, whose deviations stay
            averages[title] = {
                "subsets": len(entries),
                **_means(chosen, metrics),
                **_average(entries, metrics),
                **agreements(chosen),
            }
    return {
        "subsets": subsets,
        "averages": averages,
        "empty": _count_empty(rows),
        "further_sequences": further_sequences(rows),
    }


_SIGNS = {"sensitivity": "iou", "precision": "iou"}
"""By what it is seen that an evaluation has a measure that some predictions lack."""


def has_lesions(rows: Iterable[Row]) -> bool:
    """Whether every row has lesion-wise scores."""
    return all(row.lesion_dice is not None and row.lesion_hd95 is not None for row in rows)


def tells_cavity(evaluation: Mapping[str, Any]) -> bool:
    """Whether an evaluation, as :func:`summarize` makes it, has scored the resection cavity."""
    return any(CAVITY_REGION in entry["dice"] for entry in evaluation["subsets"])


def regions_in(rows: Iterable[Row]) -> tuple[str, ...]:
    """The regions that an evaluation has scored."""
    return scored_regions(any(row.region == CAVITY_REGION for row in rows))


def _measured(rows: Sequence[Row]) -> list[str]:
    """The measures that every row of a region of its own has."""
    own = [row for row in rows if row.region in REGIONS]
    return [name for name in MEASURES if all(getattr(row, _SIGNS.get(name, name)) is not None for row in own)]


def _means(rows: Sequence[Row], metrics: Sequence[str]) -> dict[str, dict[str, float | None]]:
    """Mean and standard deviation over cases of each case's mean, per metric and region."""
    scores: dict[tuple[str, str], dict[str, list[float]]] = {}
    for row in rows:
        for metric in metrics:
            value = getattr(row, metric)
            if value is not None:
                scores.setdefault((metric, row.region), {}).setdefault(row.case, []).append(value)
    result: dict[str, dict[str, float | None]] = {}
    for metric in metrics:
        means = {
            region: list(map(fmean, scores.get((metric, region), {}).values())) for region in regions_in(rows)
        }
        result[metric] = {region: _mean(values) for region, values in means.items()}
        result[f"{metric}_std"] = {
            region: stdev(values) if len(values) > 1 else None for region, values in means.items()
        }
    return result


def _mean(values: Iterable[float | None]) -> float | None:
    """Of those that are there."""
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def _average(entries: Sequence[dict[str, Any]], metrics: Sequence[str]) -> dict[str, dict[str, float | None]]:
    """Plain mean of the subsets' means, which weighs subsets equally however many cases each has."""
    return {
        metric: {region: _mean(entry[metric][region] for entry in entries) for region in entries[0][metric]}
        for metric in metrics
    }


def _count_empty(rows: Sequence[Row]) -> dict[str, dict[str, int]]:
    counts = {}
    for region in regions_in(rows):
        chosen = [row for row in rows if row.region == region]
        counts[region] = {
            "cases_without": len({row.case for row in chosen if not row.reference}),
            "missed": sum(1 for row in chosen if row.reference and not row.predicted),
            "invented": sum(1 for row in chosen if row.predicted and not row.reference),
        }
    return counts
