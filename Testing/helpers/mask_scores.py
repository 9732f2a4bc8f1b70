"""Scores of plain masks and label maps, as arrays, that tests write by hand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from MissingModalityLib.evaluation import metrics
from MissingModalityLib.evaluation.distances import between
from MissingModalityLib.evaluation.lesions import LesionScore
from MissingModalityLib.evaluation.lesions import lesion_score as score_lesions
from MissingModalityLib.evaluation.region import Region, regions_of


def score(
    prediction: np.ndarray,
    reference: np.ndarray,
    spacing: Sequence[float],
    rule: str = "penalty",
    definition: str = "directed",
) -> metrics.Score:
    """Every score of one mask."""
    return metrics.score_region(Region(prediction, spacing), Region(reference, spacing), rule, definition)


def hd95(prediction: np.ndarray, reference: np.ndarray, spacing: Sequence[float], *rules: str) -> float:
    """HD95 of one mask; ``rules`` are rule and definition."""
    return score(prediction, reference, spacing, *rules).hd95


def lesion_score(prediction: np.ndarray, reference: np.ndarray, spacing: Sequence[float]) -> LesionScore:
    """Lesion-wise scores of one mask."""
    found, truth = Region(prediction, spacing), Region(reference, spacing)
    return score_lesions(found, truth, between(found, truth))


def score_regions(
    prediction: np.ndarray, reference: np.ndarray, spacing: Sequence[float], *rules: str
) -> dict[str, metrics.Score]:
    """Every score of every region of a label map; ``rules`` are rule and definition."""
    return metrics.score_regions(regions_of(prediction, spacing), regions_of(reference, spacing), *rules)
