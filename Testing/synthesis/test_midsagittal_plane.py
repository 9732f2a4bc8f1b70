"""The mid-sagittal plane is found where it is known to be, with and without a tumor, and mirrors exactly."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from scipy import ndimage

from MissingModalityLib.core.errors import ImageError
from MissingModalityLib.core.modalities import Modality
from MissingModalityLib.datasets.discovery import find_cases
from MissingModalityLib.imaging.grid import Grid
from MissingModalityLib.imaging.preparation import prepare
from MissingModalityLib.imaging.reading import Study, read_study
from MissingModalityLib.phantom.random_fields import Field
from MissingModalityLib.synthesis.midsagittal_plane import Plane, find_plane

SHAPE = (160, 190, 180)
MIDDLE = (np.array(SHAPE) - 1) / 2
TRUTHS = [
    ((0, 0), (0, 0, 0), False),
    ((-30, 13), (9, 3, 11), False),
    ((30, 0), (5, -12, 20), True),
    ((0, -30), (-12, 5, -20), True),
    ((17, 30), (0, 0, -20), True),
    ((-28, -28), (-4, 10, 6), True),
    ((3.3, -7.7), (0.4, 0.2, -0.3), True),
]
"""Rotation in degrees, shift of the brain's middle in voxels, with a large bright tumor on one side."""


def rotation(about_z: float, about_y: float, about_x: float = 0.0) -> np.ndarray:
    """Of (z, y, x), degrees; first about y, then about z, then about x."""
    (sz, sy, sx), (cz, cy, cx) = (
        function(np.radians([about_z, about_y, about_x])) for function in (np.sin, np.cos)
    )
    around_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    around_z = np.array([[1, 0, 0], [0, cz, sz], [0, -sz, cz]])
    around_x = np.array([[cx, sx, 0], [-sx, cx, 0], [0, 0, 1]])
    return around_x @ around_z @ around_y


def brain(turn: np.ndarray, middle: np.ndarray, tumor: bool = False, channels: int = 2) -> np.ndarray:
    """(C, D, H, W) float32: an egg of symmetric texture turned about its middle, noise in every voxel."""
    random = np.random.default_rng(3)
    fields = [[Field.sample(random, length, count=12) for length in (60, 25, 12)] for _ in range(channels)]
    relative = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij"), -1) - middle
    z, y, x = np.moveaxis((relative @ turn).astype(np.float32), -1, 0)  # turned back
    inside = (x / 58) ** 2 / (1 - y / 300) + (y / 72) ** 2 + (z / (55 - y / 10)) ** 2 < 1
    result = np.zeros((channels, *SHAPE), np.float32)
    where = z[inside], y[inside], x[inside]
    for channel, waves in zip(result, fields, strict=True):
        z, y, x = where
        values = sum(wave((x, y, z)) + wave((-x, y, z)) for wave in waves)
        values += 0.3 * random.normal(size=values.shape)
        if tumor:
            values += 6 * ((x - 30) ** 2 + (y + 20) ** 2 + (z - 5) ** 2 < 25**2)
        channel[inside] = (values - values.mean()) / values.std()
    return result


def errors(plane: Plane, normal: np.ndarray, point: np.ndarray) -> tuple[float, float]:
    """Angle to the true normal in degrees, distance of the true point from the plane in voxels."""
    found = np.array(plane.normal)
    angle = np.degrees(np.arctan2(np.linalg.norm(np.cross(found, normal)), found @ normal))
    return float(angle), float(abs(found @ point - plane.offset))


@pytest.mark.parametrize(("angles", "shift", "tumor"), TRUTHS)
def test_a_turned_and_shifted_symmetric_brain_is_found(
    angles: tuple[float, float], shift: tuple[float, float, float], tumor: bool
) -> None:
    turn, middle = rotation(*angles), MIDDLE + shift
    plane = find_plane(brain(turn, middle, tumor))
    angle, distance = errors(plane, turn[:, 2], middle)
    assert angle < 0.5
    assert distance < 0.5
    assert np.linalg.norm(plane.normal) == pytest.approx(1)
    assert plane.normal[2] > 0


