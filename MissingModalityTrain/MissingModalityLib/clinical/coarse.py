"""A volume as the network that knows sequences sees it: coarse, about the brain, intensities made comparable.

Arrays are in SimpleITK order (z, y, x), which run to head, back and left of the patient.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from ..imaging.boxes import shared_part
from ..imaging.grid import ORIENTATION, Grid
from ..imaging.intensities import BRAIN_SHARE, find_background

SHAPE = (42, 54, 42)
SPACING_MM = 4.0
"""168 x 216 x 168 mm: a brain with some of the skin around it, in voxels that thick slices fill too."""

RANGE = (-4.0, 6.0)
"""Where intensities are cut off, in standard deviations of the brain's middle; air has the lowest."""

_SLAB_MM = 110.0
"""Height below the top of the head within which brain fills it, whatever else the volume shows."""

_MIDDLE_MM = (45.0, 60.0, 45.0)
"""Half axes (z, y, x) of an ellipsoid that lies within the skull of adults."""

_TOP_SHARE = 0.2
"""Share of its largest cross-section from which on a slice belongs to the head; noise and caps have less."""

_CENTER_BELOW_TOP_MM = 65.0
_QUANTILES = (0.1, 0.5, 0.9)
_DEVIATIONS = 2.563
"""Between the 10th and 90th percentile of a normal distribution."""


def coarse(image: sitk.Image, brain: sitk.Image | None = None) -> np.ndarray:
    """A volume, skull-stripped or not, in the form that the network learned from.

    Args:
        image: 3-D scalar, any spacing and orientation.
        brain: mask in the same space on any grid; what is outside becomes air.

    Returns:
        float32 of :data:`SHAPE` within :data:`RANGE`; all air where the volume shows nothing.
    """
    seen = on_coarse_grid(image, brain)
    return centered(seen.values, seen.share > BRAIN_SHARE, seen.head)


@dataclass(frozen=True)
class Seen:
    """A volume on another grid; arrays (D, H, W).

    Attributes:
        values: float32, mean intensities of what is not background.
        share: float32, of what is not background in each voxel.
        head: bool, the brain where a volume is stripped, else what is brighter than air.
    """

    values: np.ndarray
    share: np.ndarray
    head: np.ndarray


def on_coarse_grid(image: sitk.Image, brain: sitk.Image | None = None) -> Seen:
    """:func:`on_grid` for the grid of 4 mm along the volume's axes, permuted and flipped to near LPS."""
    return on_grid(image, own_grid(image, SPACING_MM), brain)


def own_grid(image: sitk.Image, spacing: float) -> Grid:
    """Isotropic over a volume's extent, along its axes, permuted and flipped to near LPS."""
    grid = Grid.from_image(sitk.DICOMOrient(image, ORIENTATION))
    size = [max(1, round(n * step / spacing)) for n, step in zip(grid.size, grid.spacing, strict=True)]
    half = 0.5 * (spacing - np.array(grid.spacing))
    origin = np.array(grid.origin) + np.reshape(grid.direction, (3, 3)) @ half
    return Grid(tuple(size), (spacing,) * 3, tuple(origin.tolist()), grid.direction)


def on_grid(image: sitk.Image, target: Grid, brain: sitk.Image | None = None) -> Seen:
    """Mean intensities of what is not background, its share of each voxel, and where the head is.

    Args:
        image: 3-D scalar; voxels finer than the target's are averaged.
        target: grid to look at.
        brain: mask in the same space on any grid.
    """
    image = sitk.Cast(sitk.DICOMOrient(image, ORIENTATION), sitk.sitkFloat32)
    tissue = _tissue(image, brain)
    stripped = not sitk.GetArrayViewFromImage(tissue).all()
    mask = sitk.Cast(tissue, sitk.sitkFloat32)
    steps = zip(target.spacing, image.GetSpacing(), image.GetSize(), strict=True)
    factors = [min(max(1, int(coarse_step / step)), count) for coarse_step, step, count in steps]
    total, share = (
        sitk.GetArrayFromImage(target.resample(sitk.BinShrink(part, factors), sitk.sitkLinear, 0.0))
        for part in (image * mask, mask)
    )
    values = np.where(share > 0, total / np.maximum(share, 1e-6), 0).astype(np.float32)
    # the grid may reach beyond the volume, so the share alone does not tell a raw volume
    inside = share > BRAIN_SHARE
    return Seen(values, share, inside if stripped else inside & brighter_than_air(values))


