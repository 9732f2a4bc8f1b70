"""Raw volumes freed of the receive coil's unevenness, which z-scores take for tissue.

N4 (Tustison et al., IEEE TMI 29(6), 2010) on voxels of 5 mm, twice: tumor and fluid stand out of what the
first, stiff field leaves even, and the second is fitted to the rest. Data sets of stripped volumes come from
evener images than scanners give, so students hardly know unevenness.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import SimpleITK as sitk

from ..core.progress import Event, Progress, ProgressStage
from ..imaging.boxes import tightest_box
from ..imaging.grid import Grid
from ..imaging.reading import Study
from ..runtime.side_by_side import side_by_side
from .alignment import one_thread
from .stripping import needs_stripping

_SPACING_MM = 5.0
"""Of coils that were simulated on four training patients, 4, 5 and 6 mm leave the same unevenness behind (a
standard deviation of the logarithm of 0.0530, 0.0528 and 0.0531, by measure_unevenness.py); 4 mm takes 1.6
times as long as 5 mm."""
_LEAST_SIDE = 8
"""Voxels along an axis that are left where a volume is thin."""

_STIFF, _FITTING = 2, 3
"""Levels of the field's grid; it has 2 and 4 intervals along the brain, about 80 and 40 mm."""

_ITERATIONS = 50
_CONVERGENCE = 1e-3
_OUTLIERS = 1.5
"""Deviations from the median, beyond which a voxel is not fitted. Of 1.5 and 2 and all voxels, 1.5 left the
FLAIR of five held-out patients with the best whole tumor."""

_TO_DEVIATION = 1.4826
"""A normal distribution's standard deviation in median absolute deviations."""

_OFFSET_SHARE = 0.5
"""Of the mean, above which the darkest value is an offset that a program has added, as to integers without a
sign: air, bone and fluid are darker. A coil scales the signal alone, so the offset would hide its field.
"""

_FEWEST_VOXELS = 1000
"""64 cm³; from less of a brain no field is told."""


def even_out(study: Study, notify: Progress) -> tuple[Study, Mapping[str, float]]:
    """The study with raw volumes evened out, on as many cores as there are; stripped ones stay as they are.

    Args:
        study: volumes in one space, with a brain mask.
        notify: called with the stage ``even out`` for each volume.

    Returns:
        The study, and by name of each volume that was evened out the brightest place of the field in the
        brain over the darkest.
    """
    raw = [modality for modality, image in study.images.items() if needs_stripping(image)]
    images, ratios = dict(study.images), {}
    results = side_by_side(lambda modality: evened(study.images[modality], study.brain), raw)
    for number, modality in enumerate(raw):
        notify(Event(ProgressStage.EVEN_OUT, number, len(raw), study.names[modality]))
        images[modality], ratio = next(results)
        if ratio is not None:
            ratios[modality.name] = round(ratio, 3)
    return replace(study, images=images), ratios


def evened(image: sitk.Image, brain: sitk.Image) -> tuple[sitk.Image, float | None]:
    """A volume without its bias field, float32, and the field's highest over its lowest value in the brain.

    Args:
        image: 3-D scalar, air lowest.
        brain: mask in the same space on any grid.

    Returns:
        The volume as it is, and None, where it shows too little of the brain.
    """
    volume = sitk.Cast(image, sitk.sitkFloat32)
    floor = _offset(sitk.GetArrayViewFromImage(volume))
    small, mask = _around_brain(volume - floor, brain)
    if np.count_nonzero(sitk.GetArrayViewFromImage(mask)) < _FEWEST_VOXELS:
        return image, None
    even, _ = _n4(small, mask, _STIFF)
    usual = _usual(even, mask)
    if np.count_nonzero(sitk.GetArrayViewFromImage(usual)) < _FEWEST_VOXELS:
        return image, None
    _, field = _n4(small, usual, _FITTING)
    logarithms = sitk.GetArrayViewFromImage(field)[sitk.GetArrayViewFromImage(mask) > 0]
    wide = sitk.Resample(field, volume, sitk.Transform(), sitk.sitkLinear, 0.0, sitk.sitkFloat32, True)
    # beside the brain nothing holds the field, which would make air or scalp outshine all else
    held = sitk.Mask(wide, Grid.from_image(volume).resample(brain, sitk.sitkNearestNeighbor, 0) > 0)
    return (volume - floor) / sitk.Exp(held) + floor, float(np.exp(np.ptp(logarithms)))


def _offset(values: np.ndarray) -> float:
    """The darkest value where it is below 0 or an offset, else 0."""
    lowest = float(values.min())
    return lowest if lowest < 0 or lowest > _OFFSET_SHARE * float(values.mean()) else 0.0


def _around_brain(volume: sitk.Image, brain: sitk.Image) -> tuple[sitk.Image, sitk.Image]:
    """The part of a volume that shows the brain, and the brain in it where it is brighter than 0, coarse."""
    inside = Grid.from_image(volume).resample(brain, sitk.sitkNearestNeighbor, 0)
    box = tightest_box(sitk.GetArrayViewFromImage(inside) > 0)
    if box is None:
        return volume, sitk.Cast(inside * 0, sitk.sitkUInt8)
    part = volume[tuple(reversed(box))]
    factors = [
        max(1, min(int(_SPACING_MM / step), count // _LEAST_SIDE))
        for step, count in zip(part.GetSpacing(), part.GetSize(), strict=True)
    ]
    small = sitk.BinShrink(part, factors)
    mask = Grid.from_image(small).resample(inside, sitk.sitkNearestNeighbor, 0)
    return small, sitk.Cast((mask > 0) & (small > 0), sitk.sitkUInt8)


def _n4(volume: sitk.Image, mask: sitk.Image, levels: int) -> tuple[sitk.Image, sitk.Image]:
    """The volume without its field, and the logarithm of the field, both on its grid."""
    method = sitk.N4BiasFieldCorrectionImageFilter()
    method.SetMaximumNumberOfIterations([_ITERATIONS] * levels)
    method.SetConvergenceThreshold(_CONVERGENCE)
    with one_thread.hold():
        even = method.Execute(volume, mask)
        return even, method.GetLogBiasFieldAsImage(volume)


def _usual(volume: sitk.Image, mask: sitk.Image) -> sitk.Image:
    """The mask without what is much darker or brighter than the brain's median."""
    values = sitk.GetArrayViewFromImage(volume)
    inside = sitk.GetArrayViewFromImage(mask) > 0
    median = np.median(values[inside])
    width = _OUTLIERS * _TO_DEVIATION * np.median(np.abs(values[inside] - median))
    return Grid.from_image(mask).to_image((inside & (np.abs(values - median) < width)).astype(np.uint8))
