"""What came of one case over every subset of its modalities, and what is told of it and of all cases."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ..core.labels import TumorClass
from ..core.modalities import SUBSETS, Subset, subset_name
from ..core.progress import Event, Progress, ProgressStage
from ..datasets.case import Case
from ..datasets.patients import describe_same
from ..imaging.folder_labels import cavity_warning, missing_classes
from .row import Row

Report = Callable[[str, int], None]
"""Called with a short text and the number of predictions scored since the last call, 0 while predicting."""


@dataclass(frozen=True)
class CaseScores:
    """What came of one case.

    Attributes:
        rows: a score for every subset and region.
        classes: tumor classes that its label holds.
        has_cavity: whether a resection cavity is labeled.
        warnings: about its files, one sentence each.
        content: SHA-256 of its volumes by name of the sequence, see :func:`~..imaging.content.identity`.
    """

    rows: list[Row]
    classes: frozenset[TumorClass]
    has_cavity: bool
    warnings: tuple[str, ...]
    content: Mapping[str, str]


def report_scored(report: Report, rows: Sequence[Row]) -> None:
    """Report the prediction whose rows are the last ones."""
    row = next(row for row in reversed(rows) if row.region == "WT")
    report(f"{row.case}, {subset_name(row.subset)}: WT {100 * row.dice:.1f} %", 1)


def allowed_subsets(case: Case) -> list[Subset]:
    """The subsets of the case's modalities, in the papers' order: 15 for four modalities, 3 for two."""
    return [subset for subset in SUBSETS if set(subset) <= set(case.images)]


def counter(on_progress: Progress | None, total: int) -> Report:
    """Counts predictions, of which ``total`` are to come, and passes on every event."""
    done = 0

    def report(message: str, predictions: int) -> None:
        nonlocal done
        done += predictions
        if on_progress:
            on_progress(Event(ProgressStage.EVALUATE, done, total, message))

    return report


def evaluation_warnings(scored: Mapping[str, CaseScores], cavity_rule: str) -> list[dict[str, str]]:
    """What the user should know about the cases: ``case``, empty for all of them, and ``warning``."""
    own = [{"case": name, "warning": warning} for name, case in scored.items() for warning in case.warnings]
    together = missing_classes([case.classes for case in scored.values()])
    together += cavity_warning(sum(case.has_cavity for case in scored.values()), len(scored), cavity_rule)
    together += describe_same({name: case.content for name, case in scored.items()}, " that counts twice")
    return own + [{"case": "", "warning": warning} for warning in together]
