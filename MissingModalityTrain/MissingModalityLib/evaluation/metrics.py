"""Scores of one case, with the rules of the missing-modality literature for empty regions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

import numpy as np

from ..core.labels import CAVITY_REGION, REGIONS
from .counts import Counts
from .distances import TOLERANCES_MM, between, hd95, surface_dice
from .lesions import lesion_score
from .region import Region

ET_MINIMUM_VOXELS = 500
"""Fewer predicted enhancing voxels than this count as none in the column :data:`ET_FILTERED`.

Cases of low grade have none, and a single wrong voxel there scores 0: the public codes of the RFNet family
remove such crumbs before they score.
"""

ET_FILTERED = f"ET>={ET_MINIMUM_VOXELS}"

SCORED_REGIONS: tuple[str, ...] = (*REGIONS, ET_FILTERED)
"""Columns of every result table, in order."""


def scored_regions(cavity: bool) -> tuple[str, ...]:
    """Columns of an evaluation: those of every one, and the resection cavity where it is scored."""
    return (*SCORED_REGIONS, CAVITY_REGION) if cavity else SCORED_REGIONS


@dataclass(frozen=True)
class Score:
    """One region of one prediction.

    Attributes:
        dice: 0..1, see :attr:`.counts.Counts.dice`, as are ``sensitivity``, ``specificity``, ``precision``
            and ``iou``.
        hd95: mm, see :func:`.distances.hd95`.
        predicted: voxels of the region in the prediction.
        reference: voxels of the region in the reference.
        lesion_dice: 0..1, mean over lesions, see :mod:`.lesions`.
        lesion_hd95: mm, likewise.
        sensitivity: 0..1; None where the reference has none of the region.
        specificity: 0..1.
        precision: 0..1; None where the prediction has none.
        iou: 0..1.
        surface_dice_1mm: 0..1, see :func:`.distances.surface_dice`.
        surface_dice_2mm: 0..1, likewise.
        lesions_found: how many, see :class:`.lesions.LesionScore`.
        lesions_missed: likewise.
        lesions_invented: likewise.
    """

    dice: float
    hd95: float
    predicted: int
    reference: int
    lesion_dice: float
    lesion_hd95: float
    sensitivity: float | None
    specificity: float | None
    precision: float | None
    iou: float
    surface_dice_1mm: float
    surface_dice_2mm: float
    lesions_found: int
    lesions_missed: int
    lesions_invented: int


def dice(prediction: np.ndarray, reference: np.ndarray) -> float:
    """Hard Dice of one region of one case, see :attr:`.counts.Counts.dice`.

    Args:
        prediction: bool, any shape.
        reference: bool, same shape.

    Returns:
        0..1.

    Raises:
        ValueError: the shapes differ.
    """
    _check_shapes(prediction, reference)
    overlap, *sizes = map(np.count_nonzero, (prediction & reference, prediction, reference))
    return Counts(int(overlap), *map(int, sizes), prediction.size).dice


def score_regions(
    found: Mapping[str, Region],
    truth: Mapping[str, Region],
    rule: str = "penalty",
    definition: str = "directed",
) -> dict[str, Score]:
    """Scores of WT, TC, ET, of ET after removal of small predictions, and of RC where the reference has it.

    Args:
        found: what :func:`.region.regions_of` makes of the prediction.
        truth: and of the reference, on the same grid.
        rule: a key of :data:`~.hd95_rules.HD95_RULES`.
        definition: a key of :data:`~.hd95_rules.HD95_DEFINITIONS`.

    Returns:
        One :class:`Score` per entry of :func:`scored_regions`.

    Raises:
        ValueError: the shapes differ.
    """
    scores = {region: score_region(found[region], truth[region], rule, definition) for region in truth}
    filtered = drop_small(found["ET"])
    scores[ET_FILTERED] = (
        scores["ET"] if filtered is found["ET"] else score_region(filtered, truth["ET"], rule, definition)
    )
    return scores


def drop_small(found: Region, minimum: int = ET_MINIMUM_VOXELS) -> Region:
    """The region itself, or an empty one when it holds fewer than ``minimum`` voxels in all.

    The rule behind the ET columns of the RFNet family; it counts voxels of the whole region, whatever their
    size in mm and however they are connected.
    """
    return found if found.voxels >= minimum or not found.voxels else found.without_voxels()


def score_region(found: Region, truth: Region, rule: str, definition: str) -> Score:
    """Every score of one region; counts, surfaces and distances are taken once for all of them."""
    _check_shapes(found, truth)
    counts = Counts(found.overlap(truth), found.voxels, truth.voxels, prod(truth.shape))
    distances = between(found, truth)
    lesions = lesion_score(found, truth, distances)
    near = [surface_dice(found, truth, distances, tolerance) for tolerance in TOLERANCES_MM]
    return Score(
        dice=counts.dice,
        hd95=hd95(found, truth, distances, rule, definition),
        predicted=counts.predicted,
        reference=counts.reference,
        lesion_dice=lesions.dice,
        lesion_hd95=lesions.hd95,
        sensitivity=counts.sensitivity,
        specificity=counts.specificity,
        precision=counts.precision,
        iou=counts.iou,
        surface_dice_1mm=near[0],
        surface_dice_2mm=near[1],
        lesions_found=lesions.found,
        lesions_missed=lesions.missed,
        lesions_invented=lesions.invented,
    )


def _check_shapes(prediction: np.ndarray | Region, reference: np.ndarray | Region) -> None:
    if prediction.shape != reference.shape:
        raise ValueError(f"prediction {prediction.shape} and reference {reference.shape} differ in shape")
