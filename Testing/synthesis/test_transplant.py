"""Asymmetry error maps and transplants: known truths, and the published numbers where definitions agree."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from freeze_synthesis import FROZEN, record
from MissingModalityLib.core.errors import OptionError
from MissingModalityLib.imaging.boxes import tightest_box
from MissingModalityLib.synthesis.error_map import error_map, tumor_part
from MissingModalityLib.synthesis.midsagittal_plane import Plane
from MissingModalityLib.synthesis.options import SynthesisOptions
from MissingModalityLib.synthesis.transplant import PRIORITY, centered, fuse_labels, transplant
from MissingModalityLib.synthesis.tumor_cache import feather
from MissingModalityLib.synthesis.tumor_transform import TumorTransform
from MissingModalityLib.training.settings import Settings

SHAPE = (6, 8, 11)
MIDDLE = Plane((0.0, 0.0, 1.0), 5.0)
"""The middle of SHAPE along the last axis."""

SHIFTED = {"0_portrait_vertical": (0, 0), "1_landscape_vertical": (0, 3), "2_square_horizontal": (1, 0)}
"""Flipped axis and shift of the recorded maps. The published code stores the horizontal shift as a vertical
one, which undoes itself, so that the third case is not shifted at all."""


def symmetric(channels: int = 2, seed: int = 0) -> torch.Tensor:
    """(C, D, H, W) equal to its mirror image about MIDDLE."""
    half = torch.rand((channels, *SHAPE), generator=torch.Generator().manual_seed(seed)) + 1
    return (half + half.flip(-1)) / 2


def random_labels(shape: tuple[int, ...], seed: int) -> torch.Tensor:
    return torch.randint(0, 4, shape, generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)


@pytest.fixture(scope="module")
def published(golden) -> dict[str, np.ndarray]:
    with np.load(golden("aem")) as data:
        return {name: data[name] for name in data.files}


# ---- maps


def test_a_symmetric_brain_has_no_error() -> None:
    for difference in ("absolute", "signed"):
        assert error_map(symmetric(), MIDDLE, difference=difference).abs().max() < 1e-5


def test_one_sided_intensities_appear_on_both_sides_of_the_map_and_once_in_the_tumor() -> None:
    healthy, label = symmetric(), torch.zeros(SHAPE, dtype=torch.uint8)
    label[2:4, 3:6, 1:4] = 2
    tumor = (label > 0) * torch.tensor([0.7, -0.4])[:, None, None, None]
    image, box = healthy + tumor, tightest_box(label.numpy() > 0)
    torch.testing.assert_close(
        error_map(image, MIDDLE), tumor.abs() + tumor.abs().flip(-1), atol=1e-5, rtol=0
    )
    torch.testing.assert_close(
        error_map(image, MIDDLE, difference="signed"), tumor - tumor.flip(-1), atol=1e-5, rtol=0
    )
    for difference, expected in (("absolute", tumor.abs()), ("signed", tumor), ("none", image * (label > 0))):
        part = tumor_part(image, label, MIDDLE, box, difference)
        torch.testing.assert_close(part, expected[(slice(None), *box)], atol=1e-5, rtol=0)


def test_a_part_of_a_map_is_the_map_of_that_part() -> None:
    image = torch.randn((3, *SHAPE), generator=torch.Generator().manual_seed(1))
    plane = Plane(tuple((np.array([0.1, -0.2, 1.0]) / np.linalg.norm([0.1, -0.2, 1.0])).tolist()), 4.3)
    before, box = image.clone(), (slice(1, 4), slice(2, 3), slice(0, 11))
    for difference in ("absolute", "signed", "none"):
        whole = error_map(image, plane, difference=difference)
        part = error_map(image, plane, box, difference)
        torch.testing.assert_close(part, whole[(slice(None), *box)], atol=1e-5, rtol=0)
    assert torch.equal(image, before)


def test_where_the_mirror_side_has_no_brain_the_difference_is_that_to_average_tissue() -> None:
    image = symmetric()
    image[..., 8:] = 0
    np.testing.assert_allclose(error_map(image, MIDDLE)[..., :3], image[..., :3], atol=1e-5)


def test_the_box_of_a_tumor_is_tight() -> None:
    label = torch.zeros(SHAPE, dtype=torch.uint8)
    assert tightest_box(label.numpy() > 0) is None
    label[5, 2, 0], label[4, 7, 3] = 1, 3
    assert tightest_box(label.numpy() > 0) == (slice(4, 6), slice(2, 8), slice(0, 4))


@pytest.mark.parametrize("case", SHIFTED)
def test_signed_maps_equal_the_published_ones_where_both_see_the_image(published, case: str) -> None:
    # the published code fills what it lacks with the image's minimum, ours with 0; only there do they differ
    image, expected = published[f"in/{case}/image"][..., 0], published[f"{case}/diff"][..., 0]
    axis, shift = SHIFTED[case]
    size = image.shape[axis]
    # slices lie along z here, so that a mirror image needs no neighbor across them
    volume = torch.from_numpy(np.repeat(image[None, None], 2, axis=1))
    plane = Plane((0.0, 1.0, 0.0) if axis == 0 else (0.0, 0.0, 1.0), (size - 1) / 2 - shift)
    mine = error_map(volume, plane, difference="signed")[0, 0].numpy()
    partner = size - 1 - 2 * shift - np.arange(size)
    seen = np.flatnonzero((partner >= 0) & (partner < size))
    assert len(seen) >= size - 2 * abs(shift)
    np.testing.assert_allclose(np.take(mine, seen, axis), np.take(expected, seen, axis), atol=2e-4)


def test_an_empty_slice_has_an_empty_map_as_in_the_published_code(published) -> None:
    image = torch.from_numpy(published["in/3_blank_vertical/image"][None, None, ..., 0])
    mine = error_map(image.repeat(1, 2, 1, 1), Plane((0.0, 1.0, 0.0), 19.5), difference="signed")
    np.testing.assert_allclose(mine[0, 0], published["3_blank_vertical/diff"][..., 0], atol=2e-4)


# ---- transplants


@pytest.mark.parametrize("number", range(4))
def test_transplants_equal_the_published_fusion(published, number: int) -> None:
    read = {name: published[f"in/fusion{number}/{name}"] for name in ("x", "y", "diff", "aug_y")}
    image = torch.from_numpy(np.moveaxis(read["x"], -1, 0).astype(np.float32))
    label = torch.from_numpy(read["y"].astype(np.uint8))
    tumor = torch.from_numpy(read["aug_y"].astype(np.uint8))
    values = torch.from_numpy(np.moveaxis(read["diff"], -1, 0).astype(np.float32)) * (tumor > 0)
    transplant(image, label, values, tumor, centered(label.shape, tumor.shape))
    np.testing.assert_allclose(np.moveaxis(image.numpy(), 0, -1), published[f"fusion{number}/x"], atol=1e-6)
    np.testing.assert_array_equal(label, published[f"fusion{number}/y"])


@pytest.mark.parametrize("kind", [np.uint8, np.int64])
def test_labels_fuse_as_published(published, kind) -> None:
    one, other = np.indices((4, 4)).astype(kind)
    fused = fuse_labels(torch.from_numpy(one), torch.from_numpy(other))
    np.testing.assert_array_equal(fused, published["fusion_table_y_by_augy"])
    np.testing.assert_array_equal([one, other], np.indices((4, 4)))


def test_no_label_of_the_recipient_is_lost_but_to_a_higher_class() -> None:
    before = random_labels(SHAPE, 0)
    label, tumor = before.clone(), random_labels((4, 9, 5), 1)
    transplant(torch.ones((1, *SHAPE)), label, torch.ones((1, *tumor.shape)), tumor, (1, -1, 3))
    rank = np.argsort(PRIORITY)
    assert (rank[label] >= rank[before]).all()
    outside = torch.ones(SHAPE, dtype=torch.bool)
    outside[1:5, 0:8, 3:8] = False
    assert torch.equal(label[outside], before[outside])


def test_what_hangs_over_the_grid_is_cut() -> None:
    image, label = torch.zeros((1, *SHAPE)), torch.zeros(SHAPE, dtype=torch.uint8)
    values, tumor = torch.ones((1, 4, 4, 4)), torch.full((4, 4, 4), 3, dtype=torch.uint8)
    transplant(image, label, values, tumor, (-2, 6, 9))
    assert image[0, :2, 6:, 9:].eq(1).all() and image.sum() == 2 * 2 * 2
    assert torch.equal(image[0] > 0, label == 3)
    transplant(image, label, values, tumor, (6, 0, 0))
    assert image.sum() == 2 * 2 * 2


def test_a_clipped_tumor_stays_in_the_brain() -> None:
    image, label = torch.zeros((2, *SHAPE)), torch.zeros(SHAPE, dtype=torch.uint8)
    image[0, :, :, :5] = 1
    values, tumor = torch.ones((2, 3, 3, 4)), torch.full((3, 3, 4), 2, dtype=torch.uint8)
    transplant(image, label, values, tumor, (0, 0, 3), clip_to_brain=True)
    assert not image[..., 5:].any() and not label[..., 5:].any()
    assert image[0, :3, :3, 3:5].eq(2).all() and label[:3, :3, 3:5].eq(2).all()


# ---- random changes


def blob() -> tuple[torch.Tensor, torch.Tensor]:
    label = random_labels((5, 7, 6), 3)
    values = torch.randn((4, 5, 7, 6), generator=torch.Generator().manual_seed(4)) * (label > 0)
    return values, label


def whole(transform: TumorTransform, label: torch.Tensor) -> tuple[slice, ...]:
    return tuple(slice(0, size) for size in transform.shape(tuple(label.shape)))


def linear(matrix: np.ndarray) -> TumorTransform:
    return TumorTransform(tuple(map(tuple, np.asarray(matrix, float).tolist())))


@pytest.mark.parametrize("axis", range(3))
def test_a_mirrored_tumor_is_the_tumor_mirrored(axis: int) -> None:
    values, label = blob()
    transform = linear(np.diag(np.where(np.arange(3) == axis, -1, 1)))
    mirrored, classes = transform.apply(values, label, whole(transform, label))
    torch.testing.assert_close(mirrored, values.flip(axis + 1), atol=1e-4, rtol=0)
    assert torch.equal(classes, label.flip(axis))


def test_a_quarter_turn_moves_voxels_onto_voxels() -> None:
    values, label = blob()
    transform = linear([[1, 0, 0], [0, 0, -1], [0, 1, 0]])
    turned, classes = transform.apply(values, label, whole(transform, label))
    assert torch.equal(classes, torch.rot90(label, 1, (1, 2)))
    torch.testing.assert_close(turned, torch.rot90(values, 1, (2, 3)), atol=1e-4, rtol=0)


def test_a_larger_tumor_has_the_volume_of_its_scale() -> None:
    label = torch.zeros((12, 12, 12), dtype=torch.uint8)
    label[2:10, 2:10, 2:10] = 3
    transform = linear(1.5 * np.eye(3))
    values, classes = transform.apply(2.0 * (label > 0)[None], label, whole(transform, label))
    assert int((classes > 0).sum()) == pytest.approx(12**3, rel=0.05)
    assert values[0][classes > 0].median() == 2 and not values[0][classes == 0].any()


def test_a_part_of_a_changed_tumor_is_cut_from_the_whole() -> None:
    values, label = blob()
    transform = TumorTransform.sample(
        SynthesisOptions(max_scale_change=0.3, max_rotation_deg=40, flip=True), np.random.default_rng(5)
    )
    everything = transform.apply(values, label, whole(transform, label))
    part = (slice(1, 4), slice(0, 3), slice(2, 6))
    some, classes = transform.apply(values, label, part)
    torch.testing.assert_close(some, everything[0][(slice(None), *part)])
    assert torch.equal(classes, everything[1][part])
    assert torch.equal(transform.apply(None, label, part)[1], classes)


def test_nothing_changes_unless_asked_for() -> None:
    assert TumorTransform.sample(SynthesisOptions(), np.random.default_rng(0)) is None
    rows = TumorTransform.sample(SynthesisOptions(max_rotation_deg=10), np.random.default_rng(0)).rows
    np.testing.assert_allclose(np.array(rows) @ np.array(rows).T, np.eye(3), atol=1e-12)
    assert np.arccos((np.trace(rows) - 1) / 2) <= np.radians(10) * np.sqrt(3)


def test_a_soft_border_rises_from_the_edge_inwards() -> None:
    label = np.zeros((9, 9, 9), np.uint8)
    label[1:8, 1:8, 1:8] = 1
    assert (feather(label, 0) == (label > 0)).all()
    np.testing.assert_allclose(feather(label, 3)[4, 4], [0, 0.25, 0.5, 0.75, 1, 0.75, 0.5, 0.25, 0])
    assert feather(np.ones((3, 3, 3), np.uint8), 1)[0, 0, 0] == 0.5, "the edge of the box is a border too"


# ---- options and frozen results


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("difference", "relative", "Allowed: one of absolute"),
        ("tumors", 0, "Allowed: 1 to 8"),
        ("tumors", 1.0, "whole number"),
        ("placement", "left", "Allowed: one of aligned"),
        ("clip_to_brain", 1, "true or false"),
        ("max_scale_change", 0.6, "Allowed: 0 to 0.5"),
        ("max_scale_change", "big", "number"),
        ("max_rotation_deg", float("nan"), "number"),
        ("feather_mm", -1, "Allowed: 0 to 10"),
        ("mixup_alpha", 0, "Allowed: more than 0"),
    ],
)
def test_options_of_the_wrong_kind_or_out_of_range_are_named(name: str, value: object, problem: str) -> None:
    with pytest.raises(OptionError, match=f"{name}=.*{problem}"):
        SynthesisOptions(**{name: value})


def test_earlier_names_of_options_are_read() -> None:
    earlier = {"clip": True, "scale": 0.2, "rotation": 15.0, "blend": 2.0, "alpha": 0.3}
    assert SynthesisOptions(**earlier) == SynthesisOptions(
        clip_to_brain=True, max_scale_change=0.2, max_rotation_deg=15.0, feather_mm=2.0, mixup_alpha=0.3
    )
    assert Settings(synthetic=earlier).synthesis.options == SynthesisOptions(**earlier)
    with pytest.raises(OptionError, match="clip_to_brain alone"):
        SynthesisOptions(clip=True, clip_to_brain=True)


def test_results_are_those_of_before() -> None:
    with np.load(FROZEN) as frozen:
        for name, value in record().items():
            np.testing.assert_allclose(value, frozen[name], atol=2e-3, err_msg=name)
