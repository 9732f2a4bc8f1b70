"""Augmentation as raw clinical input: each simulation does what it says, and the label stays exact."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import affine_transform, distance_transform_edt
from scipy.spatial.transform import Rotation
from torch import Tensor
from torch.utils.data import default_collate

from MissingModalityLib.training.augmentation import apply, draw

SIZE = (30, 35, 33)
ALL = np.tile([0.0, 1.0], (4, 3, 1))
NEUTRAL = {
    **{"affine": np.eye(3), "flip": np.zeros(3), "bias": np.zeros((4, 3, 3, 3)), "blur": np.zeros((4, 3))},
    **{"gamma": np.ones(4), "scale": np.ones(4), "shift": np.zeros(4), "noise": np.zeros(4)},
    "misregistration": np.tile(np.eye(3, 4), (4, 1, 1)),
    "strip": np.zeros((6, 6, 6)),
    "contrast": np.zeros((4, 8)),
    "shading": np.zeros((4, 3, 3, 3)),
    "slices": np.zeros((4, 3)),
    "coverage": ALL,
}
"""What changes nothing."""
KINDS = ("misregistration", "strip", "contrast", "shading", "slices", "coverage")


def drawn_for(*seeds: int) -> dict[str, Tensor]:
    return default_collate([draw("clinical", np.random.default_rng(seed)) for seed in seeds])


def only(**changed: object) -> dict[str, Tensor]:
    """Parameters of one sample that change nothing, but for ``changed``."""
    one = draw("clinical", np.random.default_rng(0))
    one |= {name: np.asarray(value, one[name].dtype) for name, value in (NEUTRAL | changed).items()}
    return default_collate([one])


def drawn(kind: str, seed: int = 0) -> dict[str, Tensor]:
    """Parameters of one sample that one simulation changes."""
    for other in range(100):
        found = draw("clinical", np.random.default_rng((seed, other)))
        if (found[kind] != NEUTRAL[kind]).any():
            return only(**{name: found[name] for name in (kind, "rim", "phase")})
    raise AssertionError(f"{kind} is never drawn")


def case(samples: int = 1) -> tuple[Tensor, Tensor]:
    """An ellipsoid of normal intensities, air around it, no T1, and a tumor that touches the surface."""
    random = np.random.default_rng(5)
    place = np.indices(SIZE) / np.reshape(SIZE, (3, 1, 1, 1)) - 0.48
    brain = np.square(place).sum(axis=0) < 0.4**2
    image = random.normal(size=(samples, 4, *SIZE)).astype(np.float32) * brain
    image[:, 2] = 0
    label = np.zeros((samples, *SIZE), np.uint8)
    label[:, 3:15, 10:22, 8:20] = 2
    label[:, 9:13, 12:18, 10:16] = 3
    return torch.from_numpy(image), torch.from_numpy(label * brain)


def test_each_simulation_leaves_half_of_the_samples_alone_and_keeps_its_range():
    draws = [draw("clinical", np.random.default_rng(seed)) for seed in range(500)]
    touched = {
        kind: np.array([(one[kind] != NEUTRAL[kind]).any() for one in draws], float).mean() for kind in KINDS
    }
    assert touched == pytest.approx(dict.fromkeys(KINDS, 0.48), abs=0.06)
    assert not any(one["bias"].any() for one in draws), "the bias field of raw intensities is in its place"
    slices = np.stack([one["slices"] for one in draws]).reshape(-1, 3)
    assert ((slices > 0).sum(axis=1) <= 1).all()
    assert 2 <= slices[slices > 0].min() < 2.1 and 5.85 < slices.max() <= 6
    assert (np.bincount(slices.argmax(axis=1)[slices.any(axis=1)]) > 90).all(), "along any axis"
    rigid = np.stack([one["misregistration"] for one in draws]).reshape(-1, 3, 4).astype(float)
    shifts = np.linalg.norm(rigid[:, :, 3], axis=1)
    turns = Rotation.from_matrix(rigid[:, :, :3]).magnitude()
    assert 1.9 < shifts.max() <= 2.001 and 1.9 < np.degrees(turns.max()) <= 2.001
    lengths = np.diff(np.stack([one["coverage"] for one in draws]).reshape(-1, 3, 2))[..., 0]
    assert 0.74 < lengths.min() < 0.77 and ((lengths < 1).sum(axis=1) <= 1).all()
    assert sum(array.nbytes for array in draws[0].values()) < 4000


def test_neutral_parameters_change_nothing():
    image, label = case()
    same_image, same_label = apply(image, label, only())
    assert torch.equal(same_image, image) and torch.equal(same_label, label)


def test_one_seed_draws_one_thing():
    one, again = (draw("clinical", np.random.default_rng(4)) for _ in range(2))
    assert one.keys() == again.keys() and all(np.array_equal(one[name], again[name]) for name in one)


def test_a_sample_depends_on_nothing_but_itself():
    image, label = case(8)
    image[:, [0, 1, 3]] *= torch.linspace(0.5, 2, 8).view(8, 1, 1, 1, 1)
    drawn = drawn_for(*range(8))
    state = torch.get_rng_state()
    together, labels = apply(image, label, drawn)
    assert torch.equal(torch.get_rng_state(), state)
    for i in range(8):
        one = {name: value[i : i + 1] for name, value in drawn.items()}
        alone, its_label = apply(image[i : i + 1], label[i : i + 1], one)
        assert torch.equal(alone[0], together[i]) and torch.equal(its_label[0], labels[i])


def test_missing_channels_stay_empty_and_everything_finite():
    image, label = case(16)
    before = image.clone(), label.clone()
    changed, target = apply(image, label, drawn_for(*range(16)))
    assert torch.equal(image, before[0]) and torch.equal(label, before[1]), "the input stays as it was"
    assert changed.isfinite().all() and changed[:, [0, 1, 3]].flatten(2).any(dim=2).all()
    assert not changed[:, 2].any()
    assert set(target.unique().tolist()) == {0, 2, 3}
    assert not (changed != 0).all(dim=1).any()


@pytest.mark.parametrize("kind", ["misregistration", "contrast", "shading", "slices"])
def test_label_and_brain_stay_exact_under_changes_of_acquisition(kind):
    image, label = case()
    changed, target = apply(image, label, drawn(kind))
    assert torch.equal(target, label) and not torch.equal(changed, image)
    if kind != "misregistration":
        assert torch.equal(changed != 0, image != 0)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("kind", ["strip", "coverage"])
def test_label_is_lost_only_where_the_brain_is_lost_in_all_that_is_used(kind, seed):
    image, label = case()
    label[0, 0, 0, 0] = 2  # in the air, as labels of some cases are
    for used in ([True] * 4, [False, True, False, False]):
        changed, target = apply(image, label, drawn(kind, seed), torch.tensor([used]))
        gone = ((image != 0)[:, used].any(dim=1)) & (changed == 0).all(dim=1)
        assert torch.equal(target, torch.where(gone, 0, label))


def test_contrast_is_mostly_monotone_smooth_and_keeps_mean_and_deviation():
    random = np.random.default_rng(3)
    image = torch.from_numpy(random.normal(size=(1, 4, 24, 24, 24)).astype(np.float32))
    label = torch.zeros(1, 24, 24, 24, dtype=torch.uint8)
    rising, distances = [], []
    for seed in range(20):
        mapping = drawn("contrast", seed)
        changed, _ = apply(image, label, mapping)
        for channel in mapping["contrast"][0].any(dim=1).nonzero()[:, 0].tolist():
            before, after = image[0, channel].flatten(), changed[0, channel].flatten()
            assert abs(float(after.mean())) < 0.06 and abs(float(after.std()) - 1) < 0.08
            assert np.corrcoef(before, after)[0, 1] > 0.8
            order = before.argsort()
            steps = after[order].diff()
            rising.append(bool((steps > -1e-5).all()))
            assert steps.abs().max() < 0.8, "no jumps"
            distances.append(float((after - before)[before.abs() < 2].abs().max()))
    assert 0.5 < np.mean(rising) < 1 and np.median(distances) > 0.25


def test_shading_multiplies_raw_intensities():
    image, label = case()
    coefficients = np.zeros((4, 3, 3, 3))
    coefficients[1, 0, 1, 0] = 0.2
    changed, _ = apply(image, label, only(shading=coefficients))
    field = np.exp(0.2 * np.linspace(-1, 1, SIZE[1]))[:, None]
    expected = ((image[0, 1].numpy() + 3) * field - 3) * (image[0, 1].numpy() != 0)
    np.testing.assert_allclose(changed[0, 1], expected, atol=1e-5)
    assert torch.equal(changed[0, [0, 2, 3]], image[0, [0, 2, 3]])


@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("distance", [2.0, 4.5, 6.0])
def test_thick_slices_pass_only_low_frequencies_along_their_axis(axis, distance):
    random = np.random.default_rng(1)
    image = torch.from_numpy(random.normal(size=(1, 4, 48, 48, 48)).astype(np.float32))
    slices = np.zeros((4, 3))
    slices[3, axis] = distance
    changed, _ = apply(image, torch.zeros(1, 48, 48, 48, dtype=torch.uint8), only(slices=slices))
    assert torch.equal(changed[0, :3], image[0, :3])
    for along in range(3):
        power = [np.abs(np.fft.rfft(volume[0, 3].numpy(), axis=along)) ** 2 for volume in (image, changed)]
        before, after = (one.mean(axis=tuple({0, 1, 2} - {along})) for one in power)
        # above what slices so far apart can hold; other axes lose at all frequencies alike
        high = np.arange(25) / 48 > 0.75 / distance
        passed = after[high].sum() / before[high].sum() / (after.sum() / before.sum())
        assert passed < 0.25 if along == axis else passed == pytest.approx(1, abs=0.1)


def test_thick_slices_keep_what_changes_slowly():
    place = torch.linspace(1, 3, 40).view(1, 1, 40, 1, 1)
    image = place.expand(1, 4, 40, 12, 12).contiguous()
    slices = np.zeros((4, 3))
    slices[:, 0] = 5
    changed, _ = apply(image, torch.zeros(1, 40, 12, 12, dtype=torch.uint8), only(slices=slices))
    assert (changed - image)[:, :, 6:-6].abs().max() < 0.01


def test_misregistration_is_a_rigid_motion_of_one_sequence():
    image, label = case()
    smooth = torch.nn.functional.avg_pool3d(image, 5, 1, 2) + image.ne(0)
    image = smooth * image.ne(0)
    rigid = np.tile(np.eye(3, 4), (4, 1, 1))
    rigid[1, :, :3] = Rotation.from_rotvec([1, -1.5, 0.5], degrees=True).as_matrix()
    rigid[1, :, 3] = (1.5, -0.5, 0.8)
    changed, target = apply(image, label, only(misregistration=rigid))
    assert torch.equal(changed[0, [0, 2, 3]], image[0, [0, 2, 3]]) and torch.equal(target, label)
    center = (np.array(SIZE) - 1) / 2
    turn, shift = rigid[1, :, :3], rigid[1, :, 3]
    options = {"offset": center - turn @ center + shift, "mode": "grid-constant"}
    moved = affine_transform(image[0, 1].numpy(), turn, order=1, **options)
    brain = affine_transform((image[0, 1] != 0).float().numpy(), turn, order=0, **options)
    assert (np.abs(changed[0, 1].numpy() - moved * brain) > 1e-3).mean() < 1e-3


def test_coverage_cuts_one_end_of_one_sequence():
    image, label = case()
    coverage = ALL.copy()
    coverage[0, 2, 1] = 0.7
    coverage[3, 0, 0] = 0.2
    changed, target = apply(image, label, only(coverage=coverage))
    assert not changed[0, 0, :, :, 23:].any() and torch.equal(
        changed[0, 0, :, :, :23], image[0, 0, :, :, :23]
    )
    assert not changed[0, 3, :6].any() and torch.equal(changed[0, 3, 6:], image[0, 3, 6:])
    assert torch.equal(changed[0, 1], image[0, 1]) and torch.equal(target, label)


def test_skull_strip_leaves_a_rim_in_places_and_takes_brain_in_others_alike_in_all_sequences():
    image, label = case()
    strip = np.zeros((6, 6, 6))
    strip[:3], strip[4:] = 2, -2
    rim = np.full((4, 2), 3.0)
    changed, _ = apply(image, label, only(strip=strip, rim=rim))
    brain, after = (image[0, 0] != 0).numpy(), (changed[0] != 0).numpy()
    assert (after[0] == after[1]).all() and (after[0] == after[3]).all() and not after[2].any()
    left, taken = after[0] & ~brain, brain & ~after[0]
    assert left[:12].sum() > 100 and not left[20:].any() and taken[22:].sum() > 100 and not taken[:14].any()
    assert changed[0, :2].numpy()[:, left] == pytest.approx(3.0), "as bright as drawn"
    assert torch.equal(changed[0, 0][torch.from_numpy(brain & after[0])], image[0, 0][brain & after[0]])
    assert distance_transform_edt(~brain)[left].max() < 7 and distance_transform_edt(brain)[taken].max() < 7


def test_what_nobody_uses_is_empty_and_changes_nothing_of_the_rest():
    image, label = case(4)
    used = torch.tensor([[1, 0, 0, 1], [1, 0, 0, 0], [0, 0, 0, 1], [1, 0, 0, 1]], dtype=torch.bool)
    drawn = drawn_for(*range(4))
    # the label follows the brain of what is used; without such losses it is that of all
    drawn |= {"strip": torch.zeros(4, 6, 6, 6), "coverage": torch.from_numpy(np.stack([ALL] * 4)).float()}
    whole, labels = apply(image, label, drawn)
    image[:, 1] = float("nan")
    part, same = apply(image, label, drawn, used)
    assert torch.equal(part, torch.where(used[:, :, None, None, None], whole, 0))
    assert torch.equal(same, labels)


def test_what_a_batch_does_not_use_is_not_interpolated(monkeypatch):
    from MissingModalityLib.training import augmentation_geometry

    sampled = []

    def counted(volumes: Tensor, *arguments: Tensor, **options: object) -> Tensor:
        sampled.append(volumes.shape[1])
        return torch.nn.functional.grid_sample(volumes, *arguments, **options)

    monkeypatch.setattr(augmentation_geometry, "grid_sample", counted)
    turn = Rotation.from_rotvec([5, 5, 5], degrees=True).as_matrix()
    apply(*case(), only(affine=turn), torch.tensor([[True, False, False, True]]))
    assert sampled == [1, 2], "labels and brains in one volume, and two modalities"


def test_nothing_is_read_back_from_the_device(monkeypatch):
    from MissingModalityLib.training import augmentation

    # tensors without values: whatever the host reads of them is an error
    monkeypatch.setattr(augmentation, "add_noise", lambda *_: None)
    image, label = (values.to("meta") for values in case(6))
    used = torch.tensor([[True, True, False, True]] * 5 + [[False, True, False, False]])
    drawn = drawn_for(*range(6))
    assert all((drawn[kind].numpy() != NEUTRAL[kind]).any() for kind in KINDS)
    changed, target = apply(image, label, drawn, used)
    assert changed.shape == image.shape and target.shape == label.shape
