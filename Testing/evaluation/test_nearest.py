"""Nearest voxels by a tree and by a map, and scores of scattered predictions against plain definitions."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial.distance import cdist

from mask_scores import score
from MissingModalityLib.evaluation import nearest
from MissingModalityLib.evaluation.distances import between
from MissingModalityLib.evaluation.lesions import lesion_score
from MissingModalityLib.evaluation.nearest import Nearest
from MissingModalityLib.evaluation.region import Region, grown_lesions

SPACINGS = [(1.0, 1.0, 1.0), (1.3, 0.7, 2.9), (5.0, 0.9375, 0.9375)]
SHAPE = (20, 30, 26)


def scattered(seed: int, share: float, sigma: float) -> np.ndarray:
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=SHAPE), sigma)
    return noise > np.quantile(noise, 1 - share)


@pytest.mark.parametrize("spacing", SPACINGS)
def test_both_ways_tell_the_nearest_voxel_also_where_the_map_has_to_grow(
    spacing: tuple[float, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    random = np.random.default_rng(3)
    surface = np.unique(random.integers(8, 16, (60, 3)), axis=0)
    asked = [random.integers(low, high, (25, 3)) for low, high in ((8, 16), (4, 20), (0, 30), (0, 30))]
    for voxels in (0, 1_000_000):  # never and always a map
        monkeypatch.setattr(nearest, "_VOXELS_OF_A_MAP", voxels)
        known = Nearest(surface, spacing)
        for places in asked:
            found = known.of(places)
            apart = cdist(places * np.array(spacing), surface * np.array(spacing))
            np.testing.assert_allclose(found.mm, apart.min(1), atol=1e-12)
            np.testing.assert_allclose(apart[np.arange(25), found.voxel], apart.min(1), atol=1e-12)


def test_what_is_asked_often_is_answered_without_a_tree(monkeypatch: pytest.MonkeyPatch) -> None:
    surface = Region(scattered(0, 0.02, 2), SPACINGS[0]).places
    places = np.argwhere(scattered(1, 0.5, 1))
    known = Nearest(surface, SPACINGS[0])
    by_tree = [known.of(places[start : start + 20]) for start in range(0, 100, 20)]
    vars(known).pop("_tree")
    monkeypatch.setattr(nearest, "KDTree", None)
    by_map = known.of(places)
    assert np.array_equal(np.concatenate([found.mm for found in by_tree]), by_map.mm[:100])


@pytest.mark.parametrize("place", [(4, 5, 6), (3, 5, 6), (5, 6, 6), (2, 5, 5)])
def test_a_place_right_beside_the_map_is_not_read_from_it(
    place: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    surface = np.array([(3, 5, 5), (4, 5, 5), (4, 5, 6)])
    known = Nearest(surface, SPACINGS[0])
    known.of(surface)
    monkeypatch.setattr(nearest, "_VOXELS_OF_A_MAP", 0)
    assert known.of(np.array([place])).mm == pytest.approx(np.linalg.norm(surface - place, axis=1).min())


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("seed", range(4))
def test_scores_of_scattered_predictions_are_those_of_the_definition(
    seed: int, spacing: tuple[float, ...]
) -> None:
    truth = scattered(seed, 0.06, 2.5)
    region = Region(truth, spacing)
    for number, share in enumerate((0.3, 0.05, 0.4)):  # of one reference, as the subsets of a case
        found = scattered(100 * seed + number, share, 0.8)
        scores = lesion_score_of(Region(found, spacing), region)
        assert scores == pytest.approx(by_definition(found, truth, spacing), abs=1e-9)
        one_by_one = score(found, truth, spacing)
        assert one_by_one.lesion_hd95 == pytest.approx(scores[1], abs=1e-9)
        assert one_by_one.hd95 == pytest.approx(percentile95(found, truth, spacing), abs=1e-9)


def lesion_score_of(found: Region, truth: Region) -> tuple[float, float]:
    scores = lesion_score(found, truth, between(found, truth))
    return scores.dice, scores.hd95


def by_definition(found: np.ndarray, truth: np.ndarray, spacing: tuple[float, ...]) -> tuple[float, float]:
    """Lesion-wise Dice and HD95, every lesion and its pieces cut out and compared by themselves."""
    grown, count = grown_lesions(np.pad(truth, 3))
    grown = grown[3:-3, 3:-3, 3:-3]
    pieces, number = ndimage.label(found, np.ones((3, 3, 3)))
    invented = set(range(1, number + 1)) - set(pieces[grown > 0])
    scores = [(0.0, 374.0)] * len(invented)
    for lesion in range(1, count + 1):
        own = truth & (grown == lesion)
        if own.sum() * np.prod(spacing) <= 50:
            continue
        matched = np.isin(pieces, [piece for piece in np.unique(pieces[grown == lesion]) if piece])
        if not matched.any():
            scores.append((0.0, 374.0))
            continue
        overlap = 2 * (own & matched).sum() / (own.sum() + matched.sum())
        scores.append((overlap, percentile95(matched, own, spacing)))
    return tuple(np.mean(scores, axis=0))


def percentile95(one: np.ndarray, other: np.ndarray, spacing: tuple[float, ...]) -> float:
    surfaces = [
        np.argwhere(mask & ~ndimage.binary_erosion(mask)) * np.array(spacing) for mask in (one, other)
    ]
    apart = cdist(*surfaces)
    return max(np.percentile(apart.min(axis), 95) for axis in (0, 1))
