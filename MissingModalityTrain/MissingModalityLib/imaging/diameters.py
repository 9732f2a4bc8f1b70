"""How wide a tumor is: its longest diameter in an axial slice, as read off the screen with a ruler."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import SimpleITK as sitk
from scipy import ndimage
from scipy.spatial.distance import pdist

from ..core.labels import CAVITY_REGION, REGIONS, TumorClass, holds_cavity, region_mask

_INFERIOR_TO_SUPERIOR = 2
"""Of the three world axes (LPS)."""


def axial_diameters(labels: sitk.Image) -> dict[str, float]:
    """Longest axial diameters in mm of NCR, ED and ET and of the regions WT and TC; region ET is the class.

    And of RC, where there is a resection cavity.

    Measured between the centers of two voxels of one connected piece in one slice, so that two separate spots
    do not count as one wide tumor. Slices are those of the volume's own grid that are closest to axial.

    Args:
        labels: 3-D, integers 0..3 as in :class:`labels.TumorClass`.

    Returns:
        By name; 0 where there is no voxel, or no two of them side by side.
    """
    classes = sitk.GetArrayViewFromImage(labels)
    groups = {cls.name: classes == cls for cls in TumorClass if cls}
    groups |= {name: region_mask(classes, name) for name in REGIONS if name not in groups}
    if holds_cavity(classes):
        groups[CAVITY_REGION] = region_mask(classes, CAVITY_REGION)
    axis = _slice_axis(labels)
    in_plane = [spacing for index, spacing in enumerate(labels.GetSpacing()) if index != axis][::-1]
    return {name: _longest(mask, 2 - axis, in_plane) for name, mask in groups.items()}


def _slice_axis(image: sitk.Image) -> int:
    """The index axis, of x, y, z, that runs closest to from inferior to superior."""
    direction = np.reshape(image.GetDirection(), (3, 3))
    return int(np.abs(direction[_INFERIOR_TO_SUPERIOR]).argmax())


def _longest(mask: np.ndarray, axis: int, spacing: Sequence[float]) -> float:
    """Over the slices along an axis of an array (z, y, x); spacing of the other two axes, in their order."""
    slices = np.moveaxis(mask, axis, 0)
    return max((_longest_in_slice(piece, spacing) for piece in slices if piece.any()), default=0.0)


def _longest_in_slice(mask: np.ndarray, spacing: Sequence[float]) -> float:
    # voxels that touch at a corner belong together, as the eye joins them
    pieces, _ = ndimage.label(mask, np.ones((3, 3)))
    places = enumerate(ndimage.find_objects(pieces), start=1)
    return max(_longest_of_piece(pieces[place] == number, spacing) for number, place in places)


def _longest_of_piece(mask: np.ndarray, spacing: Sequence[float]) -> float:
    """Only the two ends of each row can be ends of the longest line."""
    rows = np.arange(len(mask))
    ends = np.stack([mask.argmax(1), mask.shape[1] - 1 - mask[:, ::-1].argmax(1)])
    points = np.stack([np.tile(rows, 2), ends.ravel()], axis=1) * spacing
    return float(pdist(points).max())
