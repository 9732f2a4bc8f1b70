"""Rows of scores, their averages, and the files they are kept in: CSV and the papers' table in Markdown."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from ..core.errors import CaseError
from ..core.files import read_text
from ..core.modalities import SUBSETS, Modality, Subset, subset_name
from ..core.words import counted
from ..inference.doubt import FEATURES
from .checks import check_row
from .hd95_rules import HD95_DEFINITIONS, HD95_RULES, definition_of
from .lesions import DILATION_VOXELS, PENALTY_MM, SMALLEST_MM3
from .metrics import ET_FILTERED, ET_MINIMUM_VOXELS, SCORED_REGIONS
from .row import Row

# The papers print the modalities in this order, whatever the order of the channels.
PRINTED_ORDER = (Modality.FLAIR, Modality.T1, Modality.T1CE, Modality.T2)
PRESENT, ABSENT = "\N{BLACK CIRCLE}", "\N{WHITE CIRCLE}"

_LESION_NOTE = (
    "Lesion-wise as BraTS 2023 ranks: lesions of the reference that touch when each has grown by "
    f"{DILATION_VOXELS} voxels are one, those of up to {SMALLEST_MM3:g} mm\N{SUPERSCRIPT THREE} do not "
    f"count; a missed lesion and each piece found where there is none score 0 % and {PENALTY_MM:g} mm; the "
    "mean is over lesions and such pieces of a case, then over cases."
)

_MOST_SKIPPED = 20
"""Skipped files that a table names, about as many lines as the table has; the summary has them all."""

_LONGEST_TABLE = 1 << 28
"""Bytes of scores; ten thousand cases of all subsets have half of it."""

_SUBSETS_BY_NAME = {subset_name(subset): subset for subset in SUBSETS}

METRICS = ("dice", "hd95")
LESION_METRICS = ("lesion_dice", "lesion_hd95")
"""Of evaluations that have them; those of earlier versions do not."""

TITLES = {
    "dice": "Dice",
    "hd95": "HD95",
    "lesion_dice": "lesion-wise Dice",
    "lesion_hd95": "lesion-wise HD95",
}
"""Of all metrics, as tables print them."""

GROUPS: Mapping[str, tuple[Subset, ...]] = {
    "all": SUBSETS,
    "with FLAIR": tuple(subset for subset in SUBSETS if Modality.FLAIR in subset),
    "with T1ce": tuple(subset for subset in SUBSETS if Modality.T1CE in subset),
}
"""Subsets that are averaged over."""


_COLUMNS = tuple(field.name for field in fields(Row) if field.name != "features")


def summarize(rows: Sequence[Row]) -> dict[str, Any]:
    """Means and standard deviations over cases per subset, and averages over subsets.

    Returns:
        ``subsets``: one entry per subset that any case allows, in the papers' order, with ``subset``,
        ``cases`` (how many), and per region ``dice``, ``hd95`` and, where every row has them, ``lesion_dice``
        and ``lesion_hd95`` (means over cases), ``dice_std`` ... (sample standard deviations over cases, None
        for a single one); ``averages``: over
        ``all`` subsets, those ``with FLAIR`` and those ``with T1ce``: the plain mean of the subsets' means
        and the standard deviation over cases of each case's own mean over these subsets; ``empty``: per
        region the number of cases without it in the reference, and of predictions that missed or invented
        it.
    """
    subsets, metrics = [], (*METRICS, *(LESION_METRICS if has_lesions(rows) else ()))
    for subset in SUBSETS:
        chosen = [row for row in rows if row.subset == subset]
        if chosen:
            entry = {"subset": subset_name(subset), "cases": len({row.case for row in chosen})}
            subsets.append({**entry, **_means(chosen, metrics)})
    averages = {}
    for title, members in GROUPS.items():
        entries = [entry for entry in subsets if _SUBSETS_BY_NAME[entry["subset"]] in members]
        if entries:
            chosen = [row for row in rows if row.subset in members]
            # _average comes last: its means replace those of _means, whose deviations stay
            averages[title] = {
                "subsets": len(entries),
                **_means(chosen, metrics),
                **_average(entries, metrics),
            }
    return {"subsets": subsets, "averages": averages, "empty": _count_empty(rows)}


def has_lesions(rows: Iterable[Row]) -> bool:
    """Whether every row has lesion-wise scores."""
    return all(row.lesion_dice is not None and row.lesion_hd95 is not None for row in rows)


def _means(rows: Iterable[Row], metrics: Sequence[str]) -> dict[str, dict[str, float | None]]:
    """Mean and standard deviation over cases of each case's mean, per metric and region."""
    scores: dict[tuple[str, str], dict[str, list[float]]] = {}
    for row in rows:
        for metric in metrics:
            cases = scores.setdefault((metric, row.region), {})
            cases.setdefault(row.case, []).append(getattr(row, metric))
    result: dict[str, dict[str, float | None]] = {}
    for metric in metrics:
        means = {region: list(map(fmean, scores[metric, region].values())) for region in SCORED_REGIONS}
        result[metric] = {region: fmean(values) for region, values in means.items()}
        result[f"{metric}_std"] = {
            region: stdev(values) if len(values) > 1 else None for region, values in means.items()
        }
    return result


