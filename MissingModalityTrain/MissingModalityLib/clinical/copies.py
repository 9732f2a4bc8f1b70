"""Whether two volumes of a study are one acquisition, brought onto another grid or scaled.

Voxels of a copy that was resampled differ everywhere, so the volumes are smoothed first; scaling keeps the
order of intensities, so ranks are compared. Two sequences never put the tissues into so nearly one order.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

import numpy as np
import SimpleITK as sitk
from scipy import ndimage, stats

from ..core.modalities import Modality
from ..imaging.duplicates import refuse_duplicates
from ..imaging.grid import Grid
from ..imaging.reading import Study
from .anatomy import SPACING_MM, View

SAME, SAME_T1 = 0.93, 0.97
"""Least rank correlation of one acquisition; of T1 and T1ce, which are alike but for the contrast agent.

See Resources/Docs/content-check.md."""

_SMOOTH_MM = 4.5
_RIM_VOXELS = 3
"""9 mm: so deep reaches the air around a brain where a copy was smoothed or cut into slices of 5 mm."""

_FEWEST_VOXELS = 2000
_T1S = {Modality.T1, Modality.T1CE}


def refuse_copies(study: Study) -> None:
    """Refuse one volume given as two sequences in other intensities, before any of them is evened out.

    A bias field is told from the intensities, so that a volume and its square root, say, do not stay in one
    order once each is freed of its own.

    Args:
        study: volumes in one space. Nothing is looked for where it has no brain mask: such volumes are not
            evened out, and :func:`..imaging.preparation.prepare` looks at them.

    Raises:
        ImageError: see :func:`~..imaging.duplicates.refuse_duplicates`.
    """
    if study.brain is None:
        return
    grid = Grid.from_image(study.images[study.reference])
    brain = sitk.GetArrayFromImage(grid.resample(study.brain, sitk.sitkNearestNeighbor, 0)) > 0
    volumes = {modality: _on(grid, image) for modality, image in study.images.items()}
    refuse_duplicates(volumes, dict.fromkeys(volumes, brain), study.names)


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
    found = float(stats.spearmanr(one, two).statistic)
    return found if np.isfinite(found) else 0.0


def _smooth(values: np.ndarray) -> np.ndarray:
    return ndimage.gaussian_filter(values.astype(np.float32), _SMOOTH_MM / SPACING_MM, truncate=2.5)


def _on(grid: Grid, image: sitk.Image) -> np.ndarray:
    """(D, H, W) float32, 0 where the volume ends; a volume on that grid voxel by voxel."""
    return sitk.GetArrayFromImage(grid.resample(sitk.Cast(image, sitk.sitkFloat32), sitk.sitkLinear, 0))
