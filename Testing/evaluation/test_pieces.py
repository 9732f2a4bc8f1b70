"""Counts of pieces give the Dice that the class map itself would have."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from mask_scores import lesion_score
from MissingModalityLib.core.labels import REGIONS, TumorClass, region_mask
from MissingModalityLib.evaluation.metrics import dice
from MissingModalityLib.evaluation.pieces import kept_pieces, pieces_of
from MissingModalityLib.inference.decision import drop_little_enhancing, relabel_small_components


def _blobs(seed: int) -> np.ndarray:
    """(20, 24, 28) classes in a dozen pieces of many sizes."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(20, 24, 28)), 1.2)
    return np.digitize(noise / noise.std(), (0.9, 1.3, 1.7)).astype(np.uint8)


def _decided(classes: np.ndarray, sizes: dict[str, int], enhancing: int = 0) -> np.ndarray:
    decided = classes.copy()
    for region, size in sizes.items():
        relabel_small_components(decided, region, size)
    return drop_little_enhancing(decided, enhancing)


def _dice(classes: np.ndarray, label: np.ndarray, sizes: dict[str, int], enhancing: int = 0) -> list[float]:
    pieces = pieces_of(classes, label)
    kept = kept_pieces(pieces, sizes, enhancing)
    return [pieces[region].dice(kept[region]) for region in REGIONS]


def _lesion_dice(classes: np.ndarray, label: np.ndarray, sizes: dict[str, int], region: str) -> float:
    pieces = pieces_of(classes, label)
    return pieces[region].lesion_dice(kept_pieces(pieces, sizes)[region])


SIZES = (
    dict.fromkeys(REGIONS, 0),
    {"WT": 5, "TC": 0, "ET": 1},
    {"WT": 40, "TC": 9, "ET": 0},
    {"WT": 0, "TC": 4, "ET": 15},
    {"WT": 40, "TC": 25, "ET": 15},
    dict.fromkeys(REGIONS, 10_000),
)
NONE = SIZES[0]


@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("enhancing", (0, 30, 120))
def test_dice_is_that_of_the_class_map_without_its_small_pieces(sizes: dict, enhancing: int) -> None:
    classes, label = _blobs(0), _blobs(1)
    decided = _decided(classes, sizes, enhancing)
    expected = [dice(region_mask(decided, region), region_mask(label, region)) for region in REGIONS]
    assert _dice(classes, label, sizes, enhancing) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("seed", (0, 2, 4))
@pytest.mark.parametrize("region", REGIONS)
def test_lesion_wise_dice_is_that_of_the_class_map_too(sizes: dict, seed: int, region: str) -> None:
    classes, label = _blobs(seed), _blobs(seed + 1)
    decided = _decided(classes, sizes)
    expected = lesion_score(region_mask(decided, region), region_mask(label, region), (1.0,) * 3)
    assert _lesion_dice(classes, label, sizes, region) == pytest.approx(expected.dice, abs=1e-8)


def test_stray_pieces_cost_as_much_as_lesions_that_were_missed() -> None:
    label = np.zeros((12, 12, 40), np.uint8)
    label[3:9, 3:9, 3:9] = TumorClass.ED
    classes = label.copy()
    classes[3:5, 3:5, 30:32] = TumorClass.ED  # 8 voxels
    assert _lesion_dice(classes, label, NONE, "WT") == pytest.approx(0.5)
    assert _lesion_dice(classes, label, {**NONE, "WT": 9}, "WT") == pytest.approx(1)


def test_what_reaches_a_lesion_too_small_to_count_is_no_stray_piece() -> None:
    label = np.zeros((12, 12, 40), np.uint8)
    label[3:9, 3:9, 3:9] = label[3:5, 3:5, 30:32] = TumorClass.ED
    assert _lesion_dice(label, label, NONE, "WT") == pytest.approx(1)


def test_nothing_found_where_nothing_is_counts_as_right() -> None:
    nothing = np.zeros((4, 4, 4), np.uint8)
    tumor = np.full((4, 4, 4), TumorClass.ED, np.uint8)
    hundred = dict.fromkeys(REGIONS, 100)
    assert _dice(nothing, nothing, hundred, 100) == pytest.approx([1, 1, 1])
    assert _dice(nothing, tumor, hundred, 100)[0] < 1e-6
    assert _lesion_dice(nothing, nothing, NONE, "WT") == 1 and _lesion_dice(nothing, tumor, NONE, "WT") == 0
