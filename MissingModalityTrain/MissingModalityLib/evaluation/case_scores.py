"""Scores of one case over every subset of its modalities, and what the user should know about its label."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import SimpleITK as sitk

from ..core.labels import IGNORED, REGIONS, TumorClass, region_mask, with_cavity
from ..core.modalities import SUBSETS, Subset, subset_name
from ..core.progress import Event, Progress, ProgressStage
from ..datasets.case import Case
from ..datasets.patients import describe_same
from ..imaging.content import identity
from ..imaging.folder_labels import cavity_warning, missing_classes
from ..imaging.preparation import prepare, to_reference_grid
from ..imaging.reading import read_label, read_study
from ..inference.prediction import SubsetResult
from ..inference.student import Student
from .probabilities import calibration
from .reference import Reference, Rules
from .row import Row

if TYPE_CHECKING:
    import torch

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


def score_case(
    student: Student, case: Case, device: torch.device, rules: Rules, report: Report
) -> CaseScores:
    """Score a student on a case with a label.

    Raises:
        ImageError, LabelError: a file of it cannot be used, or the rule refuses its resection cavity.
    """
    label = read_label(case)
    study = read_study(case)
    prepared = prepare(study, label, str(case.label))
    reference = Reference(label, prepared.reference, rules, str(case.label))
    truth = with_cavity(prepared.label, rules.cavity, str(case.label))

    def on_window(event: Event) -> None:
        report(f"{case.name}, window {event.step} of {event.total}", 0)

    rows: list[Row] = []
    subsets = allowed_subsets(case)
    for subset, result in zip(subsets, student.results_of(prepared, subsets, device, on_window), strict=True):
        prediction = sitk.GetArrayFromImage(to_reference_grid(result.classes, prepared))
        rows += reference.rows(case.name, subset, prediction, _told(result, truth))
        report_scored(report, rows)
    return CaseScores(rows, reference.held, reference.has_cavity, prepared.warnings, identity(study.images))


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


def _told(result: SubsetResult, truth: np.ndarray) -> dict[str, dict[str, Any]]:
    """By region what the student's probabilities tell, and how far they can be believed.

    Args:
        result: of one subset.
        truth: (D, H, W) classes, and what is ignored, on the result's grid.
    """
    inside = np.flatnonzero(result.brain & (truth != IGNORED))
    classes = truth.ravel()[inside]
    told: dict[str, dict[str, Any]] = {}
    for (region, members), probability in zip(REGIONS.items(), result.regions, strict=True):
        ece, brier = calibration(probability.ravel()[inside], region_mask(classes, region))
        told[region] = {"ece": ece, "brier": brier, "features": result.features[region]}
        if result.presence is not None:
            told[region]["presence"] = max(float(result.presence[cls - 1]) for cls in members)
    return told
