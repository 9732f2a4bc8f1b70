"""A student scored on one case, over every subset of its modalities."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import SimpleITK as sitk

from ..core.labels import IGNORED, REGIONS, region_mask, with_cavity
from ..core.progress import Event
from ..datasets.case import Case
from ..imaging.content import identity
from ..imaging.preparation import prepare, to_reference_grid
from ..imaging.reading import read_label, read_study
from ..inference.prediction import SubsetResult
from ..inference.student import Student
from .case_scores import CaseScores, Report, allowed_subsets, report_scored
from .kept_scores import KeptScores, fingerprint
from .probabilities import calibration
from .reference import Reference, Rules
from .row import Row

if TYPE_CHECKING:
    import torch


def score_case(
    student: Student, case: Case, device: torch.device, rules: Rules, report: Report, kept: KeptScores
) -> CaseScores:
    """Score a student on a case with a label, unless its scores have been kept; keep them.

    Raises:
        ImageError, LabelError: a file of it cannot be used, or the rule refuses its resection cavity.
    """
    label = read_label(case)
    study = read_study(case)
    subsets, content = allowed_subsets(case), identity(study.images)
    files = fingerprint(study, label, content)
    if found := kept.find(case.name, files):
        report(f"{case.name}, scored before", len(subsets))
        return found
    prepared = prepare(study, label, str(case.label))
    reference = Reference(label, prepared.reference, rules, str(case.label))
    truth = with_cavity(prepared.label, rules.cavity, str(case.label))

    def on_window(event: Event) -> None:
        report(f"{case.name}, window {event.step} of {event.total}", 0)

    rows: list[Row] = []
    for subset, result in zip(subsets, student.results_of(prepared, subsets, device, on_window), strict=True):
        prediction = sitk.GetArrayFromImage(to_reference_grid(result.classes, prepared))
        rows += reference.rows(case.name, subset, prediction, _told(result, truth))
        report_scored(report, rows)
    scores = CaseScores(rows, reference.held, reference.has_cavity, prepared.warnings, content)
    kept.keep(case.name, files, scores)
    return scores


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
