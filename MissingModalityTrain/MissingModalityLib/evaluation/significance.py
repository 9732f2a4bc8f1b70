"""Whether two students differ by more than chance, case by case.

Wilcoxon's signed-rank test over cases, on each case's mean over the subsets, for WT, TC, ET and, where all
have scored it, the resection cavity, with Holm's correction for these. The effect size is the matched-pairs
rank-biserial correlation (Kerby, Comprehensive Psychology 3, 2014): the share of the rank sum in favor of one
side less that of the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

import numpy as np
from scipy import stats

from ..core.errors import CaseError, OptionError
from ..core.labels import CAVITY_REGION, REGIONS
from ..core.words import counted, unknown_name
from .averages import tells_cavity
from .hd95_rules import definition_of
from .measures import METRICS
from .metrics import ET_FILTERED, scored_regions

Evaluation = Mapping[str, Any]
"""A result of :func:`.evaluate.evaluate_folder` or :func:`.evaluate.read_evaluation`."""

SIGNIFICANT = 0.05
"""The level that papers on segmentation use; a note is written where no test could reach it."""

_DECIMALS = 12
"""Differences beyond these are noise of averaging, which must neither break ties nor undo zeros."""


def compare_evaluations(
    first: Sequence[Evaluation], second: Sequence[Evaluation], metric: str = "dice"
) -> dict[str, Any]:
    """Test whether two students differ, case by case.

    Args:
        first: evaluations of one method on the same cases, one per seed; a case's scores are averaged.
        second: the same for another method.
        metric: "dice" or "hd95".

    Returns:
        ``metric``, ``cases`` (n), and ``regions``: for WT, TC, ET, ET without small findings
        (:data:`.metrics.ET_FILTERED`) and, where all have scored it, RC the ``difference`` (first less
        second, mean over cases of the means over common subsets; Dice 0..1 or mm), ``p`` (two-sided),
        ``p_holm`` (corrected for the number of regions, with either kind of ET), ``effect`` (rank-biserial,
        -1..1, positive where the first is higher) and ``different`` (cases whose scores differ);
        ``smallest_p``, which n cases can reach at best; ``note``: a sentence where so few cases cannot show
        any difference, else empty.

    Raises:
        CaseError: the cases, their labels or what HD95 means differ.
        OptionError: no such metric.
    """
    if metric not in METRICS:
        raise OptionError(unknown_name("metric", metric, METRICS))
    everything = [*first, *second]
    for other in everything[1:]:
        check_comparable(everything[0], other, metric)
    cavity = [CAVITY_REGION] if all(map(tells_cavity, everything)) else []
    tables = [_scores(evaluation, metric) for evaluation in everything]
    common: dict[tuple[str, str], list[str]] = {}
    for case, region, subset in sorted(set.intersection(*map(set, tables))):
        common.setdefault((case, region), []).append(subset)
    cases = sorted(_labels(everything[0]))
    if {case for case, _ in common} != set(cases):
        raise CaseError(
            "The evaluations share no subset of some cases. Compare evaluations of the same data."
        )
    regions = {}
    for region in scored_regions(bool(cavity)):
        means = np.array(
            [
                [fmean(table[case, region, subset] for subset in common[case, region]) for case in cases]
                for table in tables
            ]
        )
        differences = means[: len(first)].mean(0) - means[len(first) :].mean(0)
        regions[region] = _test(differences.round(_DECIMALS))
    # a table has one of the two columns of ET, so the other one is no further test; its family first
    alike = [*REGIONS, *cavity]
    for family in ([ET_FILTERED if region == "ET" else region for region in alike], alike):
        for region, p in zip(family, holm([regions[region]["p"] for region in family]), strict=True):
            regions[region]["p_holm"] = p
    # all n differences of one sign are one of 2^n equally likely patterns, on either of two sides
    smallest = min(1.0, 2.0 ** (1 - len(cases)))
    return {
        "metric": metric,
        "cases": len(cases),
        "regions": regions,
        "smallest_p": smallest,
        "note": _smallness(len(cases), smallest, len(alike)),
    }


def check_comparable(one: Evaluation, other: Evaluation, metric: str) -> None:
    """Refuse evaluations of unlike cases or labels, those of which one leaves a resection cavity out of its
    scores and, for "hd95", rules or definitions that differ.

    Raises:
        CaseError: naming what differs.
    """
    who = f"The evaluations of {one['student']} and {other['student']} cannot be compared"
    mine, theirs = _labels(one), _labels(other)
    unpaired = sorted(mine.keys() ^ theirs.keys())
    if unpaired:
        raise CaseError(
            f"{who}: {counted(len(unpaired), 'case')} in one only ({', '.join(unpaired[:5])}). "
            "Evaluate both on the same folder."
        )
    unlike = sorted(
        case
        for case in mine
        # one that has not scored the resection cavity tells nothing of its label
        if any(mine[case][region] != theirs[case][region] for region in mine[case].keys() & theirs[case])
    )
    if unlike:
        raise CaseError(
            f"{who}: the labels of {', '.join(unlike[:5])} differ. Evaluate both with the same labels."
        )
    _check_rules(who, one, other, metric)


def _check_rules(who: str, one: Evaluation, other: Evaluation, metric: str) -> None:
    """Refuse evaluations that score by different rules; ``who`` begins the message."""
    cavity = [evaluation.get("resection_cavity", "background") for evaluation in (one, other)]
    if "ignore" in cavity and cavity[0] != cavity[1]:
        raise CaseError(
            f"{who}: a resection cavity counts as '{cavity[0]}' and '{cavity[1]}', so what lies inside it "
            "is scored in one of them alone. Evaluate both by one --resection-cavity."
        )
    if metric != "hd95":
        return
    if one["hd95_rule"] != other["hd95_rule"]:
        raise CaseError(
            f"{who}: their HD95 rules are '{one['hd95_rule']}' and '{other['hd95_rule']}'. "
            "Evaluate both with the same rule."
        )
    definitions = definition_of(one), definition_of(other)
    if definitions[0] != definitions[1]:
        raise CaseError(
            f"{who}: their HD95 is '{definitions[0]}' and '{definitions[1]}'. "
            "Evaluate both by one definition."
        )


def holm(values: Sequence[float]) -> list[float]:
    """Holm's step-down correction of p values, in the order given (Scand. J. Statist. 6, 1979)."""
    corrected = [0.0] * len(values)
    least = 0.0
    # a smaller p never gets a larger correction than the next one: the running maximum is the step down
    for place, index in enumerate(np.argsort(values, kind="stable")):
        least = max(least, min(1.0, (len(values) - place) * values[index]))
        corrected[index] = least
    return corrected


