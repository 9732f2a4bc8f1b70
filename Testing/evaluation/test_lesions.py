"""Lesion-wise scores against values one can work out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from mask_scores import hd95, lesion_score, score_regions
from MissingModalityLib.core.labels import TumorClass
from MissingModalityLib.evaluation.lesions import LesionScore
from MissingModalityLib.evaluation.metrics import SCORED_REGIONS, dice

SHAPE = (12, 24, 48)
UNIT = (1.0, 1.0, 1.0)
NOTHING = np.zeros(SHAPE, bool)


def cube(x: int, side: int = 4) -> np.ndarray:
    mask = np.zeros(SHAPE, bool)
    mask[4 : 4 + side, 8 : 8 + side, x : x + side] = True
    return mask


LEFT, RIGHT = cube(4), cube(32)  # 64 voxels each, 24 apart


@pytest.mark.parametrize(
    ("prediction", "reference", "expected"),
    [
        pytest.param(NOTHING, NOTHING, (1, 0), id="nothing there, nothing found"),
        pytest.param(LEFT, LEFT, (1, 0), id="found"),
        pytest.param(NOTHING, LEFT, (0, 374), id="missed"),
        pytest.param(LEFT, NOTHING, (0, 374), id="invented"),
        pytest.param(LEFT | RIGHT, NOTHING, (0, 374), id="invented twice"),
        pytest.param(LEFT, LEFT | RIGHT, (1 / 2, 374 / 2), id="one of two missed"),
        pytest.param(LEFT | RIGHT, LEFT, (1 / 2, 374 / 2), id="one of two invented"),
        pytest.param(LEFT, RIGHT, (0, 374), id="one missed and one invented"),
        pytest.param(cube(5), LEFT, (2 * 48 / 128, 1), id="shifted by one voxel"),
        pytest.param(cube(5) | RIGHT, LEFT | RIGHT, ((0.75 + 1) / 2, 1 / 2), id="mean over lesions"),
        pytest.param(cube(11), LEFT | RIGHT, (0, 374), id="three voxels beside it, which is not dilated"),
        pytest.param(LEFT | cube(20, 1), LEFT, (1 / 2, 374 / 2), id="a single voxel is a false positive"),
    ],
)
def test_lesions_and_false_positives_count_alike(
    prediction: np.ndarray, reference: np.ndarray, expected: tuple[float, float]
) -> None:
    found = lesion_score(prediction, reference, UNIT)
    assert (found.dice, found.hd95) == pytest.approx(expected)


def test_lesions_that_meet_when_dilated_are_one() -> None:
    near, apart = cube(4) | cube(14), cube(4) | cube(15)  # 6 and 7 voxels lie between; each grows by 3
    assert lesion_score(cube(4), near, UNIT).dice == pytest.approx(dice(cube(4), near))
    assert lesion_score(cube(4), near, UNIT).hd95 == hd95(cube(4), near, UNIT)
    assert lesion_score(cube(4), apart, UNIT).dice == pytest.approx(1 / 2)


def test_a_piece_within_the_dilation_of_a_lesion_belongs_to_it() -> None:
    near, far = cube(10, 1), cube(11, 1)  # the lesion ends with voxel 7, its dilation with voxel 10
    assert lesion_score(LEFT | near, LEFT, UNIT).dice == pytest.approx(2 * 64 / 129)
    assert lesion_score(LEFT | far, LEFT, UNIT).dice == pytest.approx(1 / 2)


def test_lesions_and_inventions_are_counted() -> None:
    crumbs = cube(22, 1) | cube(26, 1)
    found = lesion_score(LEFT | crumbs, LEFT | RIGHT, UNIT)
    assert (found.found, found.missed, found.invented) == (1, 1, 2)
    nothing = lesion_score(NOTHING, LEFT | RIGHT, UNIT)
    assert (nothing.found, nothing.missed, nothing.invented) == (0, 2, 0)


def test_one_piece_that_reaches_two_lesions_is_compared_with_each() -> None:
    bridge = np.zeros(SHAPE, bool)
    bridge[4:8, 8:12, 4:36] = True  # both lesions and all between them: 512 voxels
    found = lesion_score(bridge, LEFT | RIGHT, UNIT)
    assert found.dice == pytest.approx(2 * 64 / (512 + 64))


def test_lesions_of_up_to_fifty_cubic_millimeters_do_not_count() -> None:
    small = cube(4, 3)  # 27 voxels
    assert lesion_score(NOTHING, small, UNIT) == LesionScore(1.0, 0.0)
    assert lesion_score(small, small, UNIT) == LesionScore(1.0, 0.0), "what hits it is no false positive"
    assert lesion_score(RIGHT, small | RIGHT, UNIT) == LesionScore(1.0, 0.0, found=1)
    assert lesion_score(NOTHING, small, (1, 1, 2)).dice == 0, "54 cubic millimeters"


def test_the_border_of_the_image_changes_nothing() -> None:
    inside, corner = NOTHING.copy(), NOTHING.copy()
    inside[4:8, 8:12, 4:8] = True
    corner[:4, :4, :4] = True
    shifted = NOTHING.copy()
    shifted[:4, :4, 1:5] = True
    assert lesion_score(shifted, corner, UNIT) == lesion_score(np.roll(inside, 1, 2), inside, UNIT)


def test_every_scored_region_is_scored_and_small_enhancing_predictions_fall_to_nothing() -> None:
    reference, prediction = (np.zeros(SHAPE, np.uint8) for _ in range(2))
    reference[LEFT], prediction[LEFT] = TumorClass.ED, TumorClass.ED
    reference[RIGHT], prediction[RIGHT] = TumorClass.NCR, TumorClass.ET
    scores = score_regions(prediction, reference, UNIT)
    assert tuple(scores) == SCORED_REGIONS
    found = {region: (score.lesion_dice, score.lesion_hd95) for region, score in scores.items()}
    # of the 64 voxels of ET, fewer than 500, nothing is left
    assert found == {"WT": (1, 0), "TC": (1, 0), "ET": (0, 374), "ET>=500": (1, 0)}
    counts = {
        name: (score.lesions_found, score.lesions_missed, score.lesions_invented)
        for name, score in scores.items()
    }
    assert counts == {"WT": (2, 0, 0), "TC": (1, 0, 0), "ET": (0, 0, 1), "ET>=500": (0, 0, 0)}
