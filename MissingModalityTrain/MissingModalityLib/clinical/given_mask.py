"""A brain mask of the user's own, in place of stripping."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK as sitk

from ..core.errors import ImageError
from ..imaging.grid import ORIENTATION, Grid
from ..imaging.intensities import find_background
from ..imaging.label_likeness import not_a_mask
from ..imaging.volumes import read_image
from .mask_checks import implausible_volume, on_grid

SMALLEST_SHARE = 0.85
"""Of the mask inside the head.

Of a raw patient's own masks all lie in it, of the same moved 40 mm sideways 0.78 to 0.81; a mask
made generously may surround a brain that was stripped tightly.
"""


def read_brain_mask(path: Path, reference: sitk.Image) -> sitk.Image:
    """Read a mask of the brain and check that it can be the one of this head.

    Args:
        path: volume file of 0 outside the brain and one other value, usually 1, inside; on any grid.
        reference: the reference volume.

    Returns:
        uint8, 1 inside, on the grid of the reference volume.

    Raises:
        ImageError: the file cannot be read, holds other values, no brain's volume, or lies apart from the
            head.
    """
    image = read_image(path)
    array = sitk.GetArrayFromImage(image)
    fault = not_a_mask(array)
    if fault:
        raise ImageError(
            f"{path} is no mask: {fault}. Choose the file of the mask, or save the brain alone as a label "
            "map."
        )
    mask = Grid.from_image(image).to_image((array != 0).astype(np.uint8))
    reason = implausible_volume(mask)
    if reason:
        raise ImageError(
            f"{path} is no mask of a brain: {reason}. Choose the mask of the whole brain, not of the head or "
            "the tumor, and check its spacing."
        )
    grid = Grid.from_image(reference)
    inside = on_grid(mask, grid)
    share = _share_in_head(inside, reference)
    if share < SMALLEST_SHARE:
        raise ImageError(
            f"{path} lies elsewhere than the head: {share:.0%} of the mask is tissue in the reference "
            "volume. Choose the mask that belongs to this volume, or save it again in the volume's space."
        )
    return grid.to_image(inside.astype(np.uint8))


def _share_in_head(inside: np.ndarray, reference: sitk.Image) -> float:
    """Of a mask (D, H, W) bool on the grid of the reference volume; 0 where none of it is there."""
    count = np.count_nonzero(inside)
    return float(np.count_nonzero(_head(reference)[inside]) / count) if count else 0.0


def _head(image: sitk.Image) -> np.ndarray:
    """(D, H, W) bool: what has tissue on both sides along both axes of a slice, dark fluid and bone, too."""
    background = find_background(sitk.GetArrayFromImage(sitk.DICOMOrient(image, ORIENTATION)))
    if background.uniform:
        tissue = background.brain(sitk.GetArrayFromImage(image))
    else:
        # Otsu's threshold would lie between fat and the rest; some of the noise in the air is above this one
        parts = sitk.RelabelComponent(sitk.ConnectedComponent(sitk.HuangThreshold(image, 0, 1)))
        tissue = sitk.GetArrayFromImage(parts) == 1
    return _between(tissue, 1) & _between(tissue, 2)


def _between(tissue: np.ndarray, axis: int) -> np.ndarray:
    before = np.maximum.accumulate(tissue, axis)
    return before & np.flip(np.maximum.accumulate(np.flip(tissue, axis), axis), axis)