def test_channels_that_are_missing_do_not_matter() -> None:
    turn, middle = rotation(12, 7), MIDDLE + np.array([0, 0, 6])
    two = brain(turn, middle)
    four = np.full((4, *SHAPE), np.nan, np.float32)
    four[[0, 2]] = two
    available = np.array([True, False, True, False])
    plane = find_plane(two)
    assert find_plane(four, available) == plane
    four[[1, 3]] = 0
    assert max(errors(find_plane(four), np.array(plane.normal), middle)) < 0.5
    assert max(errors(find_plane(torch.from_numpy(two[:1])), turn[:, 2], middle)) < 0.5


@pytest.mark.parametrize(
    ("image", "told"),
    [
        (np.zeros((4, 40, 40, 40), np.float32), "no brain"),
        (np.pad(np.ones((1, 5, 5, 5), np.float32), ((0, 0), (20, 20), (20, 20), (20, 20))), "no brain"),
        (np.full((2, 40, 40, 40), np.nan, np.float32), "NaN"),
    ],
)
def test_a_volume_without_a_brain_is_refused(image: np.ndarray, told: str) -> None:
    with pytest.raises(ImageError, match=told):
        find_plane(image)


@pytest.mark.parametrize("shape", [(10, 10, 10), (2, 30, 30), (3, 400, 3), (31, 33, 47)])
def test_small_and_featureless_volumes_have_a_plane_through_their_middle(shape: tuple[int, ...]) -> None:
    plane = find_plane(np.ones((1, *shape), np.float32))
    middle = (np.array(shape) - 1) / 2
    assert np.array(plane.normal) @ middle == pytest.approx(plane.offset, abs=1)


def test_the_mirror_image_at_an_upright_plane_is_the_flipped_volume() -> None:
    volume = torch.randn(2, 9, 11, 14)
    middle = Plane((0.0, 0.0, 1.0), 6.5)
    torch.testing.assert_close(middle.reflect(volume), volume.flip(-1), rtol=0, atol=1e-4)
    aside = Plane((0.0, 0.0, 1.0), 4.0).reflect(volume)
    torch.testing.assert_close(aside[..., :9], volume[..., :9].flip(-1), rtol=0, atol=1e-4)
    assert (aside[..., 9:].abs() < 1e-5).all()


def test_mirroring_twice_gives_the_original_back() -> None:
    smooth = torch.from_numpy(ndimage.gaussian_filter(np.random.default_rng(0).normal(size=(50, 60, 55)), 3))
    volume = (smooth / smooth.std())[None]
    plane = Plane((0.1, -0.2, float(np.sqrt(0.95))), 22.0)
    twice = plane.reflect(plane.reflect(volume))
    assert twice.dtype == torch.float64
    interior = (slice(None), *(slice(20, -20),) * 3)
    assert (twice - volume)[interior].abs().max() < 0.1
    np.testing.assert_allclose(plane.matrix() @ plane.matrix(), np.eye(4), atol=1e-12)


def test_a_part_of_the_mirror_image_is_cut_from_the_whole() -> None:
    volume = torch.randn(3, 20, 24, 22).half()
    plane = Plane((0.1, 0.3, float(np.sqrt(0.9))), 12.0)
    box = (slice(3, 9), slice(0, 24), slice(15, 22))
    part = plane.reflect(volume, box)
    assert part.dtype == torch.float16
    torch.testing.assert_close(part, plane.reflect(volume)[:, box[0], box[1], box[2]], rtol=0, atol=2e-3)


def test_the_matrix_tells_where_the_mirror_image_comes_from() -> None:
    volume = torch.zeros(1, 30, 30, 30)
    plane = Plane((0.0, 0.6, 0.8), 22.0)
    target = np.array([10.0, 12.0, 20.0, 1.0])
    source = plane.matrix() @ target
    corner = np.floor(source[:3]).astype(int)
    volume[0, corner[0] : corner[0] + 2, corner[1] : corner[1] + 2, corner[2] : corner[2] + 2] = 5
    assert plane.reflect(volume)[0, 10, 12, 20] == pytest.approx(5, abs=1e-4)