def _average(entries: Sequence[dict[str, Any]], metrics: Sequence[str]) -> dict[str, dict[str, float]]:
    """Plain mean of the subsets' means, which weighs subsets equally however many cases each has."""
    return {
        metric: {region: fmean(entry[metric][region] for entry in entries) for region in SCORED_REGIONS}
        for metric in metrics
    }


def _count_empty(rows: Sequence[Row]) -> dict[str, dict[str, int]]:
    counts = {}
    for region in SCORED_REGIONS:
        chosen = [row for row in rows if row.region == region]
        counts[region] = {
            "cases_without": len({row.case for row in chosen if not row.reference}),
            "missed": sum(1 for row in chosen if row.reference and not row.predicted),
            "invented": sum(1 for row in chosen if row.predicted and not row.reference),
        }
    return counts


def markdown_table(evaluation: dict[str, Any], metrics: Sequence[str] = METRICS) -> str:
    """The papers' table: one line per subset, dots for the modalities it holds, then the averages.

    Args:
        evaluation: what :func:`summarize` returns.
        metrics: :data:`METRICS`, or :data:`LESION_METRICS` where it has them.

    Returns:
        Dice in % and HD95 in mm, mean and standard deviation over cases, as GitHub Markdown, without the
        rules behind them (see :func:`notes`).
    """
    head = [
        *(modality.title for modality in PRINTED_ORDER),
        *(f"{TITLES[metric]} {region}" for metric in metrics for region in SCORED_REGIONS),
        "cases",
    ]
    body = []
    for entry in evaluation["subsets"]:
        body.append([*dots(entry["subset"]), *_numbers(entry, metrics), str(entry["cases"])])
    for title, average in evaluation["averages"].items():
        label = (
            f"**mean of {average['subsets']}**" if title == "all" else f"mean of {average['subsets']} {title}"
        )
        body.append([label, "", "", "", *_numbers(average, metrics), ""])
    return markdown_lines(head, body)


def score_tables(evaluation: dict[str, Any]) -> list[str]:
    """Every table of an evaluation: the papers', and lesion by lesion where it has such scores."""
    metrics = [METRICS, LESION_METRICS] if _is_lesion_wise(evaluation) else [METRICS]
    return [markdown_table(evaluation, members) for members in metrics]


def _is_lesion_wise(evaluation: Mapping[str, Any]) -> bool:
    return all(metric in entry for entry in evaluation["subsets"] for metric in LESION_METRICS)


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
        *([_LESION_NOTE] if _is_lesion_wise(evaluation) else []),
        "A line is mean \N{PLUS-MINUS SIGN} sample standard deviation over its cases. A mean at the end is "
        "the plain mean of the lines it names, with the deviation over cases of each case's mean over them.",
        *_count_notes(evaluation["subsets"]),
        *_empty_notes(evaluation["empty"]),
        *(f"Skipped: {entry['path']}: {entry['reason']}" for entry in evaluation["skipped"][:_MOST_SKIPPED]),
    ]
    if len(evaluation["skipped"]) > _MOST_SKIPPED:
        lines.append(f"Skipped: {len(evaluation['skipped']) - _MOST_SKIPPED} more, see the summary.")
    return "".join(f"- {line}\n" for line in lines)


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
        f"Lines are over {counts[0]} to {counts[-1]} cases, since some lack a sequence: compare only lines "
        "with as many cases. What is stored in a student, and its model card, are over the same in all lines."
    ]


