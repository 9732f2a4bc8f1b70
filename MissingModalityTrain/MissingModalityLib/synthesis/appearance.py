"""How tumors look: for each class and sequence the distribution, texture and course of the intensities.

Intensities count from the median of the patient's normal brain, in units of the distance between its
quartiles: sizes that neither the scanner nor the tumor changes. A tumor's classes are kept together, since a
bright edema goes with a bright core.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file
from scipy import ndimage, special

from ..core.checksum import check_checksum
from ..core.labels import REGIONS, TUMOR_CLASSES, TumorClass
from ..core.modalities import Subset
from ..imaging.boxes import tightest_box
from ..imaging.cache import CachedCase, write_arrays
from .distances import depth_in
from .texture import LEAST_VOXELS, correlation_lengths

PROBABILITIES = np.linspace(0.005, 0.995, 41)
"""At which quantiles of intensities are kept; what lies beyond is noise of single voxels."""

_NORMAL_SCORES = special.ndtri(PROBABILITIES)

_SCORES = np.linspace(_NORMAL_SCORES[0], _NORMAL_SCORES[-1], 1024).astype(np.float32)
"""Scores whose intensities are computed: closer than noise tells apart."""

_WIDTHS = (3.0, 2.0, 1.5, 1.2, 0.8, 0.0)
_STEEPNESS = tuple(
    np.sqrt((1 - np.exp(-1 / (4 * (1 + width**2)))) / (1 - np.exp(-4 / (4 * (1 + width**2)))))
    for width in _WIDTHS
)
"""Differences of neighbors over those of voxels two apart, where sharp volumes are noise that is 1 voxel wide
and the correlation of blurred noise is exp(-r^2 / 4 s^2)."""

_EDEMA_REACH = 5
"""Voxels around a tumor that may be edema which nobody drew, left out of the normal brain."""


@dataclass(frozen=True)
class Reference:
    """What is normal in a patient.

    Attributes:
        median, spread: (n,) median and distance between quartiles of each sequence.
        blur: (n, 3) voxels along z, y, x by which the volumes are smoother than a sharp one: the width of the
            Gaussian that would make it so.
        grain: (n,) standard deviation of the noise.
    """

    median: np.ndarray
    spread: np.ndarray
    blur: np.ndarray
    grain: np.ndarray

    @classmethod
    def of(cls, image: np.ndarray, label: np.ndarray) -> Reference:
        """Of the brain (n, D, H, W) beyond its tumor (D, H, W)."""
        tumor = ndimage.binary_dilation(label > 0, iterations=_EDEMA_REACH)
        normal = (image != 0).all(axis=0) & ~tumor
        if normal.sum() < LEAST_VOXELS:  # the tumor fills all of a very small brain
            normal = (image != 0).any(axis=0)
        low, middle, high = np.percentile(image[:, normal], (25, 50, 75), axis=1)
        blur = [[_blur(volume, normal, axis) for axis in range(normal.ndim)] for volume in image]
        return cls(
            middle,
            np.maximum(high - low, 1e-3),
            np.array(blur),
            np.array([_grain(volume, normal) for volume in image]),
        )

    def relative(self, image: np.ndarray) -> np.ndarray:
        """Intensities (n, ...) of the patient in units of the reference, as precise as they are given."""
        median, spread = (
            values.reshape(-1, *(1,) * (image.ndim - 1)).astype(image.dtype)
            for values in (self.median, self.spread)
        )
        return (image - median) / spread

    def absolute(self, relative: np.ndarray, rows: Sequence[int]) -> np.ndarray:
        """The inverse, for the sequences of some indices."""
        median, spread = (
            values[rows].reshape(-1, *(1,) * (relative.ndim - 1)).astype(relative.dtype)
            for values in (self.median, self.spread)
        )
        return relative * spread + median


def _blur(volume: np.ndarray, normal: np.ndarray, axis: int) -> float:
    """From how little neighbors differ, compared with voxels that are two apart."""
    values, mask = np.moveaxis(volume, axis, 0)[:, ::2, ::2], np.moveaxis(normal, axis, 0)[:, ::2, ::2]
    both = mask[:-2] & mask[1:-1] & mask[2:]
    if not both.any():
        return 0.0
    near = np.abs(values[1:-1] - values[:-2])[both].mean()
    far = np.abs(values[2:] - values[:-2])[both].mean()
    return float(np.interp(near / (far + 1e-6), _STEEPNESS, _WIDTHS))


def _grain(volume: np.ndarray, normal: np.ndarray) -> float:
    """From the smallest second differences along an axis: those of noise, and of little anatomy."""
    found = []
    for axis in range(normal.ndim):
        values, mask = np.moveaxis(volume, axis, 0)[:, ::2, ::2], np.moveaxis(normal, axis, 0)[:, ::2, ::2]
        both = mask[:-2] & mask[1:-1] & mask[2:]
        if both.any():
            found.append(np.median(np.abs(values[:-2] - 2 * values[1:-1] + values[2:])[both]))
    # the median of a normal deviate's size is 0.6745, and the variances 1, 4 and 1 add up
    return float(min(found, default=0.0)) / 0.6745 / np.sqrt(6)


@dataclass(frozen=True)
class ClassAppearance:
    """One class of one tumor, for n sequences.

    Attributes:
        quantiles: (n, len(PROBABILITIES)) of relative intensities.
        scales: (n, len(SCALES)) shares of the lengths over which they are correlated.
        correlation: (n, n) between sequences, after the map to normal scores.
        depth: (n,) correlation with the depth below the border of the class.
    """

    quantiles: np.ndarray
    scales: np.ndarray
    correlation: np.ndarray
    depth: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray, mask: np.ndarray, depth: np.ndarray) -> ClassAppearance:
        """Measure relative intensities (n, d, h, w) inside a mask, at depths (d, h, w)."""
        inside = values[:, mask]
        quantiles = np.quantile(inside, PROBABILITIES, axis=1).T
        # a plateau, as of saturated voxels, would leave np.interp without an inverse
        quantiles = np.maximum.accumulate(quantiles + 1e-6 * np.arange(len(PROBABILITIES)), axis=1)
        scores = np.stack([np.interp(v, q, _NORMAL_SCORES) for v, q in zip(inside, quantiles, strict=True)])
        scores = (scores - scores.mean(axis=1, keepdims=True)) / (scores.std(axis=1, keepdims=True) + 1e-6)
        place = depth_scores(depth[mask])
        trend = scores @ place / len(place)
        rest = scores - trend[:, None] * place
        volume = np.zeros(mask.shape)
        scales = []
        for row in rest:
            volume[mask] = row / (row.std() + 1e-6)
            scales.append(correlation_lengths(volume, mask))
        correlation = np.atleast_2d(np.corrcoef(rest))
        return cls(quantiles, np.array(scales), correlation, trend)

    def mixed(self, other: ClassAppearance, share: float) -> ClassAppearance:
        """``share`` of the other; the quantiles of a mean of both, and the means of the rest."""
        return ClassAppearance(
            *(
                (1 - share) * mine + share * theirs
                for mine, theirs in (
                    (self.quantiles, other.quantiles),
                    (self.scales, other.scales),
                    (self.correlation, other.correlation),
                    (self.depth, other.depth),
                )
            )
        )

    def of_channels(self, rows: Sequence[int]) -> ClassAppearance:
        """For some of the sequences, by their indices."""
        correlation = self.correlation[np.ix_(rows, rows)]
        return ClassAppearance(self.quantiles[rows], self.scales[rows], correlation, self.depth[rows])

    def noise(self) -> np.ndarray:
        """(n,) standard deviation of the finest part of the texture, in relative intensities."""
        quarter = len(PROBABILITIES) // 4
        quartiles = self.quantiles[:, -1 - quarter] - self.quantiles[:, quarter]
        return np.sqrt(self.scales[:, 0]) * quartiles / 1.349  # as of a normal distribution

    def intensities(self, scores: np.ndarray) -> np.ndarray:
        """Relative intensities (n, m) float32 of normal scores (n, m)."""
        scaled = (scores - _SCORES[0]) * np.float32((len(_SCORES) - 1) / (_SCORES[-1] - _SCORES[0]))
        places = scaled.clip(0, len(_SCORES) - 1).round().astype(np.int32)
        tables = [np.interp(_SCORES, _NORMAL_SCORES, row).astype(np.float32) for row in self.quantiles]
        return np.stack([table.take(place) for table, place in zip(tables, places, strict=True)])


def depth_scores(depth: np.ndarray) -> np.ndarray:
    """Depths (m,) as numbers of mean 0 and standard deviation 1; the square root evens their spread out."""
    root = np.sqrt(depth)
    return (root - root.mean()) / (root.std() + 1e-6)


@dataclass(frozen=True)
class Appearance:
    """A tumor.

    Attributes:
        case: name of the patient.
        subset: the sequences, in the order of all arrays.
        classes: those with voxels enough to be measured.
        voxels: of each of these.
        enhancing_share: of the enhancing tumor in the core; 0 without a core.
    """

    case: str
    subset: Subset
    classes: dict[TumorClass, ClassAppearance]
    voxels: dict[TumorClass, int]
    enhancing_share: float


def measure(name: str, subset: Subset, image: np.ndarray, label: np.ndarray) -> Appearance:
    """Measure a tumor.

    Args:
        name, subset: of the case.
        image: (n, D, H, W) of the sequences that it has.
        label: (D, H, W) classes.
    """
    values = Reference.of(image, label).relative(image)
    classes: dict[TumorClass, ClassAppearance] = {}
    box = tightest_box(label > 0)
    if box is None:
        return Appearance(name, subset, classes, {}, 0.0)
    values, label = values[(slice(None), *box)], label[box]
    for cls in TUMOR_CLASSES:
        mask = label == cls
        if mask.sum() >= LEAST_VOXELS:
            classes[cls] = ClassAppearance.of(values, mask, class_depth(label, cls))
    voxels = {cls: int((label == cls).sum()) for cls in classes}
    core = np.isin(label, REGIONS["TC"]).sum()
    return Appearance(name, subset, classes, voxels, float((label == TumorClass.ET).sum() / max(1, core)))


def cached_appearance(case: CachedCase, path: Path) -> Appearance:
    """Measure a case, unless a file has what was measured.

    Raises:
        CaseError: the file cannot be written.
    """
    try:
        check_checksum(path)
        arrays = load_file(path)
    except (SafetensorError, OSError, ValueError):  # absent or damaged
        image, label = case.crop((0, 0, 0), case.shape)
        found = measure(case.name, case.subset, image[list(case.subset)], label)
        arrays = {
            f"{cls.name}.{name}": value
            for cls, look in found.classes.items()
            for name, value in asdict(look).items()
        }
        arrays |= {f"{cls.name}.voxels": np.array([count]) for cls, count in found.voxels.items()}
        arrays["enhancing_share"] = np.array([found.enhancing_share])
        write_arrays(path, arrays, {})
    classes = {
        cls: ClassAppearance(*(arrays[f"{cls.name}.{item.name}"] for item in fields(ClassAppearance)))
        for cls in TUMOR_CLASSES
        if f"{cls.name}.depth" in arrays
    }
    voxels = {cls: int(arrays[f"{cls.name}.voxels"][0]) for cls in classes}
    return Appearance(case.name, case.subset, classes, voxels, float(arrays["enhancing_share"][0]))


def class_depth(label: np.ndarray, cls: TumorClass) -> np.ndarray:
    """Distance in voxels (d, h, w) from a class's border; of the edema, from the border of the tumor."""
    region = label > 0 if cls is TumorClass.ED else label == cls
    return depth_in(region)