def _test(differences: np.ndarray) -> dict[str, Any]:
    """Wilcoxon's test and the rank-biserial correlation of paired differences; zeros are left out."""
    nonzero = differences[differences != 0]
    p, effect = 1.0, 0.0
    if len(nonzero):
        p = float(stats.wilcoxon(nonzero).pvalue)
        ranks = stats.rankdata(np.abs(nonzero))
        effect = float((ranks * np.sign(nonzero)).sum() / ranks.sum())
    return {"difference": float(differences.mean()), "p": p, "effect": effect, "different": len(nonzero)}


def _smallness(cases: int, smallest: float, regions: int) -> str:
    corrected = min(1.0, regions * smallest)
    if corrected <= SIGNIFICANT:
        return ""
    return (
        f"With {counted(cases, 'case')} the smallest two-sided p is {smallest:.3g}, and {corrected:.3g} "
        f"after Holm's correction: no difference, however large, can be significant at {SIGNIFICANT}."
    )


def _scores(evaluation: Evaluation, metric: str) -> dict[tuple[str, str, str], float]:
    return {(row["case"], row["region"], row["subset"]): row[metric] for row in evaluation["rows"]}


def _labels(evaluation: Evaluation) -> dict[str, dict[str, int]]:
    """Case -> voxels of each region in the reference, as far as it was scored."""
    return {case["name"]: case["reference_voxels"] for case in evaluation["cases"]}