def _empty_notes(empty: dict[str, dict[str, int]]) -> list[str]:
    return [
        f"{region}: absent from the reference of {counted(count['cases_without'], 'case')}; over all subsets "
        f"{counted(count['invented'], 'prediction')} found it where there is none, {count['missed']} missed "
        "it wholly."
        for region, count in empty.items()
        if any(count.values())
    ]


def _numbers(entry: dict[str, Any], metrics: Sequence[str]) -> list[str]:
    return [
        spread_text(entry[metric][region], entry[f"{metric}_std"][region], metric)
        for metric in metrics
        for region in SCORED_REGIONS
    ]


def spread_text(mean: float, deviation: float | None, metric: str) -> str:
    """``"85.3 ± 4.2"``: Dice (given as 0..1) in %, HD95 in mm; the mean alone where there is no deviation."""
    factor = 100 if metric.endswith("dice") else 1
    spread = "" if deviation is None else f" \N{PLUS-MINUS SIGN} {factor * deviation:.1f}"
    return f"{factor * mean:.1f}{spread}"


def rows_to_csv(rows: Iterable[Row]) -> str:
    """One line per row under a header of the field names of :class:`Row`; the subset by name.

    In place of ``features`` stands a column for each; a cell of what a row does not have is empty.
    """
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, [*_COLUMNS, *FEATURES], lineterminator="\n")
    writer.writeheader()
    for row in rows:
        cells = {name: getattr(row, name) for name in _COLUMNS}
        writer.writerow({**cells, "subset": subset_name(row.subset), **(row.features or {})})
    return buffer.getvalue()


def scores_sha256(text: str) -> str:
    """SHA-256 of the text of a table of scores, hexadecimal, whichever ends its lines have."""
    return hashlib.sha256("\n".join(text.splitlines()).encode()).hexdigest()


def read_rows(path: Path) -> list[Row]:
    """The inverse of :func:`rows_to_csv`, also of files of earlier versions with fewer columns.

    Raises:
        CaseError: the file is absent or was not written by :func:`rows_to_csv`, or a number in it cannot be
            the score that its column names.
    """
    try:
        records = csv.DictReader(io.StringIO(read_text(path, _LONGEST_TABLE), newline=""))
        return [_checked_row(record, records.line_num) for record in records]
    except (OSError, ValueError, csv.Error) as error:
        raise CaseError(
            f"{path} is not a table of scores ({error}). Choose a folder that an evaluation has written, or "
            "evaluate again."
        ) from error


def row_of(record: Mapping[str, Any]) -> Row:
    """A row from one of the dicts that evaluations hold."""
    return Row(**{**record, "subset": _SUBSETS_BY_NAME[record["subset"]]})


def _checked_row(record: dict[str, str], line: int) -> Row:
    """A row of the file.

    Raises:
        ValueError: it is none, with the number of its line.
    """
    try:
        row = _row(record)
        check_row(row)
    except KeyError as error:
        raise ValueError(f"line {line}: there is no {error}") from error
    except (ValueError, TypeError) as error:
        raise ValueError(f"line {line}: {error}") from error
    return row


def _row(record: dict[str, str]) -> Row:
    lesions = {name: float(record[name]) for name in LESION_METRICS if record.get(name)}
    features = {name: float(record[name]) for name in FEATURES if record.get(name)}
    return Row(
        case=record["case"],
        subset=_SUBSETS_BY_NAME[record["subset"]],
        region=record["region"],
        dice=float(record["dice"]),
        hd95=float(record["hd95"]),
        predicted=int(record["predicted"]),
        reference=int(record["reference"]),
        **lesions,
        features=features or None,
    )
