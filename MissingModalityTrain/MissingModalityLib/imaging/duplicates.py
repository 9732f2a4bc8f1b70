"""One volume given as two sequences of a patient: as it lies, in other intensities, mirrored or moved."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

import numpy as np

from ..core.errors import ImageError
from ..core.modalities import Modality

SAME_CORRELATION = 0.9999
"""Of two volumes of a patient above which they are one; T1 with and without contrast reaches 0.99."""

_NEARLY_SAME, _SLICE_STEP = 0.999, 8
"""From here on all voxels are looked at, not only those of every 8th slice, which every slab has one of."""

_ALIKE, _SAME_RANKS = 0.8, 0.995
"""From where on ranks are compared, and from where on they are those of one volume.

A volume and its square root or equalized histogram have a correlation of 0.93 or more; where they are
interpolated afterwards, the square root's ranks agree to 0.9999, and those of a square in 8 bit to 0.996. Of
54 training patients no two sequences have ranks that agree to more than 0.833.
"""

_SAME_MOMENTS = 1e-4
"""By how much moments of the same intensities differ at most: rounding to whole numbers."""

_MOST_LEVELS = 1 << 16
"""Whole numbers of up to this range are counted, which takes a tenth of the time."""

_MOVED = " if mirrored or moved,"


def refuse_duplicates(
    volumes: Mapping[Modality, np.ndarray],
    tissue: Mapping[Modality, np.ndarray],
    names: Mapping[Modality, str],
) -> None:
    """Refuse one volume given as two sequences, whatever its type, compression, intensities or extent.

    Args:
        volumes: (D, H, W) on one grid.
        tissue: (D, H, W) bool, voxels that no background was interpolated into.
        names: of the volumes, for the message.

    Raises:
        ImageError: two of them have a correlation above 0.9999 in the tissue of both, or their ranks have one
            above 0.995.
    """
    for first, second in combinations(volumes, 2):
        if _are_one(volumes[first], volumes[second], tissue[first], tissue[second]):
            raise ImageError(given_twice(first, names[first], second, names[second]))


def refuse_moved_duplicates(
    moments: Mapping[Modality, tuple[float, ...]], names: Mapping[Modality, str]
) -> None:
    """Refuse one volume given as two sequences that lie at two places or are turned or mirrored.

    Args:
        moments: from :func:`moments_of`, of each volume's brain on its own grid.
        names: of the volumes, for the message.

    Raises:
        ImageError: two of them have the same distribution of intensities, up to scale, shift and sign.
    """
    for first, second in combinations(moments, 2):
        if np.allclose(moments[first], moments[second], rtol=_SAME_MOMENTS, atol=_SAME_MOMENTS):
            raise ImageError(given_twice(first, names[first], second, names[second], _MOVED))


def moments_of(values: np.ndarray) -> tuple[float, float, float]:
    """Standardized third to fifth moments, the odd ones without their sign.

    They are the same for the same voxels at whatever place, scale and sign.

    Args:
        values: any shape; all of one value have 0, 0, 0.
    """
    levels, counts = _histogram(values.ravel())
    total = counts.sum()
    off = levels - (levels @ counts / total if total else 0)
    weighted = counts * off * off
    deviation = np.sqrt(weighted.sum() / total) if total else 0
    if not deviation > 0:
        return 0.0, 0.0, 0.0
    moments = (weighted @ off, weighted @ (off * off), weighted @ (off * off * off))
    return tuple(
        abs(float(moment)) / total / deviation**order
        for order, moment in zip((3, 4, 5), moments, strict=True)
    )


def _histogram(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Different values and how often each is there, float64; of fractions each by itself."""
    low = values.min() if values.size else 0
    if values.dtype.kind in "iu" and values.size and int(values.max()) - int(low) < _MOST_LEVELS:
        counts = np.bincount(values.astype(np.int64) - int(low))
        return np.arange(counts.size) + float(low), counts.astype(np.float64)
    return values.astype(np.float64), np.ones(values.size)


def given_twice(first: Modality, name: str, second: Modality, other: str, how: str = "") -> str:
    """The message about one volume given as two sequences."""
    same = f"{name} was given" if name == other else f"{name} and {other} hold the same volume,{how} given"
    return (
        f"{same} as {first.title} and as {second.title}. Give each volume once, as the sequence that it is."
    )


def _are_one(first: np.ndarray, second: np.ndarray, own: np.ndarray, other: np.ndarray) -> bool:
    one, two = _together(*(array[::_SLICE_STEP] for array in (first, second, own, other)))
    alike = _correlation(one, two)
    if alike < _ALIKE:
        return False
    # the same order of intensities: a gamma, a logarithm, an equalized histogram
    if _correlation(_ranks(one), _ranks(two)) > _SAME_RANKS:
        return True
    return alike > _NEARLY_SAME and _correlation(*_together(first, second, own, other)) > SAME_CORRELATION


def _together(
    first: np.ndarray, second: np.ndarray, own: np.ndarray, other: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The voxels of both in the tissue of both."""
    both = own & other
    return first[both].astype(np.float64), second[both].astype(np.float64)


def _correlation(one: np.ndarray, two: np.ndarray) -> float:
    """Absolute: a volume turned dark for bright is the same one."""
    if not one.size:
        return 0.0
    one, two = one - one.mean(), two - two.mean()
    norm = np.sqrt((one @ one) * (two @ two))
    return abs(float(one @ two)) / norm if norm > 0 else 0.0


def _ranks(values: np.ndarray) -> np.ndarray:
    """The place of each value in order; of equal ones the first stands first in both volumes."""
    ranks = np.empty(values.size)
    ranks[np.argsort(values, kind="stable")] = np.arange(values.size)
    return ranks
