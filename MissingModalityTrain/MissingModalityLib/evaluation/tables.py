"""The papers' table in Markdown, and the rules and counts without which nobody can compare its numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..core.labels import REGIONS
from ..core.modalities import SUBSETS, Modality, subset_name
from ..core.words import counted
from .averages import tells_cavity
from .hd95_rules import HD95_DEFINITIONS, HD95_RULES, definition_of
from .lesions import PENALTY_MM, SMALLEST_MM3
from .measures import AGREEMENTS, METRICS, TABLE_METRICS, measure
from .metrics import ET_FILTERED, ET_MINIMUM_VOXELS, scored_regions
from .region import DILATION_VOXELS

# The papers print the modalities in this order, whatever the order of the channels.
PRINTED_ORDER = (Modality.FLAIR, Modality.T1, Modality.T1CE, Modality.T2)
PRESENT, ABSENT = "\N{BLACK CIRCLE}", "\N{WHITE CIRCLE}"

_LESION_NOTE = (
    "Lesion-wise as BraTS 2023 ranks: lesions of the reference that touch when each has grown by "
    f"{DILATION_VOXELS} voxels are one, those of up to {SMALLEST_MM3:g} mm\N{SUPERSCRIPT THREE} do not "
    f"count; a missed lesion and each piece found where there is none score 0 % and {PENALTY_MM:g} mm; the "
    "mean is over lesions and such pieces of a case, then over cases."
)

_PER_TABLE = 2
"""Scores side by side; each has a column for every region."""

_MOST_SKIPPED = 20
"""Skipped files that a table names, about as many lines as the table has; the summary has them all."""

_SUBSETS_BY_NAME = {subset_name(subset): subset for subset in SUBSETS}


def markdown_table(evaluation: dict[str, Any], metrics: Sequence[str] = METRICS) -> str:
    """The papers' table: one line per subset, dots for the modalities it holds, then the averages.

    Args:
        evaluation: what :func:`.averages.summarize` returns.
        metrics: of :data:`.measures.MEASURES` and :data:`.measures.AGREEMENTS`, those that it has.

    Returns:
        Shares in %, distances in mm, mean and standard deviation over cases, as GitHub Markdown, without the
        rules behind them (see :func:`notes`).
    """
    regions = _regions(evaluation)
    head = [
        *(modality.title for modality in PRINTED_ORDER),
        *(f"{measure(metric).title} {region}" for metric in metrics for region in regions),
        "cases",
    ]
    body = []
    for entry in evaluation["subsets"]:
        body.append([*dots(entry["subset"]), *_numbers(entry, metrics, regions), str(entry["cases"])])
    for title, average in evaluation["averages"].items():
        label = (
            f"**mean of {average['subsets']}**" if title == "all" else f"mean of {average['subsets']} {title}"
        )
        body.append([label, "", "", "", *_numbers(average, metrics, regions), ""])
    return markdown_lines(head, body)


def score_tables(evaluation: dict[str, Any]) -> list[str]:
    """Every table of an evaluation, of those asked for that it has: the papers', and lesion by lesion."""
    printed = _printed(evaluation)
    pairs = [printed[first : first + _PER_TABLE] for first in range(0, len(printed), _PER_TABLE)]
    return [markdown_table(evaluation, members) for members in pairs]


def _printed(evaluation: Mapping[str, Any]) -> list[str]:
    asked = evaluation.get("metrics", TABLE_METRICS)
    return [metric for metric in asked if all(metric in entry for entry in evaluation["subsets"])]


def dots(name: str) -> list[str]:
    """A subset, given by name, as the papers print it: a full or an empty dot per modality."""
    subset = _SUBSETS_BY_NAME[name]
    return [PRESENT if modality in subset else ABSENT for modality in PRINTED_ORDER]


