"""Cases of a folder scored one after the other, by whatever predicts them, and what is told of all."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from operator import itemgetter
from pathlib import Path
from typing import Any

from ..core.environment import versions
from ..core.errors import CaseError
from ..core.failures import Failure, note_failure
from ..core.modalities import subset_name
from ..core.progress import Progress
from ..datasets.case import Case, CaseListing
from ..datasets.case_list import labeled_cases_named, listed_cases
from ..datasets.discovery import find_cases
from ..imaging.folder_labels import check_numbering, read_numbers
from ..runtime import distributed
from .averages import summarize
from .case_scores import CaseScores, Report, counter, evaluation_warnings
from .metrics import ET_FILTERED
from .reference import Rules
from .row import Row
from .rows_file import rows_to_csv, scores_sha256

_MOST_REASONS = 5
"""Reasons that one message can hold; where nothing could be scored they are mostly alike."""


@dataclass(frozen=True)
class Scored:
    """What came of the cases of a folder.

    Attributes:
        labeled: the cases that were to be scored.
        cases: those that were, by name.
        skipped: ``path`` inside the data, or name of a case, and ``reason``.
        unforeseen: names of skipped cases that a fault of the program kept out.
    """

    labeled: Sequence[Case]
    cases: Mapping[str, CaseScores]
    skipped: Sequence[Mapping[str, str]]
    unforeseen: Sequence[str]

    @property
    def rows(self) -> list[Row]:
        """Every score."""
        return [row for scores in self.cases.values() for row in scores.rows]

    def facts(self, data: Path, rules: Rules) -> dict[str, Any]:
        """What a summary says of the data and the scores, see :class:`.summary.EvaluationSummary`."""
        return {
            "data": data.resolve().name,
            "date": datetime.now(UTC).date().isoformat(),
            "processes": distributed.world(),
            "versions": versions(),
            "hd95_rule": rules.hd95,
            "hd95_definition": rules.definition,
            "resection_cavity": rules.cavity,
            "cases": self._described(),
            "skipped": self.skipped,
            "unforeseen": self.unforeseen,
            "warnings": [
                {**entry, "warning": _inside(data, entry["warning"])}
                for entry in evaluation_warnings(self.cases, rules.cavity)
            ],
            **summarize(self.rows),
            "scores_sha256": scores_sha256(rows_to_csv(self.rows)),
        }

    def _described(self) -> list[dict[str, Any]]:
        """Name, modalities, reference volumes (voxels) and content of the cases that were scored."""
        volumes = {
            name: {row.region: row.reference for row in scores.rows if row.region != ET_FILTERED}
            for name, scores in self.cases.items()
        }
        return [
            {
                "name": case.name,
                "modalities": subset_name(case.images),
                "reference_voxels": volumes[case.name],
                "voxels_sha256": dict(self.cases[case.name].content),
            }
            for case in self.labeled
            if case.name in volumes
        ]


def cases_to_score(
    data: Path, convention: str | None, cases: Collection[str] | Path | None
) -> tuple[list[Case], dict[str, str]]:
    """:func:`labeled_cases`, of one numbering of the labels.

    Raises:
        CaseError, LabelError, OptionError: see :func:`.evaluate.evaluate_folder`.
    """
    labeled, left_out = distributed.on_all_ranks(labeled_cases, data, convention, cases)
    if convention is None:
        share = labeled[distributed.rank() :: distributed.world()]
        numbers = dict(distributed.gather_from(lambda: read_numbers(share)))
        distributed.on_all_ranks(check_numbering, labeled, numbers, str(data))
    return labeled, left_out


def labeled_cases(
    data: Path, convention: str | None, cases: Collection[str] | Path | None
) -> tuple[list[Case], dict[str, str]]:
    """The labeled cases of a folder, and why others are left out, by name or path.

    Args:
        data: the folder.
        convention: label convention, where the layout does not fix it.
        cases: names of those to score, or a text file of them; None for all. What else lies in the folder
            was not asked for then, and so is not left out.

    Raises:
        CaseError, LabelError, OptionError: see :func:`.evaluate.evaluate_folder`.
    """
    listing = find_cases(data, convention)
    return listing.labeled() if cases is None else (_asked_for(listing, cases), {})


def _asked_for(listing: CaseListing, names: Collection[str] | Path) -> list[Case]:
    """The labeled cases of these names, which earlier versions may have given, or of a list in a file."""
    if isinstance(names, str | Path):
        return listed_cases(names, listing)
    asked = {case.name: name for name, case in labeled_cases_named(names, listing, "cases").items()}
    return [replace(case, name=asked[case.name]) for case in listing.labeled()[0] if case.name in asked]


def score_cases(
    score: Callable[[Case, Report], CaseScores],
    labeled: Sequence[Case],
    left_out: Mapping[str, str],
    data: Path,
    output: Path,
    on_progress: Progress | None,
    predictions: Callable[[Case], int],
) -> Scored:
    """Score what can be scored; processes that torchrun started share the cases.

    Args:
        score: scores a case and reports every prediction.
        labeled: the cases.
        left_out: why others are left out, by name or path.
        data: their folder.
        output: folder for the tracebacks of what nobody foresaw.
        on_progress: called for every prediction of the first process.
        predictions: how many there are of a case.

    Raises:
        CaseError: no case could be scored.
    """
    outcomes = _outcomes(score, labeled, output, on_progress, predictions)
    refused = {name: failure for name, failure in outcomes.items() if isinstance(failure, Failure)}
    scored = {name: outcome for name, outcome in outcomes.items() if isinstance(outcome, CaseScores)}
    reasons = {**left_out, **{name: failure.reason for name, failure in refused.items()}}
    skipped = [{"path": name, "reason": _inside(data, reason)} for name, reason in reasons.items()]
    if not scored:
        reasons = "; ".join(f"{entry['path']}: {entry['reason']}" for entry in skipped[:_MOST_REASONS])
        distributed.raise_on_all_ranks(
            CaseError(f"'{data}' holds no case that can be scored ({reasons or 'no case found'}).")
        )
    unforeseen = [name for name, failure in refused.items() if failure.unforeseen]
    return Scored(labeled, scored, skipped, unforeseen)


def _outcomes(
    score: Callable[[Case, Report], CaseScores],
    cases: Sequence[Case],
    output: Path,
    on_progress: Progress | None,
    predictions: Callable[[Case], int],
) -> dict[str, CaseScores | Failure]:
    """Scores of the cases that can be scored, and why the others cannot, by name."""

    def score_share() -> list[tuple[int, CaseScores | Failure]]:
        # every n-th case and no blocks: cases with alike names are often alike in size and modalities
        share = range(distributed.rank(), len(cases), distributed.world())
        total = sum(predictions(cases[index]) for index in share)
        report = counter(on_progress if distributed.is_rank_zero() else None, total)
        outcomes: list[tuple[int, CaseScores | Failure]] = []
        for index in share:
            try:
                outcomes.append((index, score(cases[index], report)))
            except Exception as error:
                outcomes.append((index, note_failure(error, cases[index].name, output)))
        return outcomes

    ordered = sorted(distributed.gather_from(score_share), key=itemgetter(0))
    return {cases[index].name: outcome for index, outcome in ordered}


def _inside(data: Path, reason: str) -> str:
    """A message without the folder of the data: results are passed on, paths of this machine are not."""
    return reason.replace(f"{data}{os.sep}", "")
