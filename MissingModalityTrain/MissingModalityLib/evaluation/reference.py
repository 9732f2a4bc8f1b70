"""A case's label, with what every prediction of the case is held against found once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import SimpleITK as sitk

from ..core.labels import (
    CAVITY_REGION,
    IGNORED,
    REGIONS,
    RESECTION_CAVITY,
    TUMOR_CLASSES,
    TumorClass,
    with_cavity,
    without_ignored,
)
from ..core.modalities import Subset
from ..imaging.grid import Grid
from .metrics import score_regions
from .region import regions_of
from .row import Row


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

    @property
    def regions(self) -> tuple[str, ...]:
        """What is scored, before small predictions are removed."""
        return (*REGIONS, CAVITY_REGION) if self.cavity == "class" else tuple(REGIONS)


class Reference:
    """The label of a case on the grid that is scored on.

    Args:
        label: classes, and the resection cavity, on any grid.
        grid: to score on.
        rules: of the scores.
        source: file, for messages.

    Attributes:
        held: tumor classes that the label holds.
        has_cavity: whether a resection cavity is labeled.

    Raises:
        LabelError: the rule refuses the resection cavity.
    """

    def __init__(self, label: sitk.Image, grid: Grid, rules: Rules, source: str) -> None:
        labeled = sitk.GetArrayFromImage(grid.resample(label, sitk.sitkNearestNeighbor, 0))
        counts = np.bincount(labeled.ravel(), minlength=RESECTION_CAVITY + 1)
        self.held: frozenset[TumorClass] = frozenset(cls for cls in TUMOR_CLASSES if counts[cls])
        self.has_cavity = bool(counts[RESECTION_CAVITY])
        self._rules = rules
        self._spacing = grid.spacing[::-1]
        self._classes = with_cavity(labeled, rules.cavity, source)
        self._has_ignored = bool((self._classes == IGNORED).any())
        counted = without_ignored(self._classes, self._classes)[1]
        self._regions = regions_of(counted, self._spacing, rules.regions)

    def rows(
        self, case: str, subset: Subset, prediction: np.ndarray, told: Mapping[str, Mapping[str, Any]]
    ) -> list[Row]:
        """Scores of a prediction, one row for each of :func:`.metrics.scored_regions`.

        Args:
            case: its name.
            subset: modalities that were given.
            prediction: classes 0..4 on the same grid.
            told: further cells of a row by region.
        """
        if self._has_ignored:
            prediction = without_ignored(prediction, self._classes)[0]
        found = regions_of(prediction, self._spacing, self._rules.regions)
        scores = score_regions(found, self._regions, self._rules.hd95, self._rules.definition)
        return [
            Row(case, subset, region, voxel_mm3=prod(self._spacing), **vars(score), **told.get(region, {}))
            for region, score in scores.items()
        ]
