"""Dice and HD95 lesion by lesion, as the BraTS challenges of 2023 and later rank by them.

Scores of a whole region are, almost, those of its largest lesion; here each lesion of the reference counts
the same, and so does each piece that was found where there is none. Rules of the challenge for gliomas
(Saluja et al., BraTS-2023-Metrics; Synapse syn51156910, thread 10357). One difference: HD95 counts voxels of
a surface and not its area, as in the whole region.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from statistics import fmean

import numpy as np

from ..imaging.boxes import shared_part
from .counts import DICE_EPSILON
from .distances import Distances, percentile95
from .nearest import Found, Nearest
from .region import DILATION_VOXELS, Region

PENALTY_MM = 374.0
"""HD95 of a lesion that was missed and of a piece that is none: the diagonal of the challenge's volumes,
rounded up."""

SMALLEST_MM3 = 50.0
"""Lesions of the reference up to this size do not count, found or not."""


@dataclass(frozen=True)
class LesionScore:
    """Means over the lesions of one region of one prediction, and how many of what there are.

    Attributes:
        dice: 0..1; 1 where there is no lesion and none was found.
        hd95: mm, the larger of the two directed percentiles as in the challenge; 0 where there is no lesion
            and none was found.
        found: lesions of the reference that a piece of the prediction reaches.
        missed: those that none reaches.
        invented: pieces of the prediction that reach no lesion.
    """

    dice: float
    hd95: float
    found: int = 0
    missed: int = 0
    invented: int = 0


def lesion_score(found: Region, truth: Region, distances: Distances | None) -> LesionScore:
    """Lesion-wise scores of one region of one case.

    A lesion is what of the reference lies in one piece when the reference is dilated. It is compared with all
    pieces of the prediction that reach into its dilated self; a piece that reaches into none is a false
    positive, whatever its size.

    Args:
        found: the prediction.
        truth: the reference.
        distances: of the whole region, see :func:`.distances.between`.
    """
    reached = _shared(truth.grown, truth.corner - DILATION_VOXELS, found) > 0
    shared = _shared(truth.lesions, truth.corner, found)
    # of voxels inside alone: a box that a scattered prediction fills is mostly empty
    sizes, pieces = np.bincount(truth.lesions[truth.inside]), np.bincount(found.pieces[found.inside])
    invented = int(np.count_nonzero(~reached[1:, 1:].any(0)))
    scores = [(0.0, PENALTY_MM)] * invented
    counts = [0, 0]
    for lesion in range(1, len(sizes)):
        if sizes[lesion] * prod(truth.spacing) > SMALLEST_MM3:
            matched = np.flatnonzero(reached[lesion])
            matched = matched[matched > 0]
            counts[not len(matched)] += 1
            overlap, volume = shared[lesion, matched].sum(), pieces[matched].sum() + sizes[lesion]
            dice = float((2 * overlap + DICE_EPSILON) / (volume + DICE_EPSILON))
            distance = _distance(found, truth, distances, lesion, matched) if len(matched) else PENALTY_MM
            scores.append((dice if len(matched) else 0.0, distance))
    if not scores:
        return LesionScore(1.0, 0.0)
    return LesionScore(*map(fmean, zip(*scores, strict=True)), *counts, invented)


def _shared(numbers: np.ndarray, corner: np.ndarray, found: Region) -> np.ndarray:
    """(lesions + 1, pieces + 1): voxels that a lesion, from 1, shares with a piece, from 1.

    Args:
        numbers: of lesions, with 0 outside.
        corner: of that array in the image.
        found: the prediction.
    """
    size = int(numbers.max(initial=0)) + 1, int(found.pieces.max(initial=0)) + 1
    part = shared_part(corner - found.corner, numbers.shape, found.inside.shape)
    if part is None:
        return np.zeros(size, np.int64)
    piece, lesion = found.pieces[part[0]], numbers[part[1]]
    both = (piece > 0) & (lesion > 0)
    pairs = lesion[both].astype(np.int64) * size[1] + piece[both]
    return np.bincount(pairs, minlength=size[0] * size[1]).reshape(size)


def _distance(found: Region, truth: Region, distances: Distances, lesion: int, matched: np.ndarray) -> float:
    """HD95 of a lesion and its pieces, whose surfaces are parts of the whole region's."""
    here = np.isin(found.pieces[tuple(found.surface.T)], matched)
    there = truth.surface_lesions == lesion
    forth = _of_parts(distances.forth, found.places, here, there, lambda: truth.nearest_of_lesions[lesion])
    back = _of_parts(
        distances.back, truth.places, there, here, lambda: Nearest(found.places[here], found.spacing)
    )
    return percentile95([forth, back])


def _of_parts(
    whole: Found, places: np.ndarray, asking: np.ndarray, asked: np.ndarray, nearest: Callable[[], Nearest]
) -> np.ndarray:
    """Distances in mm from a part of one surface to a part of the other.

    Args:
        whole: what is known of both surfaces as wholes.
        places: (n, 3) of the first surface.
        asking: (n,) bool, its part.
        asked: (m,) bool, the part of the other surface.
        nearest: makes what tells the nearest voxel of that part.
    """
    mm, within = whole.mm[asking], asked[whole.voxel[asking]]
    if not within.all():  # the nearest voxel of all is another part's
        mm[~within] = nearest().of(places[asking][~within]).mm
    return mm