@pytest.mark.parametrize(
    ("spacing", "direction"),
    [
        ((0.9, 1.2, 2.0), np.diag([-1.0, -1.0, 1.0])),
        ((1.4, 1.0, 1.3), np.eye(3)[:, [1, 2, 0]]),
    ],
)
def test_the_plane_of_a_prepared_image_lies_where_the_patients_does(
    spacing: tuple[float, ...], direction: np.ndarray
) -> None:
    array = brain(rotation(10, -15), MIDDLE + np.array([0, 0, 4]), channels=1)[0]
    original = sitk.GetImageFromArray(np.where(array == 0, 0, np.maximum(array * 300 + 1000, 50)))
    original.SetOrigin((-80.0, 30.0, 12.0))
    normal = rotation(10, -15)[::-1, 2]
    point = (MIDDLE + np.array([0, 0, 4]))[::-1] + original.GetOrigin()
    size = np.ceil(np.abs(direction.T @ (np.array(SHAPE[::-1]) - 1)) / spacing).astype(int) + 1
    corner = np.array(original.GetOrigin()) + (direction.sum(1) < 0) * (np.array(SHAPE[::-1]) - 1.0)
    grid = Grid(tuple(size.tolist()), spacing, tuple(corner.tolist()), tuple(direction.ravel().tolist()))
    volume = grid.resample(original, sitk.sitkLinear, 0)
    prepared = prepare(Study({Modality.T1: volume}, {Modality.T1: "the volume"}))
    plane = find_plane(prepared.image, prepared.available)
    found = np.reshape(prepared.grid.direction, (3, 3)) @ plane.normal[::-1]
    # thick slices blur the outline along one direction, which turns the plane a little
    assert np.degrees(np.arccos(min(1, abs(found @ normal)))) < 0.5 * max(spacing)
    assert abs(found @ (point - prepared.grid.origin) - plane.offset) < 0.5


@pytest.mark.parametrize(
    ("name", "angles", "shift"),
    [
        ("BraTS2021_00000", (14, -9, 5), (3, -8, 15)),
        ("BraTS20_Training_001", (-22, 11, -8), (-5, 4, -18)),
        pytest.param("BraTS2021_00003", (10, 20, 0), (0, 6, 9), marks=pytest.mark.slow),
        pytest.param("BraTS2021_00006", (-9, -17, 6), (2, 0, -14), marks=pytest.mark.slow),
        pytest.param("Brats18_TCIA05_396_1", (0, 26, 0), (0, 0, 20), marks=pytest.mark.slow),
        pytest.param("brats_2013_pat0001_1", (-19, -3, 12), (0, -9, 1), marks=pytest.mark.slow),
    ],
)
def test_the_plane_of_a_patient_with_a_tumor_turns_with_him(
    real_case: Callable[[str], Path],
    name: str,
    angles: tuple[float, float, float],
    shift: tuple[float, float, float],
) -> None:
    prepared = prepare(read_study(find_cases(real_case(name)).cases[0]))
    before = find_plane(prepared.image, prepared.available)
    center = np.argwhere(prepared.brain).mean(0)
    turn, shape = rotation(*angles), np.array(prepared.brain.shape) + 60
    middle = (shape - 1) / 2 + shift
    moved = np.stack(
        [
            ndimage.affine_transform(channel, turn.T, center - turn.T @ middle, tuple(shape), order=1)
            for channel in prepared.image
        ]
    )
    after = find_plane(moved, prepared.available)
    normal = turn @ before.normal
    side = center @ before.normal - before.offset
    angle, _ = errors(after, normal, middle)
    assert angle < 1
    assert abs(np.array(after.normal) @ middle - after.offset - side) < 1
