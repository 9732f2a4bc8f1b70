"""Augmentation keeps image and label together, air empty and a sample's result its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields

import numpy as np
import pytest
import torch
from scipy.ndimage import affine_transform
from scipy.spatial.transform import Rotation
from scipy.stats import norm
from torch import Tensor
from torch.utils.data import default_collate

from MissingModalityLib.training import augmentation_draw
from MissingModalityLib.training.augmentation import AUGMENTATIONS, apply, draw
from MissingModalityLib.training.augmentation_acquisition import coarser
from MissingModalityLib.training.augmentation_intensities import stretched, with_inverted_gamma
from MissingModalityLib.training.settings import Settings

SIZE = (22, 27, 25)
"""Odd, even and unequal, so that no axis can pass for another."""
MOVING = ("paper", "strong")
"""Levels whose geometry is mild."""


def drawn_for(level: str, *seeds: int, **changed: np.ndarray) -> dict[str, Tensor]:
    """A batch's parameters, one seed per sample; ``changed`` replaces some for every sample."""
    samples = [draw(level, np.random.default_rng(seed)) | changed for seed in seeds]
    return default_collate(samples)


def unchanging(**changed: object) -> dict[str, Tensor]:
    """Parameters of one sample that change nothing, but for ``changed``."""
    neutral = {
        "affine": np.eye(3),
        "flip": np.zeros(3, bool),
        "bias": np.zeros((4, 3, 3, 3)),
        "blur": np.zeros((4, 3)),
        "gamma": np.ones(4),
        "scale": np.ones(4),
        "shift": np.zeros(4),
        "noise": np.zeros(4),
    }
    one = draw("paper", np.random.default_rng(0))
    one |= {name: np.asarray(value, one[name].dtype) for name, value in (neutral | changed).items()}
    return default_collate([one])


def batch(samples: int = 1, size: tuple[int, int, int] = SIZE) -> tuple[Tensor, Tensor]:
    """Random intensities in a box of brain, air around it, no T1, and a tumor of two classes."""
    random = np.random.default_rng(5)
    image = random.normal(size=(samples, 4, *size)).astype(np.float32)
    air = np.ones(size, bool)
    air[3:-3, 2:-4, 5:-2] = False
    image[:, :, air] = 0
    image[:, 2] = 0
    label = np.zeros((samples, *size), np.uint8)
    label[:, 8:16, 9:18, 9:17] = 3
    label[:, 10:13, 11:15, 10:14] = 1
    return torch.from_numpy(image), torch.from_numpy(label)


def moved_by_scipy(volume: Tensor, affine: np.ndarray, order: int) -> np.ndarray:
    center = (np.array(volume.shape) - 1) / 2
    return affine_transform(
        volume.numpy(), affine, center - affine @ center, order=order, mode="grid-constant", cval=0
    )


def test_settings_offer_the_levels_there_are():
    allowed = next(item.metadata["allowed"] for item in fields(Settings) if item.name == "augmentation")
    assert allowed == f"one of {', '.join(AUGMENTATIONS)}"


def test_level_none_draws_and_changes_nothing():
    image, label = batch()
    drawn = drawn_for("none", 0)
    assert drawn == {}
    same_image, same_label = apply(image, label, drawn)
    assert torch.equal(same_image, image) and torch.equal(same_label, label)


@pytest.mark.parametrize("level", [*MOVING, "nnunet"])
def test_draws_have_one_shape_and_are_repeatable(level):
    first = draw(level, np.random.default_rng(1))
    for seed in range(30):
        one, again = (draw(level, np.random.default_rng(seed)) for _ in range(2))
        assert {name: (a.shape, a.dtype) for name, a in one.items()} == {
            name: (a.shape, a.dtype) for name, a in first.items()
        }
        assert all(np.array_equal(one[name], again[name]) for name in one)
    assert sum(array.nbytes for array in first.values()) < 1000


def test_a_stretched_volume_keeps_its_range():
    volumes = torch.tensor([-2.0, -1.0, 0.5, 3.0]).view(1, 1, 2, 2).repeat(2, 1, 1, 1)
    wide, narrow = stretched(volumes, torch.tensor([1.5, 0.5]))
    assert wide.flatten().tolist() == [-2, -1.5, 0.75, 3]
    assert narrow.flatten().tolist() == [
        -1,
        -0.5,
        0.25,
        1.5,
    ]


def test_inverted_gamma_bends_the_dark_as_gamma_does_the_bright():
    volumes = torch.linspace(-1, 3, 8).view(1, 2, 2, 2)
    found = with_inverted_gamma(volumes, torch.tensor([1.5]))
    torch.testing.assert_close((3 - found) / 4, ((3 - volumes) / 4) ** 1.5)


def test_a_coarser_volume_is_linear_between_every_second_voxel():
    volume = torch.arange(9.0).square().view(1, 9, 1, 1).expand(2, 9, 3, 2).contiguous()
    coarse, same = coarser(volume, torch.tensor([2.0, 1.0]))
    assert coarse[:, 0, 0].tolist() == [0, 2, 4, 10, 16, 26, 36, 50, 64]
    assert torch.equal(same, volume[1])