def markdown_lines(head: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    """A GitHub Markdown table; ``|`` inside a cell is escaped."""
    rule = ["---"] * len(head)
    lines = (" | ".join(cell.replace("|", "\\|") for cell in line) for line in (head, rule, *body))
    return "\n".join(f"| {line} |" for line in lines) + "\n"


def notes(evaluation: dict[str, Any]) -> str:
    """The rules and counts without which nobody can compare the numbers, as a Markdown list.

    Args:
        evaluation: a result of :func:`.evaluate.evaluate_folder`.
    """
    lines = [
        *score_notes(evaluation),
        *_metric_notes(evaluation),
        "A line is mean \N{PLUS-MINUS SIGN} sample standard deviation over its cases. A mean at the end is "
        "the plain mean of the lines it names, with the deviation over cases of each case's mean over them.",
        *_count_notes(evaluation["subsets"]),
        *_empty_notes(evaluation["empty"]),
        *_further_notes(evaluation["further_sequences"]),
        *estimate_notes(evaluation.get("estimates", {})),
        *(f"Skipped: {entry['path']}: {entry['reason']}" for entry in evaluation["skipped"][:_MOST_SKIPPED]),
    ]
    if len(evaluation["skipped"]) > _MOST_SKIPPED:
        lines.append(f"Skipped: {len(evaluation['skipped']) - _MOST_SKIPPED} more, see the summary.")
    return "".join(f"- {line}\n" for line in lines)


def _metric_notes(evaluation: Mapping[str, Any]) -> list[str]:
    """What the further scores of its tables are, and which were asked for in vain."""
    printed = _printed(evaluation)
    lines = [_LESION_NOTE] if any(metric.startswith("lesion") for metric in printed) else []
    described = [measure(metric) for metric in printed if measure(metric).meaning]
    lines += [f"{one.title}: {one.meaning}" for one in described]
    asked = evaluation.get("metrics", ())
    absent = [measure(metric).title for metric in asked if metric not in printed]
    return lines + ([f"Not told by what was evaluated: {', '.join(absent)}."] if absent else [])


def score_notes(evaluation: Mapping[str, Any]) -> list[str]:
    """What a score is, one sentence each, for any table that prints scores.

    Args:
        evaluation: ``hd95_rule`` and ``hd95_definition`` are read.
    """
    rule, definition = evaluation["hd95_rule"], definition_of(evaluation)
    return [
        "Dice in %, per case on the whole volume in the patient's own grid, 1e-8 added to numerator and "
        "denominator: 100 when prediction and reference are both empty, 0 when one is.",
        f"HD95 in mm, {HD95_DEFINITIONS[definition]} ('{definition}'); empty regions score the "
        f"{HD95_RULES[rule]} (rule '{rule}').",
        f"'{ET_FILTERED}': ET after predictions of fewer than {ET_MINIMUM_VOXELS} voxels are removed.",
    ]


def _count_notes(subsets: Sequence[Mapping[str, Any]]) -> list[str]:
    """A warning where lines are of different cases, which no reader of a table expects."""
    counts = sorted({entry["cases"] for entry in subsets})
    if len(counts) == 1:
        return []
    return [
        f"Lines are over {counts[0]} to {counts[-1]} cases, since some lack a sequence or, of label "
        "maps, a prediction: compare only lines with as many cases. What is stored in a student, and its "
        "model card, are over the same in all lines."
    ]


def _empty_notes(empty: dict[str, dict[str, int]]) -> list[str]:
    return [
        f"{region}: absent from the reference of {counted(count['cases_without'], 'case')}; over all subsets "
        f"{counted(count['invented'], 'prediction')} found it where there is none, {count['missed']} missed "
        "it wholly."
        for region, count in empty.items()
        if any(count.values())
    ]


def _further_notes(further: Mapping[str, Any]) -> list[str]:
    """How often more sequences are worse."""
    if not further:
        return []
    worst = further["worst"]
    return [
        f"More than a point of mean Dice is lost in {further['worse']} of {further['pairs']} ways to go from "
        f"a subset to a larger one, by region ({', '.join(REGIONS)}), over the cases scored on both. The "
        f"worst is {worst['region']} from {worst['subset']} to {worst['larger']}: "
        f"{-100 * worst['loss']:+z.1f}."
    ]


def estimate_notes(estimates: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """How good a model's estimate of its own Dice is, one sentence if it makes any.

    Args:
        estimates: see :func:`.estimate_scores.score_estimates`.
    """
    told = "; ".join(
        f"{region} {100 * one['mean_error']:.1f}, {one['below_half_flagged']} of {one['below_half']}, "
        f"{one['others_flagged']} of {one['results'] - one['below_half']}"
        for region, one in estimates.items()
    )
    about = (
        "The model's own estimate of Dice: mean absolute error in points, how many of the results below 50 "
        "it graded doubtful, and how many of the others"
    )
    return [f"{about}: {told}."] if told else []


def _regions(evaluation: Mapping[str, Any]) -> tuple[str, ...]:
    """Those that it has scored, in the order of columns."""
    return scored_regions(tells_cavity(evaluation))


def _numbers(entry: dict[str, Any], metrics: Sequence[str], regions: Iterable[str]) -> list[str]:
    return [_number(entry, metric, region) for metric in metrics for region in regions]


def _number(entry: Mapping[str, Any], metric: str, region: str) -> str:
    value = entry[metric][region]
    if metric == "volume":
        return _volume_text(**value)
    deviation = None if metric in AGREEMENTS else entry[f"{metric}_std"][region]
    return spread_text(value, deviation, metric)


def spread_text(mean: float | None, deviation: float | None, metric: str) -> str:
    """``"85.3 ± 4.2"``: shares (given as 0..1) in %, distances in mm; what is None is left out."""
    if mean is None:
        return ""
    how = measure(metric)
    spread = "" if deviation is None else f" \N{PLUS-MINUS SIGN} {how.factor * deviation:.{how.decimals}f}"
    return f"{how.factor * mean:.{how.decimals}f}{spread}"


def _volume_text(bias: float, low: float | None, high: float | None, r: float | None) -> str:
    limits = "" if low is None else f" ({low:+.1f} to {high:+.1f})"
    return f"{bias:+.1f}{limits}" + ("" if r is None else f", r {r:.2f}")