def centered(values: np.ndarray, inside: np.ndarray, head: np.ndarray) -> np.ndarray:
    """Cut about the brain's middle, with intensities in deviations of what lies there.

    Args:
        values: (D, H, W) on the coarse grid.
        inside: (D, H, W) bool, what is not background.
        head: (D, H, W) bool, where the head is.

    Returns:
        As :func:`coarse`.
    """
    center = brain_center(head, SPACING_MM)
    if center is None:
        return np.full(SHAPE, RANGE[0], np.float32)
    tissue = values[middle_of(values.shape, center, SPACING_MM) & inside & head]
    if not tissue.size:
        return np.full(SHAPE, RANGE[0], np.float32)
    scaled = np.where(inside, deviations(values, tissue), RANGE[0])
    return _cut(scaled.astype(np.float32), center)


def deviations(values: np.ndarray, tissue: np.ndarray) -> np.ndarray:
    """Intensities in robust deviations about the median of some tissue, cut off at :data:`RANGE`."""
    low, median, high = np.quantile(tissue, _QUANTILES)
    if not high > low:
        return np.full(values.shape, RANGE[0], np.float32)
    return np.clip((values - median) / (high - low) * _DEVIATIONS, *RANGE)


def brain_center(head: np.ndarray, spacing: float) -> np.ndarray | None:
    """The voxel (z, y, x) in the middle of the brain, counted from the top of the head; None without one.

    Args:
        head: (D, H, W) bool, a head or a brain.
        spacing: mm, the same along all axes.
    """
    areas = head.sum((1, 2))
    if not areas.any():
        return None
    top = int(np.flatnonzero(areas > _TOP_SHARE * areas.max())[-1])
    bottom = max(0, top - int(_SLAB_MM / spacing))
    _, y, x = np.nonzero(head[bottom : top + 1])
    return np.array([top - _CENTER_BELOW_TOP_MM / spacing, np.median(y), np.median(x)])


def middle_of(shape: tuple[int, ...], center: np.ndarray, spacing: float) -> np.ndarray:
    """bool of ``shape`` (D, H, W), the ellipsoid of brain about its middle."""
    axes = np.ogrid[tuple(slice(0, count) for count in shape)]
    return (
        sum(
            ((axis - middle) * spacing / half) ** 2
            for axis, middle, half in zip(axes, center, _MIDDLE_MM, strict=True)
        )
        < 1
    )


def _tissue(image: sitk.Image, brain: sitk.Image | None) -> sitk.Image:
    """uint8, 1 in the given brain, or else in what is not background around a stripped one."""
    grid = Grid.from_image(image)
    if brain is not None:
        return grid.resample(sitk.Cast(brain > 0, sitk.sitkUInt8), sitk.sitkNearestNeighbor, 0)
    array = sitk.GetArrayViewFromImage(image)
    background = find_background(array)
    inside = background.brain(array) if background.uniform else np.ones(array.shape, bool)
    return grid.to_image(inside.astype(np.uint8))


def brighter_than_air(values: np.ndarray) -> np.ndarray:
    """Where the head is in a volume with skull: brighter than half the threshold that parts it from air."""
    image = sitk.GetImageFromArray(np.clip(values, *np.quantile(values, (0.001, 0.99))))
    threshold = sitk.OtsuThresholdImageFilter()
    threshold.Execute(image)
    low = float(np.quantile(values, 0.01))
    return values > low + 0.5 * (threshold.GetThreshold() - low)


def _cut(values: np.ndarray, center: np.ndarray) -> np.ndarray:
    """The box of :data:`SHAPE` about a voxel, air where the volume ends."""
    start = [round(middle - count / 2) for middle, count in zip(center, SHAPE, strict=True)]
    result = np.full(SHAPE, RANGE[0], np.float32)
    if shared := shared_part(start, SHAPE, values.shape):
        of_values, of_result = shared
        result[of_result] = values[of_values]
    return result
