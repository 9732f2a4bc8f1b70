"""Scores of one case over every subset of its modalities, and what the user should know about its label."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np
import SimpleITK as sitk

from ..core.labels import RESECTION_CAVITY, TUMOR_CLASSES, TumorClass, with_cavity, without_ignored
from ..core.modalities import SUBSETS, Subset, subset_name
from ..core.progress import Event, Progress, ProgressStage
from ..datasets.case import Case
from ..datasets.patients import describe_same
from ..imaging.content import identity
from ..imaging.folder_labels import cavity_warning, missing_classes
from ..imaging.preparation import prepare, to_reference_grid
from ..imaging.reading import read_label, read_study
from ..inference.student import Student
from .lesions import score_lesions
from .metrics import score_regions
from .tables import Row

if TYPE_CHECKING:
    import torch

Report = Callable[[str, int], None]
"""Called with a short text and the number of predictions scored since the last call, 0 while predicting."""


@dataclass(frozen=True)
class Rules:
    """How scores are defined where that is a matter of choice.

    Attributes:
        hd95: a key of :data:`.hd95_rules.HD95_RULES`.
        definition: of HD95, a key of :data:`.hd95_rules.HD95_DEFINITIONS`.
        cavity: a key of :data:`~..core.labels.CAVITY_RULES`.
    """

    hd95: str
    definition: str
    cavity: str


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
    labeled = sitk.GetArrayFromImage(prepared.reference.resample(label, sitk.sitkNearestNeighbor, 0))
    reference = with_cavity(labeled, rules.cavity, str(case.label))
    spacing = prepared.reference.spacing[::-1]

    def on_window(event: Event) -> None:
        report(f"{case.name}, window {event.step} of {event.total}", 0)

    rows = []
    subsets = allowed_subsets(case)
    for subset, result in zip(subsets, student.results_of(prepared, subsets, device, on_window), strict=True):
        prediction = sitk.GetArrayFromImage(to_reference_grid(result.classes, prepared))
        pair = without_ignored(prediction, reference)
        rows += _rows(case.name, subset, pair, spacing, rules, result.features)
        dice = next(row.dice for row in reversed(rows) if row.region == "WT")
        report(f"{case.name}, {subset_name(subset)}: WT {100 * dice:.1f} %", 1)
    found = np.bincount(labeled.ravel(), minlength=RESECTION_CAVITY + 1)
    held = frozenset(cls for cls in TUMOR_CLASSES if found[cls])
    content = identity(study.images)
    return CaseScores(rows, held, bool(found[RESECTION_CAVITY]), prepared.warnings, content)


def allowed_subsets(case: Case) -> list[Subset]:
    """The subsets of the case's modalities, in the papers' order: 15 for four modalities, 3 for two."""
    return [subset for subset in SUBSETS if set(subset) <= set(case.images)]


def counter(on_progress: Progress | None, cases: Iterable[Case]) -> Report:
    """Counts predictions of all those to come and passes on every event."""
    total = sum(len(allowed_subsets(case)) for case in cases)
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


def _rows(
    name: str,
    subset: Subset,
    pair: tuple[np.ndarray, np.ndarray],
    spacing: tuple[float, ...],
    rules: Rules,
    features: Mapping[str, Mapping[str, float]],
) -> list[Row]:
    """Scores of a prediction and its reference, region by region."""
    lesions = score_lesions(*pair, spacing)
    return [
        Row(
            name,
            subset,
            region,
            **asdict(score),
            lesion_dice=lesions[region].dice,
            lesion_hd95=lesions[region].hd95,
            features=features.get(region),
        )
        for region, score in score_regions(*pair, spacing, rules.hd95, rules.definition).items()
    ]
