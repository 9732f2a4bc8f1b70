"""Whatever the orientation, spacing and origin of a volume: voxels keep their places in the patient."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.spatial.transform import Rotation

from examples import SPACINGS, examples
from MissingModalityLib.core.modalities import Modality
from MissingModalityLib.imaging.boxes import shared_part, tightest_box
from MissingModalityLib.imaging.grid import Grid, common_grid
from MissingModalityLib.imaging.preparation import prepare, to_reference_grid
from MissingModalityLib.imaging.reading import Study
from MissingModalityLib.imaging.volumes import read_image, write_image

LABEL_RADIUS_MM = 7.0

SIZES = st.tuples(*[st.integers(24, 29)] * 3)
ORIGINS = st.tuples(*[st.sampled_from((-131.25, -0.5, 0.0, 77.1))] * 3)
ALONG_AXES = st.permutations(range(3)).flatmap(
    lambda order: st.tuples(*[st.sampled_from((-1.0, 1.0))] * 3).map(
        lambda signs: (np.eye(3) * signs)[:, order]
    )
)
TURNS = st.tuples(*[st.integers(-20, 20)] * 3).map(
    lambda degrees: Rotation.from_euler("xyz", degrees, degrees=True).as_matrix()
)
OBLIQUE = st.tuples(TURNS, ALONG_AXES).map(lambda pair: pair[0] @ pair[1])
STRAIGHT = st.builds(
    lambda size, origin, direction: Grid(size, (1.0,) * 3, origin, tuple(direction.ravel())),
    *(SIZES, ORIGINS, ALONG_AXES),
)
GRIDS = st.builds(
    lambda size, spacing, origin, direction: Grid(size, spacing, origin, tuple(direction.ravel())),
    *(SIZES, SPACINGS, ORIGINS, OBLIQUE),
)


def places(grid: Grid, voxels: np.ndarray) -> np.ndarray:
    """Points in mm (n, 3) of voxels (n, 3) given as x, y, z, fractions of them too."""
    return np.array(grid.origin) + (voxels * grid.spacing) @ np.reshape(grid.direction, (3, 3)).T


def head(grid: Grid) -> sitk.Image:
    """A noisy ellipsoid in air, beside the middle of the grid and of another share of each side."""
    axes = np.meshgrid(*(np.linspace(-1, 1, count) for count in reversed(grid.size)), indexing="ij")
    noise = np.random.default_rng(0).normal(500, 60, axes[0].shape)
    shape = zip(axes, (0.15, 0.0, -0.1), (0.75, 0.8, 0.85), strict=True)
    inside = sum(((axis - middle) / radius) ** 2 for axis, middle, radius in shape) < 1
    return grid.to_image(np.where(inside, noise, 0).astype(np.float32))


def round_trip(grid: Grid, label: np.ndarray) -> np.ndarray:
    """A label of the volume, on the common grid and back again."""
    study = Study({Modality.T1: head(grid)}, {Modality.T1: "t1"})
    prepared = prepare(study, grid.to_image(label))
    back = to_reference_grid(prepared.label, prepared)
    assert Grid.from_image(back) == grid
    return sitk.GetArrayFromImage(back)


def mean_place(grid: Grid, label: np.ndarray) -> np.ndarray:
    return places(grid, np.argwhere(label)[:, ::-1]).mean(0)


@given(STRAIGHT, st.tuples(*[st.integers(-2, 2)] * 3), st.integers(1, 3))
@examples(12)
def test_labels_at_1_mm_come_back_voxel_for_voxel(grid: Grid, shift: tuple[int, ...], cls: int) -> None:
    label = np.zeros(grid.size[::-1], np.uint8)
    first = np.array(label.shape) // 2 + shift
    label[tuple(slice(start, start + 2) for start in first)] = cls
    label[tuple(first)] = 1 + cls % 3
    np.testing.assert_array_equal(round_trip(grid, label), label)


@given(GRIDS)
@examples(12)
def test_labels_at_any_spacing_and_angle_keep_their_place_and_classes(grid: Grid) -> None:
    points = places(grid, np.indices(grid.size).reshape(3, -1).T)
    middle = places(grid, (np.array([grid.size]) - 1) / 2)[0]
    radius = min(LABEL_RADIUS_MM, 0.25 * min(np.array(grid.size) * grid.spacing))
    away = np.linalg.norm(points - middle, axis=1).reshape(grid.size).T
    label = np.select([away < radius / 2, away < radius], [3, 1]).astype(np.uint8)
    back = round_trip(grid, label)
    assert set(np.unique(back)) <= {0, 1, 3}, "between classes 1 and 3 there is no class 2"
    moved = mean_place(grid, back > 0) - mean_place(grid, label > 0)
    assert np.linalg.norm(moved) < 0.5 * max(*grid.spacing, 1.0)
    slack = np.linalg.norm(grid.spacing) / 2 + np.sqrt(3) / 2
    assert not back[away > radius + slack].any() and back[away < radius - slack].all()


@given(GRIDS)
@examples(20)
def test_the_common_grid_begins_where_the_volume_does_and_is_as_long(grid: Grid) -> None:
    image = sitk.Image(grid.size, sitk.sitkUInt8)
    image.SetSpacing(grid.spacing)
    image.SetOrigin(grid.origin)
    image.SetDirection(grid.direction)
    oriented, common = Grid.from_image(sitk.DICOMOrient(image, "LPS")), common_grid(image)
    corner = np.array([[-0.5, -0.5, -0.5]])
    np.testing.assert_allclose(places(common, corner), places(oriented, corner), atol=1e-3)
    np.testing.assert_allclose(common.direction, oriented.direction, atol=1e-9)
    extent = np.array(oriented.size) * oriented.spacing
    assert (np.abs(np.array(common.size) - extent) <= 0.5 + 1e-9).all() and common.spacing == (1.0,) * 3


@given(GRIDS, st.tuples(*[st.integers(0, 5)] * 3), st.tuples(*[st.integers(1, 8)] * 3))
@examples(20)
def test_a_cropped_grid_begins_at_its_first_voxel(
    grid: Grid, start: tuple[int, ...], size: tuple[int, ...]
) -> None:
    cropped = grid.crop(start, size)
    assert cropped.size == size
    np.testing.assert_allclose(cropped.origin, places(grid, np.array([start]))[0], atol=1e-6)


@given(STRAIGHT, st.integers(0, 2), st.sampled_from((-2, 1, 3)))
@examples(10)
def test_a_grid_elsewhere_is_never_taken_for_this_one(grid: Grid, axis: int, voxels: int) -> None:
    step = np.reshape(grid.direction, (3, 3))[:, axis] * voxels
    other = Grid(grid.size, grid.spacing, tuple(np.array(grid.origin) + step), grid.direction)
    assert not grid.matches(other) and grid.matches(grid)
    array = np.arange(np.prod(grid.size), dtype=np.float32).reshape(grid.size[::-1])
    seen = sitk.GetArrayFromImage(other.resample(grid.to_image(array), sitk.sitkNearestNeighbor, -1))
    first = [0, 0, 0]
    first[2 - axis] = voxels
    inside, target = shared_part(first, array.shape, array.shape)
    expected = np.full_like(array, -1)
    expected[target] = array[inside]
    np.testing.assert_array_equal(seen, expected)


@given(GRIDS, st.sampled_from((".nii.gz", ".mha", ".nrrd")))
@examples(12)
def test_written_volumes_are_read_where_they_were(tmp_path_factory, grid: Grid, suffix: str) -> None:
    path = tmp_path_factory.mktemp("volume") / f"head{suffix}"
    write_image(head(grid), path)
    read = Grid.from_image(read_image(path))
    assert read.size == grid.size
    corners = np.array([[0, 0, 0], np.array(grid.size) - 1])
    np.testing.assert_allclose(places(read, corners), places(grid, corners), atol=1e-3)


@given(
    st.tuples(*[st.integers(1, 6)] * 3),
    st.tuples(*[st.integers(-8, 8)] * 3),
    st.tuples(*[st.integers(1, 7)] * 3),
)
@examples(60)
def test_what_a_box_shares_with_an_array_is_what_padding_shows(
    shape: tuple[int, ...], start: tuple[int, ...], size: tuple[int, ...]
) -> None:
    array = np.arange(1, np.prod(shape) + 1).reshape(shape)
    padded = np.pad(array, 16)
    expected = padded[tuple(slice(s + 16, s + 16 + n) for s, n in zip(start, size, strict=True))]
    found = np.zeros(size, int)
    shared = shared_part(start, size, shape)
    assert (shared is None) == (not expected.any())
    if shared:
        found[shared[1]] = array[shared[0]]
    np.testing.assert_array_equal(found, expected)


@given(arrays.arrays(bool, st.tuples(*[st.integers(1, 5)] * 3)))
@examples(40)
def test_a_tightest_box_holds_all_and_touches_every_side(mask: np.ndarray) -> None:
    box = tightest_box(mask)
    assert (box is None) == (not mask.any())
    if box:
        assert mask[box].sum() == mask.sum()
        assert all(mask[box].take(end, axis).any() for axis in range(3) for end in (0, -1))
