"""A volume as registration sees it: a smoothed head with its mask, at several resolutions."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from ..imaging.boxes import tightest_box
from ..imaging.intensities import find_background

_MARGIN_MM = 16.0
_DARKEST = 0.15
_HEAD_LENGTH_MM = 160.0
"""From the crown to below the brain: what of a volume's neck is below takes no part in the head's center."""


class Head:
    """What is not background in a volume.

    Attributes:
        image: float32, 0 to 1 between the head's darkest and brightest voxels, as seen through a window.
        mask: uint8, 1 in the head.
        stripped: the air around is one value, as around a stripped brain.
        volume_mm3: of the mask.
        center: of the mask without the neck, mm in the patient's space.
    """

    def __init__(self, volume: sitk.Image) -> None:
        array = sitk.GetArrayViewFromImage(volume)
        background = find_background(array)
        self.stripped = background.uniform
        mask = _head_mask(volume, background)
        volume, mask = _around(volume, mask)
        self.mask = mask
        inside = sitk.GetArrayViewFromImage(mask) > 0
        self.volume_mm3 = float(inside.sum() * np.prod(volume.GetSpacing()))
        self.image = _ranks(volume, inside)
        self._levels: dict[float, tuple[sitk.Image, sitk.Image]] = {}

    @cached_property
    def points(self) -> np.ndarray:
        """(n, 3) mm of the mask's voxels at 8 mm, without the neck."""
        mask = self.mask_at(8.0)
        voxels = np.argwhere(sitk.GetArrayViewFromImage(mask) > 0)[:, ::-1]
        axes = np.reshape(mask.GetDirection(), (3, 3)) * mask.GetSpacing()
        places = np.array(mask.GetOrigin()) + voxels @ axes.T
        return places[places[:, 2] > places[:, 2].max() - _HEAD_LENGTH_MM]

    @cached_property
    def center(self) -> np.ndarray:
        return self.points.mean(axis=0)

    def at(self, spacing_mm: float) -> sitk.Image:
        """The head smoothed and resampled to that spacing, where its own is finer."""
        return self._level(spacing_mm)[0]

    def mask_at(self, spacing_mm: float, margin_mm: float = 0.0) -> sitk.Image:
        """uint8, the mask grown by a margin."""
        mask = self._level(spacing_mm)[1]
        radius = [round(margin_mm / side) for side in mask.GetSpacing()]
        return sitk.BinaryDilate(mask, radius) if any(radius) else mask

    def _level(self, spacing_mm: float) -> tuple[sitk.Image, sitk.Image]:
        if spacing_mm not in self._levels:
            finer = max((known for known in self._levels if known < spacing_mm), default=None)
            self._levels[spacing_mm] = _coarser(
                *(self._levels[finer] if finer else (self.image, self.mask)), spacing_mm
            )
        return self._levels[spacing_mm]


def _around(volume: sitk.Image, mask: sitk.Image) -> tuple[sitk.Image, sitk.Image]:
    """Both, cut to the head and a margin of air."""
    box = tightest_box(sitk.GetArrayViewFromImage(mask) > 0)
    if box is None:
        return volume, mask
    margin = [int(np.ceil(_MARGIN_MM / spacing)) for spacing in reversed(volume.GetSpacing())]
    wider = [
        slice(max(0, part.start - more), part.stop + more) for part, more in zip(box, margin, strict=True)
    ]
    return volume[tuple(reversed(wider))], mask[tuple(reversed(wider))]


def _ranks(volume: sitk.Image, inside: np.ndarray) -> sitk.Image:
    """Each voxel's place among the head's intensities, 0 (darkest) to 1, below it down to 0."""
    array = sitk.GetArrayFromImage(volume)
    quantiles = np.unique(np.quantile(array[inside][::7], np.linspace(0.0, 1.0, 65)))
    result = sitk.GetImageFromArray(
        np.interp(array, quantiles, np.linspace(_DARKEST, 1, len(quantiles)), left=0.0).astype(np.float32)
    )
    result.CopyInformation(volume)
    return result


