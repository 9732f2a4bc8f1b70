"""Several evaluations taken together, over the same patients in every row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from ..core.errors import CaseError
from ..datasets.patients import volumes_of
from .averages import has_lesions, summarize
from .hd95_rules import definition_of
from .measures import LESION_METRICS, METRICS
from .row import Row
from .rows_file import row_of


def pool_evaluations(evaluations: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """One evaluation of all patients that have every sequence, each counting once.

    A patient who lacks a sequence that others have would be in some rows and not in others, and rows would
    differ because of the patients. Where no patient has all that others have, none is left out.

    Args:
        evaluations: results of :func:`.evaluate.evaluate_folder` or ``read_evaluation``; scores of a patient
            who is in several are averaged, those of patients of two data sets who share a name are not, see
            :func:`told_apart`.

    Returns:
        ``data`` (names of the folders), ``date`` (the latest), ``device``, ``hd95_rule`` and
        ``hd95_definition``, ``cases`` (as they were described), ``left_out`` (names of patients),
        ``skipped``, ``rows``, and the means over them, see :func:`.averages.summarize`.

    Raises:
        CaseError: they mean different distances by HD95, have different rules for that of empty regions, or
            some alone leave the resection cavity out.
    """
    check_rules(evaluations)
    evaluations = told_apart(evaluations)
    rows = _averaged([row_of(row) for evaluation in evaluations for row in evaluation["rows"]])
    kept = _complete(rows)
    cases = {case["name"]: case for evaluation in evaluations for case in evaluation["cases"]}
    rows = [row for row in rows if row.case in kept]
    return {
        "data": ", ".join(dict.fromkeys(evaluation["data"] for evaluation in evaluations)),
        "date": max(evaluation["date"] for evaluation in evaluations),
        "device": evaluations[0]["device"],
        "hd95_rule": evaluations[0]["hd95_rule"],
        "hd95_definition": definition_of(evaluations[0]),
        "cases": [case for name, case in cases.items() if name in kept],
        "left_out": [name for name in cases if name not in kept],
        "skipped": [entry for evaluation in evaluations for entry in evaluation["skipped"]],
        "rows": rows,
        **summarize(rows),
    }


def told_apart(evaluations: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Evaluations in which no two patients have one name.

    In two folders ``001`` may be two patients. They are where no volume is the same and neither are the
    labels; where that is not known, as of earlier versions, a name is one patient.

    Returns:
        The same evaluations; names of later ones that mean another patient have a number behind them.
    """
    first: dict[str, Mapping[str, Any]] = {}
    found = []
    for number, evaluation in enumerate(evaluations, 1):
        renamed = {
            case["name"]: f"{case['name']} ({number})"
            for case in evaluation["cases"]
            if case["name"] in first and _is_another(case, first[case["name"]])
        }
        for case in evaluation["cases"]:
            first.setdefault(case["name"], case)
        found.append(_with_names(evaluation, renamed) if renamed else evaluation)
    return found


def _is_another(case: Mapping[str, Any], same_name: Mapping[str, Any]) -> bool:
    """Whether two cases, as evaluations describe them, are of two patients for sure."""
    volumes, others = (set(volumes_of(one.get("voxels_sha256") or {})) for one in (case, same_name))
    unlike = case["reference_voxels"] != same_name["reference_voxels"]
    return bool(volumes and others) and volumes.isdisjoint(others) and unlike


def _with_names(evaluation: Mapping[str, Any], renamed: Mapping[str, str]) -> dict[str, Any]:
    cases = [{**case, "name": renamed.get(case["name"], case["name"])} for case in evaluation["cases"]]
    rows = [{**row, "case": renamed.get(row["case"], row["case"])} for row in evaluation["rows"]]
    return {**evaluation, "cases": cases, "rows": rows}


def check_rules(evaluations: Sequence[Mapping[str, Any]]) -> None:
    """Refuse to take evaluations together that were made by different rules.

    Args:
        evaluations: their summaries, or what they are going to say of ``hd95_rule``, ``hd95_definition`` and
            ``resection_cavity``.

    Raises:
        CaseError: as :func:`pool_evaluations`.
    """
    rules = sorted({evaluation["hd95_rule"] for evaluation in evaluations})
    definitions = sorted(set(map(definition_of, evaluations)))
    for different in (rules, definitions):
        if len(different) > 1:
            raise CaseError(
                f"The evaluations have different rules for HD95, {' and '.join(different)}. "
                "Evaluate all by one rule."
            )
    cavity = sorted({evaluation.get("resection_cavity", "background") for evaluation in evaluations})
    if "ignore" in cavity and len(cavity) > 1:
        raise CaseError(
            f"The evaluations have different rules for a resection cavity, {' and '.join(cavity)}. "
            "Evaluate all by one rule."
        )


def _complete(rows: Sequence[Row]) -> set[str]:
    """Patients with every subset that any patient has; all where there is no such patient."""
    subsets: dict[str, set[Any]] = {}
    for row in rows:
        subsets.setdefault(row.case, set()).add(row.subset)
    everything = set().union(*subsets.values())
    return {case for case, own in subsets.items() if own == everything} or set(subsets)


def _averaged(rows: Sequence[Row]) -> list[Row]:
    """One row for each patient, subset and region."""
    found: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        found.setdefault((row.case, row.subset, row.region), []).append(row)
    return [_mean(several) for several in found.values()]


def _mean(rows: Sequence[Row]) -> Row:
    metrics = (*METRICS, *(LESION_METRICS if has_lesions(rows) else ()))
    return Row(
        rows[0].case,
        rows[0].subset,
        rows[0].region,
        **{name: fmean(getattr(row, name) for row in rows) for name in metrics},
        predicted=round(fmean(row.predicted for row in rows)),
        reference=rows[0].reference,
    )
