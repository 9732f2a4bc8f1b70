"""One volume given as two sequences is refused, whatever was done to it in between."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import SimpleITK as sitk

from MissingModalityLib.core.errors import ImageError
from MissingModalityLib.core.modalities import Modality
from MissingModalityLib.imaging.duplicates import moments_of
from MissingModalityLib.imaging.preparation import prepare
from MissingModalityLib.imaging.reading import Study
from small_patient import brain_volume

SIZE = (40, 38, 36)


def pair(array: np.ndarray, origin: tuple[float, float, float] = (0, 0, 0), spacing: float = 2.0) -> Study:
    """A brain, and an array (z, y, x) as another sequence of it."""
    brain = brain_volume(size=SIZE, spacing=(spacing,) * 3)
    other = sitk.GetImageFromArray(array)
    other.SetSpacing(brain.GetSpacing())
    other.SetOrigin(origin)
    return Study({Modality.T1: brain, Modality.T1CE: other})


def voxels() -> np.ndarray:
    return sitk.GetArrayFromImage(brain_volume(size=SIZE))


def equalized(array: np.ndarray) -> np.ndarray:
    return np.searchsorted(np.unique(array), array).astype(np.float32)


@pytest.mark.parametrize(
    "change",
    [
        lambda array: array[:, :, ::-1],
        lambda array: array[:, ::-1, ::-1],
        lambda array: np.roll(array, 3, 2),
        lambda array: np.rint(40 * array[:, :, ::-1]).astype(np.int16),
        lambda array: np.where(array > 0, 1000 - array[:, ::-1], 0),
    ],
    ids=["mirrored", "turned", "moved", "mirrored, scaled and rounded", "mirrored and inverted"],
)
def test_a_volume_that_was_mirrored_or_moved_is_the_same_one(
    change: Callable[[np.ndarray], np.ndarray],
) -> None:
    with pytest.raises(ImageError, match="hold the same volume, if mirrored or moved, given as T1 and as"):
        prepare(pair(change(voxels())))


def test_a_volume_whose_header_alone_was_moved_is_the_same_one() -> None:
    with pytest.raises(ImageError, match="if mirrored or moved, given as T1 and as T1ce"):
        prepare(pair(voxels(), origin=(0.7, -1.1, 0.4)))


@pytest.mark.parametrize(
    "change",
    [np.sqrt, equalized, lambda array: (array / 900) ** 1.5],
    ids=["square root", "equalized", "power of 1.5"],
)
def test_a_volume_with_another_curve_of_intensities_is_the_same_one(
    change: Callable[[np.ndarray], np.ndarray],
) -> None:
    with pytest.raises(ImageError, match="hold the same volume, given as T1 and as T1ce"):
        prepare(pair(change(voxels()), spacing=1.0))


def test_other_volumes_pass_though_they_are_as_much_alike_as_two_sequences_can_be() -> None:
    array = voxels()
    noise = np.random.default_rng(1).normal(0, 12, array.shape)
    enhanced = np.where(array > 0, array + noise, 0).astype(np.float32)
    enhanced[16:20, 18:22, 16:20] *= 1.5
    assert prepare(pair(enhanced, spacing=1.0)).available.sum() == 2


@pytest.mark.parametrize("kind", [np.int8, np.int16, np.uint16, np.int64])
def test_whole_numbers_have_the_moments_of_the_same_fractions(kind: type) -> None:
    limits = np.iinfo(kind)
    values = np.random.default_rng(0).integers(limits.min, limits.max, 5000, dtype=kind)
    assert moments_of(values) == pytest.approx(moments_of(values.astype(np.float64)), abs=1e-9)


def test_moments_are_those_of_the_distribution_alone() -> None:
    values = np.random.default_rng(0).gamma(3.0, size=20_000)
    skewness, kurtosis, fifth = moments_of(values)
    assert skewness == pytest.approx(2 / np.sqrt(3), abs=0.1)
    assert kurtosis == pytest.approx(3 + 6 / 3, abs=0.5)
    assert fifth == pytest.approx(22 * 2 / np.sqrt(3) / np.sqrt(3), rel=0.3)
    assert moments_of(7 - 3 * values[::-1]) == pytest.approx((skewness, kurtosis, fifth))
    assert moments_of(np.full(9, 4)) == moments_of(np.empty(0)) == (0, 0, 0)
