"""Dice and HD95 of one case, with the rules of the missing-modality literature for empty regions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import hypot

import numpy as np
from scipy import ndimage
from scipy.spatial import KDTree

from ..core.labels import REGIONS, region_mask
from .hd95_rules import check_definition, check_rule, empty_distance

DICE_EPSILON = 1e-8
"""As the public evaluation of RFNet has it; it decides what two empty masks score and no printed digit."""

ET_MINIMUM_VOXELS = 500
"""Fewer predicted enhancing voxels than this count as none in the column :data:`ET_FILTERED`.

Cases of low grade have none, and a single wrong voxel there scores 0: the public codes of the RFNet family
remove such crumbs before they score.
"""

ET_FILTERED = f"ET>={ET_MINIMUM_VOXELS}"

SCORED_REGIONS: tuple[str, ...] = (*REGIONS, ET_FILTERED)
"""Columns of every result table, in order."""


@dataclass(frozen=True)
class Score:
    """One region of one prediction.

    Attributes:
        dice: 0..1.
        hd95: mm.
        predicted: voxels of the region in the prediction.
        reference: voxels of the region in the reference.
    """

    dice: float
    hd95: float
    predicted: int
    reference: int


def dice(prediction: np.ndarray, reference: np.ndarray) -> float:
    """Hard Dice of one region of one case.

    A small constant is added to numerator and denominator, so two empty masks score 1 and one empty mask
    about 0 (evaluation of RFNet, Ding et al., ICCV 2021, and its successors).

    Args:
        prediction: bool, any shape.
        reference: bool, same shape.

    Returns:
        0..1.

    Raises:
        ValueError: the shapes differ.
    """
    _check_shapes(prediction, reference)
    overlap = np.count_nonzero(prediction & reference)
    total = np.count_nonzero(prediction) + np.count_nonzero(reference)
    return float((2 * overlap + DICE_EPSILON) / (total + DICE_EPSILON))


def hd95(
    prediction: np.ndarray,
    reference: np.ndarray,
    spacing: Sequence[float],
    rule: str = "penalty",
    definition: str = "directed",
) -> float:
    """95th percentile Hausdorff distance of one region of one case.

    Distances run from every surface voxel of one mask to the nearest surface voxel of the other; the 95th
    percentile is taken per direction and the larger of the two counts (Menze et al., TMI 2015), or of the
    distances of both directions together. The first equals ``monai.metrics.compute_hausdorff_distance(..., percentile=95)``; written out here because that
    function computes a distance at every voxel, of which only those of the other surface are ever read. A
    tree of surface points is asked for these alone.

    Args:
        prediction: bool, (D, H, W).
        reference: bool, same shape.
        spacing: mm per voxel in the order of the array's axes (for SimpleITK arrays: ``GetSpacing()[::-1]``).
        rule: what an empty mask scores; a key of :data:`~.hd95_rules.HD95_RULES`.
        definition: a key of :data:`~.hd95_rules.HD95_DEFINITIONS`.

    Returns:
        mm; the penalty is the diagonal of the image (373.13 mm for 240x240x155 at 1 mm).

    Raises:
        OptionError: ``rule`` or ``definition`` is unknown.
        ValueError: the shapes differ.
    """
    _check_shapes(prediction, reference)
    check_rule(rule)
    check_definition(definition)
    predicted, present = bool(prediction.any()), bool(reference.any())
    if not (predicted and present):
        return empty_distance(predicted, present, _diagonal(prediction.shape, spacing), rule)
    surfaces = [_surface_points(mask, spacing) for mask in (prediction, reference)]
    distances = [KDTree(there).query(here)[0] for here, there in (surfaces, surfaces[::-1])]
    pools = [np.concatenate(distances)] if definition == "pooled" else distances
    return max(float(np.percentile(pool, 95)) for pool in pools)


def score_regions(
    prediction: np.ndarray,
    reference: np.ndarray,
    spacing: Sequence[float],
    rule: str = "penalty",
    definition: str = "directed",
) -> dict[str, Score]:
    """Scores of WT, TC, ET and of ET after removal of small predictions.

    Args:
        prediction: classes 0..3, (D, H, W), the whole image.
        reference: classes 0..3, same shape.
        spacing: mm per voxel in the order of the array's axes.
        rule: a key of :data:`~.hd95_rules.HD95_RULES`.
        definition: a key of :data:`~.hd95_rules.HD95_DEFINITIONS`.

    Returns:
        One :class:`Score` per entry of :data:`SCORED_REGIONS`.
    """
    scores = {
        region: _score(
            region_mask(prediction, region), region_mask(reference, region), spacing, rule, definition
        )
        for region in REGIONS
    }
    enhancing = region_mask(prediction, "ET")
    filtered = drop_small(enhancing)
    changed = enhancing.any() and not filtered.any()
    scores[ET_FILTERED] = (
        _score(filtered, region_mask(reference, "ET"), spacing, rule, definition) if changed else scores["ET"]
    )
    return scores


def drop_small(mask: np.ndarray, minimum: int = ET_MINIMUM_VOXELS) -> np.ndarray:
    """The mask itself, or an empty one when it holds fewer than ``minimum`` voxels in all.

    The rule behind the ET columns of the RFNet family; it counts voxels of the whole mask, whatever their
    size in mm and however they are connected.
    """
    return mask if np.count_nonzero(mask) >= minimum else np.zeros_like(mask)


def _score(
    prediction: np.ndarray, reference: np.ndarray, spacing: Sequence[float], rule: str, definition: str
) -> Score:
    return Score(
        dice=dice(prediction, reference),
        hd95=hd95(prediction, reference, spacing, rule, definition),
        predicted=int(np.count_nonzero(prediction)),
        reference=int(np.count_nonzero(reference)),
    )


def _surface_points(mask: np.ndarray, spacing: Sequence[float]) -> np.ndarray:
    """(n, 3) places in mm of voxels with a face neighbor outside; the array's border counts as outside."""
    # erosion of the mask's box alone: a tumor fills a few percent of the image
    (box,) = ndimage.find_objects(mask.view(np.uint8))
    inside = mask[box]
    corner = [part.start for part in box]
    return (np.argwhere(inside & ~ndimage.binary_erosion(inside)) + corner) * np.asarray(spacing)


def _diagonal(shape: Sequence[int], spacing: Sequence[float]) -> float:
    return hypot(*(size * step for size, step in zip(shape, spacing, strict=True)))


def _check_shapes(prediction: np.ndarray, reference: np.ndarray) -> None:
    if prediction.shape != reference.shape:
        raise ValueError(f"prediction {prediction.shape} and reference {reference.shape} differ in shape")
