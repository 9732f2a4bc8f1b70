"""From probabilities to a class map: smoothed, thresholds, and what is too small to be kept."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from scipy import ndimage

from ..core.labels import REGIONS, TumorClass, region_mask
from ..imaging.boxes import tightest_box
from ..imaging.grid import SPACING_MM
from ..networks.head import Head
from .card import COMPONENT_MINIMA, Card

_AROUND: Mapping[str, TumorClass] = MappingProxyType(
    {"WT": TumorClass.BACKGROUND, "TC": TumorClass.ED, "ET": TumorClass.NCR}
)
"""What lies around a region: the class that a piece of it becomes when it is too small to be kept."""


def decide(probabilities: np.ndarray, brain: np.ndarray, head: Head, card: Card) -> np.ndarray:
    """The class map of gated probabilities, by the rules of a student's card.

    Args:
        probabilities: (K, D, H, W), 0..1.
        brain: (D, H, W) bool; all else is background.
        head: the network's.
        card: ``thresholds``, the three of :data:`.card.COMPONENT_MINIMA` and ``min_enhancing_voxels`` are
            read.

    Returns:
        (D, H, W) uint8.
    """
    classes = _before_dropping(probabilities, brain, head, card)
    return drop_little_enhancing(classes, card.min_enhancing_voxels or 0)


def dropped_enhancing(
    classes: np.ndarray, probabilities: np.ndarray, brain: np.ndarray, head: Head, card: Card
) -> int:
    """Voxels (mm^3 on the common grid) that a class map has as necrosis for want of more enhancing tumor.

    Args:
        classes: (D, H, W) uint8, what :func:`decide` has made of the other arguments.
        probabilities, brain, head, card: as there.
    """
    if not card.min_enhancing_voxels or (classes == TumorClass.ET).any():
        return 0
    return int(np.count_nonzero(_before_dropping(probabilities, brain, head, card) == TumorClass.ET))


def _before_dropping(probabilities: np.ndarray, brain: np.ndarray, head: Head, card: Card) -> np.ndarray:
    if card.thresholds is None:
        classes = head.class_map(probabilities)
    else:
        classes = head.class_map(probabilities, [card.thresholds[region] for region in REGIONS])
    classes[~brain] = TumorClass.BACKGROUND
    for region, name in COMPONENT_MINIMA.items():
        relabel_small_components(classes, region, card.get(name) or 0)
    return classes


def relabel_small_components(classes: np.ndarray, region: str, min_voxels: int) -> np.ndarray:
    """Take connected pieces of a region of fewer than ``min_voxels`` voxels for what lies around them.

    The largest piece always stays. Voxels that share a corner are connected. A resection cavity is of no
    region.

    Args:
        classes: (D, H, W) uint8, changed in place.
        region: WT, whose small pieces become background, TC (edema) or ET (necrosis).
        min_voxels: voxels (mm^3 on the common grid); 0 and 1 keep everything.
    """
    box = tightest_box(classes > 0) if min_voxels > 1 else None
    if box is None:
        return classes
    inside = region_mask(classes[box], region)
    pieces, number = ndimage.label(inside, np.ones((3,) * classes.ndim))
    if number:
        sizes = np.bincount(pieces.ravel())
        sizes[0] = 0  # what lies outside
        small = sizes < min_voxels
        small[[0, sizes.argmax()]] = False
        classes[box][small[pieces]] = _AROUND[region]
    return classes


def drop_little_enhancing(classes: np.ndarray, min_voxels: int) -> np.ndarray:
    """Take enhancing tumor for necrosis where all of it together is fewer than ``min_voxels`` voxels.

    Gliomas without any are common, and a few voxels found there score as badly as many (Isensee et al.,
    "nnU-Net for brain tumor segmentation", BrainLes 2020, Sec. 2.3). The tumor core stays as it is.

    Args:
        classes: (D, H, W) uint8, changed in place.
        min_voxels: voxels (mm^3 on the common grid); 0 and 1 keep everything.
    """
    enhancing = classes == TumorClass.ET
    if np.count_nonzero(enhancing) < min_voxels:
        classes[enhancing] = TumorClass.NCR
    return classes


def smooth(probabilities: np.ndarray, sigma_mm: float | Mapping[str, float]) -> np.ndarray:
    """Probabilities (K, D, H, W) averaged with a Gaussian of ``sigma_mm``; 0 leaves them as they are.

    A network that predicts blocks of voxels from one place at half the resolution leaves steps at the
    blocks' borders. A Gaussian of half a block's side takes them away, and thin sheets as well.

    Args:
        probabilities: of WT, TC and ET, and any further ones, where the deviation is by region; not changed.
        sigma_mm: for all, or by region; what is of no region stays as it is.
    """
    if not isinstance(sigma_mm, Mapping):
        return _smoothed(probabilities, sigma_mm)
    smoothed = probabilities.copy()
    for channel, region in enumerate(REGIONS):
        smoothed[channel] = _smoothed(probabilities[channel], sigma_mm[region])
    return smoothed


def _smoothed(probabilities: np.ndarray, sigma_mm: float) -> np.ndarray:
    """(..., D, H, W), averaged along the last three axes."""
    if not sigma_mm:
        return probabilities
    sigma = (0,) * (probabilities.ndim - 3) + (sigma_mm / SPACING_MM,) * 3
    return ndimage.gaussian_filter(probabilities, sigma, mode="nearest")