@pytest.mark.parametrize("level", MOVING)
def test_air_and_missing_channels_stay_empty_and_labels_whole(level):
    image, label = batch(12)
    before = image.clone(), label.clone()
    moved, target = apply(image, label, drawn_for(level, *range(12)))
    assert torch.equal(image, before[0]) and torch.equal(label, before[1]), "the input stays as it was"
    assert moved.shape == image.shape and moved.dtype == torch.float32 and moved.isfinite().all()
    assert target.shape == label.shape and target.dtype == torch.uint8
    assert not moved[:, 2].any(), "a missing channel stays empty"
    assert set(target.unique().tolist()) == {0, 1, 3}
    air = (moved[:, 0] == 0).float().mean((1, 2, 3))
    assert ((moved[:, 0] == 0) == (moved[:, 3] == 0)).all(), "all modalities share their air"
    assert (air > 0.2).all() and (air < 0.8).all()
    volumes = (target > 0).sum((1, 2, 3)) / (label > 0).sum((1, 2, 3))
    assert (volumes > 0.5).all() and (volumes < 2).all()
    assert not torch.equal(moved[0], moved[1])


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("level", [*MOVING, "nnunet"])
def test_a_samples_result_depends_neither_on_its_batch_nor_on_global_state(level, threads):
    image, label = batch(6)
    often = {"blur": np.full((4, 3), 0.7, np.float32), "noise": np.full(4, 0.1, np.float32)}
    drawn = drawn_for(level, *range(6), **(often if level == "strong" else {}))
    used = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        state = torch.get_rng_state()
        together, labels = apply(image, label, drawn)
        assert torch.equal(torch.get_rng_state(), state)
        torch.manual_seed(99)
        for i in range(6):
            one = {name: value[i : i + 1] for name, value in drawn.items()}
            alone, its_label = apply(image[i : i + 1], label[i : i + 1], one)
            assert torch.equal(alone[0], together[i]) and torch.equal(its_label[0], labels[i])
    finally:
        torch.set_num_threads(used)


@pytest.mark.parametrize("axes", [(), (0,), (1,), (2,), (0, 2), (0, 1, 2)])
def test_flips_are_exact(axes):
    image, label = batch()
    flip = np.isin(np.arange(3), axes)
    moved, target = apply(image, label, unchanging(flip=flip))
    assert torch.equal(moved, image.flip([axis + 2 for axis in axes]))
    assert torch.equal(target, label.flip([axis + 1 for axis in axes]))


def test_a_quarter_turn_is_a_quarter_turn():
    image, label = batch(1, (24, 24, 24))
    turn = np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]])  # what lands on (y, x) comes from (x, -y)
    moved, target = apply(image, label, unchanging(affine=turn))
    torch.testing.assert_close(moved, torch.rot90(image, 1, (3, 4)), rtol=0, atol=1e-4)
    assert torch.equal(target, torch.rot90(label, 1, (2, 3)))


@pytest.mark.parametrize("flip", [(False, False, False), (True, False, True)])
@pytest.mark.parametrize("seed", range(4))
def test_geometry_equals_scipys(seed, flip):
    affine = next(
        drawn["affine"]
        for drawn in (draw("strong", np.random.default_rng((seed, i))) for i in range(100))
        if not np.array_equal(drawn["affine"], np.eye(3))
    ).astype(np.float64)
    image, label = batch()
    moved, target = apply(image, label, unchanging(affine=affine, flip=np.array(flip)))
    axes = [axis for axis in range(3) if flip[axis]]
    for channel in (0, 1, 3):
        brain = moved_by_scipy((image[0, channel] != 0).float(), affine, order=0)
        expected = np.flip(moved_by_scipy(image[0, channel], affine, order=1) * brain, axes)
        # a rounding at the brain's border or halfway between voxels may fall to either side
        assert (np.abs(moved[0, channel].numpy() - expected) > 1e-3).mean() < 1e-3
    assert (target[0].numpy() != np.flip(moved_by_scipy(label[0], affine, order=0), axes)).mean() < 1e-3


@pytest.mark.parametrize("level", MOVING)
def test_image_and_label_stay_aligned(level):
    size = (40, 36, 44)
    label = torch.zeros(1, *size, dtype=torch.uint8)
    label[:, 8:22, 10:26, 14:32] = 3
    image = (1 + 9 * (label == 3).float())[:, None].repeat(1, 4, 1, 1, 1)
    quiet = {name: value for name, value in unchanging().items() if name not in ("affine", "flip")}
    for seed in range(10):
        moved, target = apply(image, label, {**drawn_for(level, seed), **quiet})
        inside, marked = moved[0, 1] > 5.5, target[0] == 3
        dice = 2 * (inside & marked).sum() / (inside.sum() + marked.sum())
        assert dice > 0.95, seed


def test_edges_do_not_smear_into_the_air():
    image, label = batch()
    image[image != 0] = 100.0
    moved, _ = apply(image, label, unchanging(affine=draw("paper", np.random.default_rng(3))["affine"]))
    inside = moved[0, 0][moved[0, 0] != 0]
    assert inside.min() > 12, "a voxel of the moved brain has at least an eighth of brain in it"
    assert abs(len(inside) / int((image[0, 0] != 0).sum()) - 1) < 0.05, "the brain grows by no rim"