def _head_mask(volume: sitk.Image, background) -> sitk.Image:
    array = sitk.GetArrayViewFromImage(volume)
    if background.uniform:
        mask = sitk.GetImageFromArray(background.brain(array).astype(np.uint8))
        mask.CopyInformation(volume)
        return mask
    shape = sitk.GetArrayFromImage(sitk.OtsuThreshold(volume, 0, 1)) > 0
    shape = ndimage.binary_opening(shape, iterations=1)
    thick = int(np.argmax(volume.GetSpacing()[::-1]))
    filled = np.stack([ndimage.binary_fill_holes(part) for part in np.moveaxis(shape, thick, 0)])
    mask = sitk.GetImageFromArray(np.moveaxis(filled, 0, thick).astype(np.uint8))
    mask.CopyInformation(volume)
    return mask


def _around(volume: sitk.Image, mask: sitk.Image) -> tuple[sitk.Image, sitk.Image]:
    """Both, cut to the head and a margin of air."""
    box = tightest_box(sitk.GetArrayViewFromImage(mask) > 0)
    if box is None:
        return volume, mask
    margin = [int(np.ceil(_MARGIN_MM / spacing)) for spacing in reversed(volume.GetSpacing())]
    wider = [
        slice(max(0, part.start - more), part.stop + more) for part, more in zip(box, margin, strict=True)
    ]
    return volume[tuple(reversed(wider))], mask[tuple(reversed(wider))]


def _ranks(volume: sitk.Image, inside: np.ndarray) -> sitk.Image:
    """Each voxel's place among the head's intensities, 0 (darkest) to 1, below it down to 0."""
    array = sitk.GetArrayFromImage(volume)
    quantiles = np.unique(np.quantile(array[inside][::7], np.linspace(0.0, 1.0, 65)))
    result = sitk.GetImageFromArray(
        np.interp(array, quantiles, np.linspace(_DARKEST, 1, len(quantiles)), left=0.0).astype(np.float32)
    )
    result.CopyInformation(volume)
    return result


def _head_mask(volume: sitk.Image, background) -> sitk.Image:
    array = sitk.GetArrayViewFromImage(volume)
    if background.uniform:
        mask = sitk.GetImageFromArray(background.brain(array).astype(np.uint8))
        mask.CopyInformation(volume)
        return mask
    # a third of Otsu's threshold of the smoothed volume: dark bone and fluid belong to the head, noise does not
    otsu = sitk.OtsuThreshold(volume, 0, 1)
    return otsu


def _coarser(image: sitk.Image, mask: sitk.Image, spacing_mm: float) -> tuple[sitk.Image, sitk.Image]:
    spacing = np.array(image.GetSpacing())
    wanted = np.maximum(spacing, spacing_mm)
    size = np.maximum(1, np.round(np.array(image.GetSize()) * spacing / wanted)).astype(int)
    wanted = np.array(image.GetSize()) * spacing / size
    axes = np.reshape(image.GetDirection(), (3, 3))
    origin = np.array(image.GetOrigin()) + axes @ ((wanted - spacing) / 2)
    smoothed, share = image, sitk.Cast(mask, sitk.sitkFloat32)
    for axis in range(3):
        if wanted[axis] > spacing[axis] * 1.2 and image.GetSize()[axis] >= 4:
            sigma = float(np.sqrt(wanted[axis] ** 2 - spacing[axis] ** 2) * 0.5)
            smoothed = sitk.RecursiveGaussian(
                smoothed, sigma, False, sitk.RecursiveGaussianImageFilter.ZeroOrder, axis
            )
    grid = [
        [int(v) for v in size],
        sitk.Transform(),
        sitk.sitkLinear,
        origin.tolist(),
        wanted.tolist(),
        image.GetDirection(),
    ]
    return sitk.Resample(smoothed, *grid, 0.0), sitk.Resample(share, *grid, 0.0) > 0.5
