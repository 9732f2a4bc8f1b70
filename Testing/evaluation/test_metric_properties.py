"""What Dice and HD95 must keep to, whatever the masks: symmetry, bounds, and the geometry of the patient."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import ndimage
from scipy.spatial.distance import cdist

from examples import SPACINGS, examples
from mask_scores import hd95, score_regions
from MissingModalityLib.core.labels import REGIONS
from MissingModalityLib.evaluation.hd95_rules import HD95_RULES
from MissingModalityLib.evaluation.lesions import PENALTY_MM
from MissingModalityLib.evaluation.metrics import dice

SHAPE = (5, 6, 7)
MASKS = arrays.arrays(bool, SHAPE, fill=st.just(False))
CLASSES = arrays.arrays(np.uint8, SHAPE, elements=st.integers(0, 3), fill=st.just(0))


def surface(mask: np.ndarray) -> np.ndarray:
    """(n, 3) voxels with one of six neighbors outside."""
    return np.argwhere(mask & ~ndimage.binary_erosion(mask))


def defined_hd95(one: np.ndarray, other: np.ndarray, spacing: tuple[float, ...]) -> float:
    """By the definition, with every distance computed; of two masks that are not empty."""
    distances = cdist(surface(one) * spacing, surface(other) * spacing)
    return max(np.percentile(distances.min(axis), 95) for axis in (0, 1))


@given(MASKS, MASKS, SPACINGS, st.permutations(range(3)), st.sets(st.integers(0, 2)))
@examples(60)
def test_scores_know_no_order_of_sides_and_axes(
    one: np.ndarray, other: np.ndarray, spacing: tuple[float, ...], order: list[int], flipped: set[int]
) -> None:
    expected = dice(one, other), hd95(one, other, spacing)
    assert (dice(other, one), hd95(other, one, spacing)) == expected
    turned = [np.flip(mask.transpose(order), sorted(flipped)) for mask in (one, other)]
    found = dice(*turned), hd95(*turned, [spacing[axis] for axis in order])
    assert found == pytest.approx(expected)


@given(MASKS, MASKS, SPACINGS, st.sampled_from((0.5, 3.0)))
@examples(60)
def test_scores_are_bounded_and_distances_scale_with_the_voxels(
    one: np.ndarray, other: np.ndarray, spacing: tuple[float, ...], factor: float
) -> None:
    assert dice(one, one) == 1 and hd95(one, one, spacing) == 0
    diagonal = np.linalg.norm(np.array(SHAPE) * spacing)
    score, distance = dice(one, other), hd95(one, other, spacing)
    assert 0 <= score <= 1 and 0 <= distance <= diagonal + 1e-9
    assert (score > 1 - 1e-6) == np.array_equal(one, other)
    assert hd95(one, other, [factor * step for step in spacing]) == pytest.approx(factor * distance)


@given(MASKS, MASKS, SPACINGS, st.booleans())
@examples(60)
def test_distances_are_those_of_the_definition(
    one: np.ndarray, other: np.ndarray, spacing: tuple[float, ...], solid: bool
) -> None:
    one[1, 1, 1] = other[3, 4, 5] = True
    if solid:
        one[:4, :, 1:] = True  # mostly inside, whose distances count for nothing
    assert hd95(one, other, spacing) == pytest.approx(defined_hd95(one, other, spacing))


@given(CLASSES, CLASSES, SPACINGS, st.sampled_from(sorted(HD95_RULES)))
@examples(30)
def test_every_region_is_scored_with_the_voxels_that_it_has(
    prediction: np.ndarray, reference: np.ndarray, spacing: tuple[float, ...], rule: str
) -> None:
    for region, score in score_regions(prediction, reference, spacing, rule).items():
        if region in REGIONS:
            masks = [np.isin(classes, REGIONS[region]) for classes in (prediction, reference)]
            assert (score.predicted, score.reference) == tuple(int(mask.sum()) for mask in masks)
            assert score.dice == dice(*masks) and score.hd95 == hd95(*masks, spacing, rule)


@given(CLASSES, CLASSES, st.sets(st.integers(0, 2)))
@examples(20)
def test_lesions_are_scored_alike_in_a_mirror(
    prediction: np.ndarray, reference: np.ndarray, flipped: set[int]
) -> None:
    spacing = (4.0, 3.0, 5.0)
    mirrored = (np.flip(classes, sorted(flipped)) for classes in (prediction, reference))
    found, expected = score_regions(*mirrored, spacing), score_regions(prediction, reference, spacing)
    for region, score in expected.items():
        assert 0 <= score.lesion_dice <= 1 and 0 <= score.lesion_hd95 <= PENALTY_MM
        assert vars(found[region]) == pytest.approx(vars(score))
    same = score_regions(reference, reference, spacing)
    for region in REGIONS:
        assert same[region].lesion_dice == pytest.approx(1) and same[region].lesion_hd95 == 0
        assert same[region].lesions_missed == same[region].lesions_invented == 0
