"""What the levels of augmentation draw: how often each change, and how far, as their papers say."""

from __future__ import annotations

import numpy as np
import pytest

from MissingModalityLib.training.augmentation import draw


def rotation_degrees(affine: np.ndarray) -> float:
    return float(np.degrees(np.arccos(np.clip((np.trace(affine) - 1) / 2, -1, 1))))


def test_the_papers_level_rotates_about_one_axis_and_scales_and_shifts():
    draws = [draw("paper", np.random.default_rng(seed)) for seed in range(200)]
    axes, angles = [], []
    for drawn in draws:
        fixed = [a for a in range(3) if drawn["affine"][a, a] == 1]
        assert len(fixed) == 1 and abs(np.linalg.det(drawn["affine"]) - 1) < 1e-5
        axes += fixed
        angles.append(rotation_degrees(drawn["affine"]))
        assert not drawn["bias"].any() and not drawn["blur"].any() and not drawn["noise"].any()
        assert (drawn["gamma"] == 1).all()
    assert max(angles) < 10.01 and 4 < np.mean(angles) < 6
    assert min(np.bincount(axes)) > 40, "each axis gets its third"
    scale, shift = (np.stack([drawn[name] for drawn in draws]) for name in ("scale", "shift"))
    assert 0.9 <= scale.min() < 0.91 and 1.09 < scale.max() <= 1.1
    assert -0.1 <= shift.min() < -0.09 and 0.09 < shift.max() <= 0.1
    assert 0.4 < np.mean([drawn["flip"] for drawn in draws]) < 0.6


def test_the_strong_level_draws_each_change_as_often_and_as_far_as_it_says():
    draws = [draw("strong", np.random.default_rng(seed)) for seed in range(1000)]
    stacked = {name: np.stack([drawn[name] for drawn in draws]) for name in draws[0]}
    moved = (stacked["affine"] != np.eye(3)).any(axis=(1, 2))
    assert moved.mean() == pytest.approx(0.7, abs=0.05)
    volume = np.linalg.det(stacked["affine"][moved].astype(np.float64))
    assert 0.85**3 * 0.95 < volume.min() < 0.8 and 1.25 < volume.max() < 1.15**3 * 1.05
    assert (
        20
        < max(rotation_degrees(affine / np.cbrt(np.linalg.det(affine))) for affine in stacked["affine"])
        < 40
    )
    limits = {
        "bias": (0, 0.2, -0.15, 0.15),
        "blur": (0, 0.15, 0.4, 1.0),
        "gamma": (1, 0.4, 0.7, 1.5),
        "scale": (1, 0.8, 0.75, 1.25),
        "shift": (0, 0.8, -0.25, 0.25),
        "noise": (0, 0.25, 0.0, 0.15),
    }
    for name, (neutral, probability, low, high) in limits.items():
        values = stacked[name].reshape(4000, -1)
        happened = (values != neutral).any(axis=1)
        assert happened.mean() == pytest.approx(probability, abs=0.04), name
        assert low - 1e-6 <= values[happened].min() and values[happened].max() <= high + 1e-6, name
        # modalities are drawn apart: all four alike is as rare as four draws of the same kind make it
        alike = happened.reshape(1000, 4).all(axis=1).mean()
        assert alike == pytest.approx(probability**4, abs=0.06), name


def test_nnunets_level_draws_each_change_as_often_and_as_far_as_its_paper_says():
    draws = [draw("nnunet", np.random.default_rng(seed)) for seed in range(1000)]
    stacked = {name: np.stack([drawn[name] for drawn in draws]) for name in draws[0]}
    size = np.cbrt(np.linalg.det(stacked["affine"].astype(np.float64)))
    resized = abs(size - 1) > 1e-6
    turned = np.array([rotation_degrees(a / s) > 0.1 for a, s in zip(stacked["affine"], size, strict=True)])
    assert resized.mean() == pytest.approx(0.2, abs=0.04) and turned.mean() == pytest.approx(0.2, abs=0.04)
    assert 0.7 - 1e-6 <= size.min() < 0.75 and 1.35 < size.max() <= 1.4 + 1e-6
    limits = {
        "blur": (0, 0.1, 0.5, 1.5),
        "stretch": (1, 0.15, 0.65, 1.5),
        "coarseness": (1, 0.125, 1, 2),
        "inverted_gamma": (1, 0.15, 0.7, 1.5),
        "gamma": (1, 0.15, 0.7, 1.5),
        "scale": (1, 0.15, 0.7, 1.3),
        "noise": (0, 0.15, 0, 0.1**0.5),
    }
    for name, (neutral, probability, low, high) in limits.items():
        values = stacked[name].reshape(4000, -1)
        happened = (values != neutral).any(axis=1)
        assert happened.mean() == pytest.approx(probability, abs=0.03), name
        assert low - 1e-6 <= values[happened].min() and values[happened].max() <= high + 1e-6, name
    assert not stacked["shift"].any() and not stacked["bias"].any()