def changed_by(image: Tensor, **changed: object) -> Tensor:
    """One sample's image after changes of intensity alone."""
    return apply(image, torch.zeros(1, *image.shape[2:], dtype=torch.uint8), unchanging(**changed))[0]


def test_scale_and_shift_reach_the_brain_of_their_own_modality():
    image, _ = batch()
    scale, shift = (0.9, 1.0, 1.1, 1.2), (0.1, 0.0, -0.2, 0.3)
    moved = changed_by(image, scale=scale, shift=shift)
    factor, addition = (torch.tensor(values).view(1, 4, 1, 1, 1) for values in (scale, shift))
    torch.testing.assert_close(moved, torch.where(image != 0, image * factor + addition, 0))


def test_bias_field_is_the_exponential_of_legendre_polynomials():
    image, _ = batch()
    coefficients = draw("strong", np.random.default_rng(0))["bias"] * 0
    coefficients[1] = np.random.default_rng(1).uniform(-0.15, 0.15, (3, 3, 3))
    moved = changed_by(image, bias=coefficients)
    axes = [np.linspace(-1, 1, n) for n in SIZE]
    field = np.exp(np.polynomial.legendre.leggrid3d(*axes, coefficients[1]))
    np.testing.assert_allclose(moved[0, 1], image[0, 1].numpy() * field, rtol=1e-4, atol=1e-6)
    assert torch.equal(moved[0, [0, 2, 3]], image[0, [0, 2, 3]])


def test_blur_spreads_a_point_by_its_sigmas_and_keeps_its_sum():
    image = torch.full((1, 4, 21, 23, 25), 1e-9)  # brain everywhere
    image[0, 3, 10, 11, 12] = 1
    sigmas = np.array([[0, 0, 0]] * 3 + [[0.4, 0.7, 1.0]])
    moved = changed_by(image, blur=sigmas)[0, 3]
    assert moved.sum() == pytest.approx(1, abs=1e-3)
    for axis, sigma in enumerate(sigmas[3]):
        profile = moved.sum([a for a in range(3) if a != axis])
        borders = np.arange(len(profile) + 1) - len(profile) / 2
        np.testing.assert_allclose(profile, np.diff(norm.cdf(borders, scale=sigma)), atol=1e-4)


def test_gamma_bends_between_the_lowest_and_the_highest_intensity():
    image, _ = batch()
    moved = changed_by(image, gamma=(1, 1.5, 0.7, 1))
    before, after = image[0, 1], moved[0, 1]
    low, high = before.min(), before.max()
    expected = ((before - low) / (high - low)) ** 1.5 * (high - low) + low
    torch.testing.assert_close(after, torch.where(before != 0, expected, 0), rtol=1e-4, atol=1e-5)
    assert torch.equal(moved[0, [0, 2, 3]], image[0, [0, 2, 3]])


def test_noise_follows_its_seed_alone():
    image = torch.full((1, 4, 30, 30, 30), 5.0)
    noise = (0.15, 0.0, 0.05, 0.15)

    def noisy(*seeds: int) -> Tensor:
        return changed_by(image, noise=noise, seed=seeds)[0] - 5

    first = noisy(7, 8, 9, 7)
    assert first.flatten(1).std(1).tolist() == pytest.approx(noise, rel=0.03, abs=1e-9)
    assert first.flatten(1).mean(1).abs().max() < 0.01
    assert torch.equal(first[0], first[3]), "the same seed, the same noise"
    other = noisy(7, 8, 10, 11)
    assert torch.equal(first[0], other[0]) and not torch.equal(first[2], other[2])
    assert abs(np.corrcoef(other[0].flatten(), other[3].flatten())[0, 1]) < 0.05


def test_a_drawn_batch_can_be_replayed(tmp_path):
    image, label = batch(2)
    drawn: Mapping[str, Tensor] = drawn_for("strong", 1, 2)
    np.savez(tmp_path / "drawn.npz", **{name: value.numpy() for name, value in drawn.items()})
    stored = {name: torch.from_numpy(value) for name, value in np.load(tmp_path / "drawn.npz").items()}
    assert all(map(torch.equal, apply(image, label, drawn), apply(image, label, stored)))


def test_label_keeps_its_classes_whatever_the_number_of_modalities(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(augmentation_draw, "MODALITIES", range(5))
    image, label = batch()
    label[:, 5:8, 4:9, 6:9] = 2
    label[label == 1] = 0
    five = torch.cat([image, image[:, :1]], dim=1)
    turn = Rotation.from_euler("x", 5, degrees=True).as_matrix().astype(np.float32)
    drawn = drawn_for("strong", 3, affine=turn)
    moved, classes = apply(five, label, drawn)
    assert set(label.unique().tolist()) == set(classes.unique().tolist()) == {0, 2, 3}
    assert torch.equal(moved[:, 4] != 0, moved[:, 0] != 0)
