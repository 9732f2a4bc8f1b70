"""From probabilities to a class map: smoothed, thresholds, and what is too small to be kept."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from ..core.labels import REGIONS, TumorClass
from ..imaging.grid import SPACING_MM
from ..networks.head import Head
from .card import Card
from .sliding_window import remove_small_components


def decide(probabilities: np.ndarray, brain: np.ndarray, head: Head, card: Card) -> np.ndarray:
    """The class map of gated probabilities, by the rules of a student's card.

    Args:
        probabilities: (K, D, H, W), 0..1.
        brain: (D, H, W) bool; all else is background.
        head: the network's.
        card: ``thresholds``, ``min_component_voxels`` and ``min_enhancing_voxels`` are read.

    Returns:
        (D, H, W) uint8.
    """
    if card.thresholds is None:
        classes = head.class_map(probabilities)
    else:
        classes = head.class_map(probabilities, [card.thresholds[region] for region in REGIONS])
    classes[~brain] = TumorClass.BACKGROUND
    classes = remove_small_components(classes, card.min_component_voxels)
    return drop_little_enhancing(classes, card.min_enhancing_voxels or 0)


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


def smooth(probabilities: np.ndarray, sigma_mm: float) -> np.ndarray:
    """Probabilities (..., D, H, W) averaged with a Gaussian of ``sigma_mm``; 0 leaves them as they are.

    A network that predicts blocks of voxels from one place at half the resolution leaves steps at the
    blocks' borders. A Gaussian of half a block's side takes them away.
    """
    if not sigma_mm:
        return probabilities
    sigma = (0,) * (probabilities.ndim - 3) + (sigma_mm / SPACING_MM,) * 3
    return ndimage.gaussian_filter(probabilities, sigma, mode="nearest")
