"""Whether two volumes of a study are one acquisition, brought onto another grid or scaled.

Voxels of a copy that was resampled differ everywhere, so the volumes are smoothed first; scaling keeps the
order of intensities, so ranks are compared. Two sequences never put the tissues into so nearly one order.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

import numpy as np
from scipy import ndimage

from ..core.modalities import Modality
from .anatomy import SPACING_MM, View

SAME, SAME_T1 = 0.93, 0.97
"""Least rank correlation of one acquisition; of T1 and T1ce, which are alike but for the contrast agent.

See Resources/Docs/content-check.md."""

_SMOOTH_MM = 4.5
_RIM_VOXELS = 3
"""9 mm: so deep reaches the air around a brain where a copy was smoothed or cut into slices of 5 mm."""

_FEWEST_VOXELS = 2000
_T1S = {Modality.T1, Modality.T1CE}


def copies(views: Mapping[Modality, View], names: Mapping[Modality, str]) -> tuple[str, ...]:
    """A sentence for each two volumes that are one.

    Args:
        views: of the volumes of a study.
        names: of the volumes, for people.
    """
    sentences = []
    for first, second in combinations(views, 2):
        found = rank_correlation(views[first], views[second])
        if abs(found) >= (SAME_T1 if {first, second} == _T1S else SAME):
            sentences.append(
                f"{names[first]}, given as {first.title}, and {names[second]}, given as {second.title}, show "
                f"nearly the same image (rank correlation {found:.2f}): one is probably a copy of the other. "
                "Give each volume once, as the sequence that it is."
            )
    return tuple(sentences)


def rank_correlation(first: View, second: View) -> float:
    """Of the smoothed intensities deep in the tissue of both, -1 to 1; 0 where they share too little."""
    both = first.tissue & second.tissue
    deep = ndimage.binary_erosion(both, iterations=_RIM_VOXELS)
    if np.count_nonzero(deep) < _FEWEST_VOXELS:
        return 0.0
    weight = _smooth(both)[deep]
    one, two = (_smooth(np.where(both, view.values, 0))[deep] / weight for view in (first, second))
    with np.errstate(divide="ignore", invalid="ignore"):  # of a volume of one value
        found = float(np.corrcoef(_ranks(one), _ranks(two))[0, 1])
    return found if np.isfinite(found) else 0.0


def _ranks(values: np.ndarray) -> np.ndarray:
    """Places in order, from 1, equal values at their mean; scipy.stats takes half a second to import."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[place]


def _smooth(values: np.ndarray) -> np.ndarray:
    return ndimage.gaussian_filter(values.astype(np.float32), _SMOOTH_MM / SPACING_MM, truncate=2.5)
