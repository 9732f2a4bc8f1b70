"""Evaluations of parts of a data set as one, such as those of the folds of a cross-validation."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..core.errors import CaseError
from .averages import summarize
from .evaluate import CASES_FILE, read_evaluation, write_evaluation
from .rows_file import read_rows, rows_to_csv, scores_sha256
from .summary import EvaluationSummary
from .trained_alike import unlike_models


def join_evaluations(folders: Sequence[Path], output: Path, name: str) -> dict[str, Any]:
    """Write evaluations of other cases each as one evaluation of all of them.

    Args:
        folders: that :func:`evaluate_folder` has written, each of other cases of the same data.
        output: folder for the same files; made if absent.
        name: stands in place of the student's.

    Returns:
        The content of ``summary.json``. ``weights_sha256`` is the hash of those of the parts, in order: no
        student can take it for its own.

    Raises:
        CaseError: a folder holds no evaluation, a case stands in two of them, or they differ in what decides
            a prediction or in what HD95 means.
    """
    from .heatmap import draw_heatmap  # as in evaluate: nobody who only trains needs matplotlib

    parts = [read_evaluation(folder) for folder in folders]
    first = parts[0]
    cases = [case for part in parts for case in part["cases"]]
    if len({case["name"] for case in cases}) < len(cases):
        raise CaseError(f"{output}: a case was scored in two of its parts. Evaluate each case once.")
    alike = ("hd95_rule", "hd95_definition", "prediction")
    unlike = [fact for fact in alike if any(part[fact] != first[fact] for part in parts)]
    models = [part["model"] for part in parts if part.get("model")]  # earlier versions say nothing of them
    unlike += ["model"] if any(unlike_models(models[0], model) for model in models) else []
    if unlike:
        raise CaseError(f"{output}: the evaluations of its parts differ in {unlike[0]}. Make them anew.")
    rows = [row for folder in folders for row in read_rows(folder / CASES_FILE)]
    summary = EvaluationSummary(
        student=name,
        weights_sha256=hashlib.sha256("".join(part["weights_sha256"] for part in parts).encode()).hexdigest(),
        data=", ".join(dict.fromkeys(part["data"] for part in parts)),  # which may have moved
        **{fact: first[fact] for fact in (*alike, "device", "processes", "versions")},
        date=max(part["date"] for part in parts),
        cases=cases,
        skipped=[entry for part in parts for entry in part["skipped"]],
        **summarize(rows),
        seconds=round(sum(part["seconds"] for part in parts), 1),
        resection_cavity=first.get("resection_cavity", "background"),
        warnings=[entry for part in parts for entry in part.get("warnings", ())],
        unforeseen=[name for part in parts for name in part.get("unforeseen", ())],
        scores_sha256=scores_sha256(rows_to_csv(rows)),
        model=models[0] if models else {},
    ).to_json()
    write_evaluation(summary, rows, output, draw_heatmap)
    return summary
