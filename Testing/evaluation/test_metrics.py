"""Dice and HD95 against values one can work out by hand, MONAI and reference outputs."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.metrics import compute_hausdorff_distance, compute_surface_dice

from mask_scores import hd95, score, score_regions
from MissingModalityLib.core.errors import OptionError
from MissingModalityLib.core.labels import region_mask
from MissingModalityLib.evaluation.hd95_rules import HD95_RULES, check_definition, check_rule
from MissingModalityLib.evaluation.metrics import (
    ET_FILTERED,
    ET_MINIMUM_VOXELS,
    SCORED_REGIONS,
    dice,
    drop_small,
)
from MissingModalityLib.evaluation.region import Region

pytestmark = pytest.mark.filterwarnings("ignore:.*always_return_as_numpy:FutureWarning")  # MONAI's own call

SHAPE = (12, 20, 30)
UNIT = (1.0, 1.0, 1.0)


def box(z: slice, y: slice, x: slice, shape: tuple[int, int, int] = SHAPE) -> np.ndarray:
    mask = np.zeros(shape, bool)
    mask[z, y, x] = True
    return mask


def blob(seed: int, shape: tuple[int, int, int] = (40, 44, 48)) -> np.ndarray:
    """A ball with a ragged surface and a few stray voxels."""
    rng = np.random.default_rng(seed)
    center = rng.uniform(0.35, 0.65, 3) * shape
    distance = np.linalg.norm(np.moveaxis(np.indices(shape), 0, -1) - center, axis=-1)
    return (distance + rng.normal(0, 1.5, shape) < rng.uniform(7, 11)) | (rng.random(shape) < 2e-4)


CUBE = box(slice(2, 6), slice(4, 8), slice(10, 14))  # 4 x 4 x 4 voxels
EMPTY = np.zeros(SHAPE, bool)


@pytest.mark.parametrize(
    ("prediction", "reference", "expected"),
    [
        pytest.param(CUBE, CUBE, 1.0, id="equal"),
        pytest.param(CUBE, np.roll(CUBE, 1, axis=2), 2 * 48 / 128, id="shifted by one of four voxels"),
        pytest.param(CUBE, np.roll(CUBE, 8, axis=2), 0.0, id="apart"),
        pytest.param(
            CUBE, box(slice(2, 6), slice(4, 8), slice(10, 12)), 2 * 32 / 96, id="half of it missing"
        ),
        pytest.param(EMPTY, EMPTY, 1.0, id="both empty"),
        pytest.param(EMPTY, CUBE, 1e-8 / 64, id="missed"),
        pytest.param(CUBE, EMPTY, 1e-8 / 64, id="invented"),
    ],
)
def test_dice_is_overlap_over_mean_size(
    prediction: np.ndarray, reference: np.ndarray, expected: float
) -> None:
    assert dice(prediction, reference) == pytest.approx(expected, rel=1e-6, abs=1e-9)
    assert dice(reference, prediction) == dice(prediction, reference)


@pytest.mark.parametrize(
    ("shift", "axis", "spacing", "expected"),
    [
        pytest.param(0, 0, UNIT, 0.0, id="equal"),
        # more than 5 % of the surface lies on the face that moved: the distance is the shift
        pytest.param(1, 2, UNIT, 1.0, id="one voxel"),
        pytest.param(8, 2, UNIT, 8.0, id="eight voxels"),
        pytest.param(1, 0, (5.5, 0.9, 0.9), 5.5, id="one thick slice"),
        pytest.param(3, 2, (5.5, 0.9, 0.9), 2.7, id="three thin columns"),
    ],
)
def test_hd95_of_a_shifted_cube_is_the_shift_in_mm(
    shift: int, axis: int, spacing: tuple[float, float, float], expected: float
) -> None:
    moved = np.roll(CUBE, shift, axis)
    assert hd95(CUBE, moved, spacing) == pytest.approx(expected)
    assert hd95(moved, CUBE, spacing) == pytest.approx(expected)


def test_hd95_forgives_strays_below_five_percent_of_the_surface() -> None:
    plate = box(slice(0, 1), slice(0, 10), slice(0, 10))  # 100 surface voxels
    few, many = plate.copy(), plate.copy()
    few[0, 19, 29] = True  # 1 of 101
    many[0, 19, 20:30] = True  # 10 of 110
    assert hd95(few, plate, UNIT) == 0.0
    assert hd95(many, plate, UNIT) > 10.0


def test_pooled_hd95_is_of_both_directions_together() -> None:
    line, end = (box(slice(5, 6), slice(5, 6), slice(0, last)) for last in (20, 1))
    # from the end's one voxel 0 mm, from the line's 0, 1 ... 19 mm: 95 % of the way up 20 and up 21 of them
    assert hd95(end, line, UNIT, "zero", "directed") == pytest.approx(18.05)
    assert hd95(end, line, UNIT, "zero", "pooled") == hd95(line, end, UNIT, "zero", "pooled") == 18
    plate = box(slice(0, 1), slice(0, 10), slice(0, 10))  # 100 surface voxels
    strays = plate | box(slice(0, 1), slice(19, 20), slice(20, 30))  # 10 of 110, and 10 of the 210 of both
    assert hd95(strays, plate, UNIT) > 10
    assert hd95(strays, plate, UNIT, "zero", "pooled") == 0


def test_an_empty_region_scores_the_same_by_either_definition() -> None:
    for rule in HD95_RULES:
        assert hd95(EMPTY, CUBE, UNIT, rule, "pooled") == hd95(EMPTY, CUBE, UNIT, rule)


def test_hd95_counts_from_surface_to_surface() -> None:
    solid = box(slice(1, 10), slice(1, 10), slice(1, 10))
    shell = solid & ~box(slice(3, 8), slice(3, 8), slice(3, 8))
    assert hd95(shell, solid, UNIT) == pytest.approx(1.0)  # 150 of 536 surface voxels face the hollow


@pytest.mark.parametrize("spacing", [UNIT, (5.5, 0.9, 0.9), (0.7, 1.3, 2.0)])
@pytest.mark.parametrize("seed", range(3))
def test_surface_scores_equal_monais(seed: int, spacing: tuple[float, float, float]) -> None:
    prediction, reference = blob(seed), blob(seed + 100)
    masks = [torch.from_numpy(mask)[None, None] for mask in (prediction, reference)]
    more = {"include_background": True, "spacing": spacing}
    found = score(prediction, reference, spacing)
    assert found.hd95 == pytest.approx(compute_hausdorff_distance(*masks, percentile=95, **more).item(), 1e-5)
    for own, tolerance in ((found.surface_dice_1mm, 1.0), (found.surface_dice_2mm, 2.0)):
        assert own == pytest.approx(compute_surface_dice(*masks, [tolerance], **more).item(), 1e-5)


def test_surface_dice_is_the_share_of_surface_within_the_tolerance() -> None:
    thin, thick = (box(slice(0, 1), slice(0, 10), slice(0, last)) for last in (10, 12))
    # all 100 voxels lie on the other plate, and of its 120 the 10 within 1 mm, or all
    found = score(thin, thick, UNIT)
    assert (found.surface_dice_1mm, found.surface_dice_2mm) == (pytest.approx(210 / 220), 1)
    assert score(EMPTY, EMPTY, UNIT).surface_dice_1mm == 1
    assert score(EMPTY, CUBE, UNIT).surface_dice_2mm == score(CUBE, EMPTY, UNIT).surface_dice_2mm == 0


def test_ratios_of_counts_are_what_their_names_say() -> None:
    half = box(slice(2, 6), slice(4, 8), slice(10, 18))  # the cube of 64 voxels and 64 beside it
    found = score(half, CUBE, UNIT)
    assert (found.sensitivity, found.precision, found.iou) == (1, 0.5, pytest.approx(0.5))
    assert found.specificity == 1 - 64 / (12 * 20 * 30 - 64)
    turned = score(CUBE, half, UNIT)
    assert (turned.sensitivity, turned.precision, turned.specificity) == (0.5, 1, 1)


def test_what_nothing_can_be_a_share_of_is_not_told() -> None:
    missed, invented, neither = (
        score(*masks, UNIT) for masks in ((EMPTY, CUBE), (CUBE, EMPTY), (EMPTY, EMPTY))
    )
    assert [found.sensitivity for found in (missed, invented, neither)] == [0, None, None]
    assert [found.precision for found in (missed, invented, neither)] == [None, 0, None]
    assert [found.iou for found in (missed, invented, neither)] == pytest.approx([0, 0, 1], abs=1e-9)


def test_hd95_equals_monai_where_masks_touch_the_border() -> None:
    prediction = box(slice(0, 4), slice(0, 20), slice(0, 9))
    reference = box(slice(8, 12), slice(12, 20), slice(25, 30))
    theirs = compute_hausdorff_distance(
        torch.from_numpy(prediction)[None, None],
        torch.from_numpy(reference)[None, None],
        include_background=True,
        percentile=95,
    )
    assert hd95(prediction, reference, UNIT) == pytest.approx(theirs.item(), rel=1e-5)


DIAGONAL = math.sqrt(12**2 + 20**2 + 30**2)


@pytest.mark.parametrize(
    ("rule", "missed", "invented"),
    [("penalty", DIAGONAL, DIAGONAL), ("false_positive", 0.0, DIAGONAL), ("zero", 0.0, 0.0)],
)
def test_empty_regions_score_as_the_rule_says(rule: str, missed: float, invented: float) -> None:
    assert rule in HD95_RULES
    assert hd95(EMPTY, CUBE, UNIT, rule) == pytest.approx(missed)
    assert hd95(CUBE, EMPTY, UNIT, rule) == pytest.approx(invented)
    assert hd95(EMPTY, EMPTY, UNIT, rule) == 0.0


def test_the_default_penalty_is_the_diagonal_of_the_image_in_mm() -> None:
    brats = np.zeros((155, 240, 240), bool)
    voxel = brats.copy()
    voxel[70, 120, 120] = True
    assert hd95(voxel, brats, UNIT) == pytest.approx(373.13, abs=0.005)
    assert hd95(CUBE, EMPTY, (5.5, 0.9, 0.9)) == pytest.approx(math.hypot(12 * 5.5, 20 * 0.9, 30 * 0.9))


def test_an_unknown_rule_names_those_there_are() -> None:
    with pytest.raises(OptionError, match=r"'nan'.*penalty, false_positive, zero"):
        check_rule("nan")
    with pytest.raises(OptionError, match=r"'pooling'.*mean pooled.*directed, pooled"):
        check_definition("pooling")


def test_different_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="shape"):
        dice(CUBE, CUBE[1:])
    with pytest.raises(ValueError, match="shape"):
        hd95(CUBE, CUBE[1:], UNIT)


def test_regions_nest_and_small_enhancing_predictions_fall_to_nothing() -> None:
    reference = np.zeros((20, 20, 20), np.uint8)
    reference[2:12, 2:12, 2:12] = 2  # 1000 voxels of whole tumor
    reference[4:8, 4:8, 4:8] = 1  # 64 of them necrotic
    prediction = reference.copy()
    prediction[5, 5, 5] = 3  # an enhancing voxel that the reference does not have
    scores = score_regions(prediction, reference, UNIT)
    assert tuple(scores) == SCORED_REGIONS == ("WT", "TC", "ET", "ET>=500")
    assert scores["WT"].dice == scores["TC"].dice == 1.0
    assert (scores["WT"].reference, scores["TC"].reference, scores["ET"].reference) == (1000, 64, 0)
    assert scores["ET"].dice < 1e-6
    assert scores["ET"].hd95 == pytest.approx(20 * math.sqrt(3))
    assert scores[ET_FILTERED].dice == 1.0
    assert scores[ET_FILTERED].hd95 == 0.0
    assert (scores["ET"].predicted, scores[ET_FILTERED].predicted) == (1, 0)


def test_five_hundred_voxels_are_enough() -> None:
    mask = np.zeros((20, 10, 10), bool)
    mask.ravel()[:499] = True
    assert drop_small(Region(mask, UNIT)).voxels == 0
    mask.ravel()[499] = True
    assert drop_small(Region(mask, UNIT)).voxels == 500


@pytest.mark.parametrize("index", range(3))
def test_dice_equals_the_reference_code(golden: Callable[[str], Path], index: int) -> None:
    arrays = np.load(golden("rfnet_losses"))
    output, target = (arrays[f"in/metric{index}/{name}"] for name in ("output", "target"))
    # the reference code pools the batch when it counts enhancing voxels; a case of ours is a batch of one
    filtered = region_mask(output, "ET")
    filtered &= np.count_nonzero(filtered) >= ET_MINIMUM_VOXELS
    for sample in range(len(output)):
        separate = [dice(output[sample] == cls, target[sample] == cls) for cls in (1, 2, 3)]
        evaluation = [
            dice(region_mask(output[sample], region), region_mask(target[sample], region))
            for region in ("WT", "TC", "ET")
        ]
        evaluation.append(dice(filtered[sample], region_mask(target[sample], "ET")))
        np.testing.assert_allclose(separate, arrays[f"metric{index}/separate"][sample], rtol=1e-5)
        np.testing.assert_allclose(evaluation, arrays[f"metric{index}/evaluation"][sample], rtol=1e-5)
        if len(output) == 1:
            scores = score_regions(output[sample], target[sample], UNIT)
            np.testing.assert_allclose([score.dice for score in scores.values()], evaluation, rtol=1e-6)
    assert json.loads(str(arrays["meta_json"]))["source"].startswith("Asymmetry-BTS RFNet")


def test_scoring_a_whole_case_takes_seconds() -> None:
    shape = (155, 240, 240)
    distance = np.linalg.norm(np.moveaxis(np.indices(shape, np.float32), 0, -1) - (75, 120, 90), axis=-1)
    reference = np.select([distance < 15, distance < 20, distance < 40], [1, 3, 2]).astype(np.uint8)
    prediction = np.roll(reference, 7, axis=1)
    prediction[140:142, 20:25, 200:205] = 2
    start = time.process_time()  # what others do on a busy machine does not count
    scores = score_regions(prediction, reference, UNIT)
    assert time.process_time() - start < 20  # 2 s on one core
    assert scores["TC"].hd95 == pytest.approx(7, abs=0.5)
