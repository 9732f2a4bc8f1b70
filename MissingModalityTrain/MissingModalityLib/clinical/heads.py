"""A volume as registration sees it: ranks of its intensities and a mask of the head, at several spacings."""

from __future__ import annotations

from functools import cached_property
from threading import Lock

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from ..imaging.boxes import tightest_box
from ..imaging.intensities import Background, find_background
from ..imaging.plausibility import LARGEST_BRAIN_MM3

_MARGIN_MM = 16.0
"""Air that is kept around a head: more than the mask grows at the coarsest level of the search."""

_DARKEST = 0.15
"""Rank of the head's darkest voxels; air is at 0, several bins of a histogram below."""

_RANKS = 65

_EVERY_VOXEL = 7
"""One of so many voxels suffices for quantiles of a million."""

_BRAIN_HEIGHT_MM = 160.0
"""From the crown to below an adult's brain; a neck must not move the head's center."""

_POINT_SPACING_MM = 8.0

_SMOOTHED_FROM = 1.7
"""Ratio of spacings from which on a volume is smoothed before it is resampled, against aliasing."""


class Head:
    """What is not background in a volume.

    Attributes:
        mask: uint8, 1 in the head.
        image: float32 of the same grid: ranks of the intensities in the head, 0.15 (darkest) to 1; air is 0.
            Ranks make sequences and scanners alike, and fill all bins of a histogram, whatever is bright.
        volume_mm3: of the mask.
    """

    def __init__(self, volume: sitk.Image) -> None:
        array = sitk.GetArrayViewFromImage(volume)
        volume, self.mask = _around(volume, _head_mask(volume, find_background(array)))
        inside = sitk.GetArrayViewFromImage(self.mask) > 0
        self.volume_mm3 = float(inside.sum() * np.prod(volume.GetSpacing()))
        self.image = _ranks(volume, inside)
        self._levels: dict[float, tuple[sitk.Image, sitk.Image]] = {}
        self._lock = Lock()  # searches for several volumes share the reference volume's head

    @cached_property
    def points(self) -> np.ndarray:
        """(n, 3) places in the head, mm, LPS, 8 mm apart, those below a brain's height left out."""
        mask = self.mask_at(_POINT_SPACING_MM)
        voxels = np.argwhere(sitk.GetArrayViewFromImage(mask) > 0)[:, ::-1]
        axes = np.reshape(mask.GetDirection(), (3, 3)) * mask.GetSpacing()
        places = np.array(mask.GetOrigin()) + voxels @ axes.T
        return places[places[:, 2] > places[:, 2].max(initial=0.0) - _BRAIN_HEIGHT_MM]

    @cached_property
    def center(self) -> np.ndarray:
        """Mean of :attr:`points`."""
        return self.points.mean(axis=0)

    def at(self, spacing_mm: float) -> sitk.Image:
        """The image at that spacing, along axes where its own is finer."""
        return self._level(spacing_mm)[0]

    def mask_at(self, spacing_mm: float, margin_mm: float = 0.0) -> sitk.Image:
        """The mask, grown by a margin, on the grid of :meth:`at`."""
        mask = self._level(spacing_mm)[1]
        radius = [round(margin_mm / side) for side in mask.GetSpacing()]
        return sitk.BinaryDilate(mask, radius) if any(radius) else mask

    def _level(self, spacing_mm: float) -> tuple[sitk.Image, sitk.Image]:
        # every search asks in one order, so that levels are made of the same ones, whoever comes first
        with self._lock:
            if spacing_mm not in self._levels:
                # the next finer one holds all that is needed, in fewer voxels
                finer = max((known for known in self._levels if known < spacing_mm), default=None)
                image, mask = self._levels[finer] if finer else (self.image, self.mask)
                share = _coarser(sitk.Cast(mask, sitk.sitkFloat32), spacing_mm, smooth=False)
                self._levels[spacing_mm] = _coarser(image, spacing_mm), share > 0.5
            return self._levels[spacing_mm]


def _head_mask(volume: sitk.Image, background: Background) -> sitk.Image:
    """uint8 on the volume's grid; holes in slices count as head where air is noisy, for bone is dark."""
    array = sitk.GetArrayViewFromImage(volume)
    inside = background.brain(array)
    if not background.uniform or inside.sum() * np.prod(volume.GetSpacing()) > LARGEST_BRAIN_MM3:
        bright = sitk.GetArrayViewFromImage(sitk.OtsuThreshold(volume, 0, 1)) > 0
        bright = ndimage.binary_opening(bright)
        slices = int(np.argmax(volume.GetSpacing()[::-1]))
        inside = np.moveaxis(bright, slices, 0)
        inside = np.stack([ndimage.binary_fill_holes(part) for part in inside])
        inside = np.moveaxis(inside, 0, slices)
    mask = sitk.GetImageFromArray(inside.astype(np.uint8))
    mask.CopyInformation(volume)
    return mask


def _around(volume: sitk.Image, mask: sitk.Image) -> tuple[sitk.Image, sitk.Image]:
    """Both, cut to the head and a margin of air."""
    box = tightest_box(sitk.GetArrayViewFromImage(mask) > 0)
    if box is None:
        return volume, mask
    margin = [int(np.ceil(_MARGIN_MM / spacing)) for spacing in reversed(volume.GetSpacing())]
    wide = tuple(
        slice(max(0, part.start - more), part.stop + more) for part, more in zip(box, margin, strict=True)
    )
    return volume[wide[::-1]], mask[wide[::-1]]


def _ranks(volume: sitk.Image, inside: np.ndarray) -> sitk.Image:
    array = sitk.GetArrayViewFromImage(volume)
    values = array[inside][::_EVERY_VOXEL] if inside.any() else array.ravel()
    quantiles = np.unique(np.quantile(values, np.linspace(0.0, 1.0, _RANKS)))
    steps = np.linspace(_DARKEST, 1.0, len(quantiles))
    ranks = np.empty(array.shape, np.float32)
    for part, found in zip(array, ranks, strict=True):  # in double precision, a slice at a time
        found[:] = np.interp(part, quantiles, steps, left=0.0)
    result = sitk.GetImageFromArray(ranks)
    result.CopyInformation(volume)
    return result


def _coarser(image: sitk.Image, spacing_mm: float, smooth: bool = True) -> sitk.Image:
    """``image`` with at least that spacing, over the same extent."""
    spacing, sides = np.array(image.GetSpacing()), np.array(image.GetSize())
    size = np.maximum(1, np.round(sides * spacing / np.maximum(spacing, spacing_mm))).astype(int)
    wanted = sides * spacing / size
    axes = np.reshape(image.GetDirection(), (3, 3))
    origin = np.array(image.GetOrigin()) + axes @ ((wanted - spacing) / 2)
    for axis in np.flatnonzero((wanted > _SMOOTHED_FROM * spacing) & (sides >= 4) & smooth):
        sigma = 0.5 * float(np.sqrt(wanted[axis] ** 2 - spacing[axis] ** 2))
        order = sitk.RecursiveGaussianImageFilter.ZeroOrder
        image = sitk.RecursiveGaussian(image, sigma, False, order, int(axis))
    return sitk.Resample(
        image,
        size.tolist(),
        sitk.Transform(),
        sitk.sitkLinear,
        origin.tolist(),
        wanted.tolist(),
        axes.ravel().tolist(),
    )
