"""Counts of pieces give the Dice that the class map itself would have."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from mask_scores import lesion_score
from MissingModalityLib.core.labels import REGIONS, TumorClass, region_mask
from MissingModalityLib.evaluation.metrics import dice
from MissingModalityLib.evaluation.pieces import Pieces
from MissingModalityLib.inference.decision import drop_little_enhancing
from MissingModalityLib.inference.sliding_window import remove_small_components


def _blobs(seed: int) -> np.ndarray:
    """(20, 24, 28) classes in a dozen pieces of many sizes."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(20, 24, 28)), 1.2)
    return np.digitize(noise / noise.std(), (0.9, 1.3, 1.7)).astype(np.uint8)


@pytest.mark.parametrize("component", (0, 1, 5, 40, 10_000))
@pytest.mark.parametrize("enhancing", (0, 30, 120))
def test_dice_is_that_of_the_class_map_without_its_small_pieces(component: int, enhancing: int) -> None:
    classes, label = _blobs(0), _blobs(1)
    found = Pieces.of(classes, label).dice(component, enhancing)
    decided = drop_little_enhancing(remove_small_components(classes.copy(), component), enhancing)
    expected = [dice(region_mask(decided, region), region_mask(label, region)) for region in REGIONS]
    assert found == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("component", (0, 5, 40, 10_000))
@pytest.mark.parametrize("seed", (0, 2, 4))
def test_lesion_wise_dice_is_that_of_the_class_map_too(component: int, seed: int) -> None:
    classes, label = _blobs(seed), _blobs(seed + 1)
    decided = remove_small_components(classes.copy(), component)
    expected = lesion_score(region_mask(decided, "WT"), region_mask(label, "WT"), (1.0,) * 3)
    assert Pieces.of(classes, label).lesion_dice(component) == pytest.approx(expected.dice, abs=1e-8)


def test_stray_pieces_cost_as_much_as_lesions_that_were_missed() -> None:
    label = np.zeros((12, 12, 40), np.uint8)
    label[3:9, 3:9, 3:9] = TumorClass.ED
    classes = label.copy()
    classes[3:5, 3:5, 30:32] = TumorClass.ED  # 8 voxels
    found = Pieces.of(classes, label)
    assert found.lesion_dice(0) == pytest.approx(0.5) and found.lesion_dice(9) == pytest.approx(1)


def test_what_reaches_a_lesion_too_small_to_count_is_no_stray_piece() -> None:
    label = np.zeros((12, 12, 40), np.uint8)
    label[3:9, 3:9, 3:9] = label[3:5, 3:5, 30:32] = TumorClass.ED
    assert Pieces.of(label, label).lesion_dice(0) == pytest.approx(1)


def test_nothing_found_where_nothing_is_counts_as_right() -> None:
    nothing = np.zeros((4, 4, 4), np.uint8)
    assert Pieces.of(nothing, nothing).dice(100, 100) == pytest.approx([1, 1, 1])
    tumor = np.full((4, 4, 4), TumorClass.ED, np.uint8)
    assert Pieces.of(nothing, tumor).dice(100, 100)[0] < 1e-6
    assert Pieces.of(nothing, nothing).lesion_dice(0) == 1 and Pieces.of(nothing, tumor).lesion_dice(0) == 0
