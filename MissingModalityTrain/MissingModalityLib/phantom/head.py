"""A head around a brain: skull, scalp, face and neck, as they surround it before a skull is stripped.

Tissues follow the distance to the brain's hull, so any brain gets a head that fits: a synthetic one, or a
patient's whose skull was stripped. Axes of the volumes are LPS: x to the left, y to the back, z up.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import SimpleITK as sitk

from ..core.errors import ImageError
from ..core.modalities import Modality
from ..imaging.boxes import tightest_box
from ..imaging.grid import ORIENTATION, Grid
from .random_fields import Field, Points, ellipsoid, lattice, smoothstep, soft_union, tube

INTENSITIES: Mapping[str, tuple[float, ...]] = {
    "gap": (0.40, 0.45, 0.45, 2.20),
    "bone": (0.15, 0.15, 0.15, 0.12),
    "marrow": (1.00, 1.20, 1.20, 0.80),
    "fat": (2.00, 2.20, 3.00, 1.70),
    "skin": (1.00, 1.20, 1.20, 0.80),
    "muscle": (0.80, 1.10, 0.70, 0.50),
    "eye": (0.30, 0.40, 0.40, 2.80),
}
"""Relative to the brain's median, in FLAIR, T1ce, T1, T2.

Marrow and fat: medians and 90th percentiles by distance from the brain in a raw patient of TCGA-LGG with four
sequences; the others lie where tissues of like water content do in :data:`.contrast.MEANS`.
"""

_LAYERS_MM = (("gap", 1.5), ("bone", 3.0), ("marrow", 6.0), ("bone", 7.5), ("fat", 11.5), ("skin", 13.0))
"""What lies around the hull and where it ends; the patient's scalp ended at 12 to 14 mm."""

_HEAD_MM = _LAYERS_MM[-1][1]
_COARSE_MM = 2.0
"""Layers are thicker; at half of it a head would take eight times as long."""

_HULL_MM = 12.0
"""Sulci and fissures up to twice as wide are bridged: the skull does not follow them."""

_MARGINS_MM = ((25.0, 25.0), (45.0, 25.0), (60.0, 25.0))
"""Around the brain before and behind it along x, y, z: air, and room for face and neck."""

_VARIATION = 0.15
_VARIATION_MM = 18.0
_FAT_MM = 24.0
_RIM = 1.0
"""Of the unevenness, its wavelength, that of the fat in face and neck, and half the width of borders, mm."""

_SKIN_MM, _FAT_LAYER_MM, _CORTEX_MM = 3.0, 9.0, 2.0
"""Of face and neck: the depth that skin and the fat below it reach, and how thick the wall of bones is."""


def put_into_head(volumes: Mapping[Modality, sitk.Image], seed: int) -> dict[Modality, sitk.Image]:
    """The volumes of a stripped brain with a head around it.

    Args:
        volumes: on one grid, background 0.
        seed: of the tissues' unevenness.

    Returns:
        float32 on one LPS grid of the same spacing, as large as the head; air is 0.

    Raises:
        ImageError: nothing but background.
    """
    oriented = {m: sitk.DICOMOrient(image, ORIENTATION) for m, image in volumes.items()}
    arrays = {m: sitk.GetArrayFromImage(image).astype(np.float32) for m, image in oriented.items()}
    brain = np.logical_or.reduce([array != 0 for array in arrays.values()])
    box = tightest_box(brain)
    if box is None:
        raise ImageError("The volumes hold nothing but background. Give a brain to put into a head.")
    full = Grid.from_image(next(iter(oriented.values())))
    grid = _with_margins(full, box)
    shares = _tissues(grid, full.to_image(brain.astype(np.uint8)), np.random.default_rng([seed, 3]))
    inside = sitk.GetArrayFromImage(grid.resample(full.to_image(brain.astype(np.uint8)), _NEAREST, 0)) > 0
    heads = {}
    for modality, array in arrays.items():
        level = float(np.median(array[brain]))
        head = sum(np.float32(level * INTENSITIES[name][modality]) * share for name, share in shares.items())
        around = sitk.GetArrayFromImage(grid.resample(_coarse(grid).to_image(head), sitk.sitkLinear, 0))
        own = sitk.GetArrayFromImage(grid.resample(full.to_image(array), _NEAREST, 0))
        heads[modality] = grid.to_image(np.where(inside, own, around))
    return heads


_NEAREST = sitk.sitkNearestNeighbor


def _with_margins(grid: Grid, box: tuple[slice, ...]) -> Grid:
    start, size = [], []
    for part, spacing, (before, behind) in zip(reversed(box), grid.spacing, _MARGINS_MM, strict=True):
        start.append(part.start - round(before / spacing))
        size.append(part.stop + round(behind / spacing) - start[-1])
    return grid.crop(tuple(start), tuple(size))


def _coarse(grid: Grid) -> Grid:
    """The same extent at 2 mm, or at the grid's own spacing where that is wider."""
    spacing = tuple(max(_COARSE_MM, own) for own in grid.spacing)
    size = np.ceil(np.multiply(grid.size, grid.spacing) / spacing).astype(int) + 1
    return Grid(tuple(size.tolist()), spacing, grid.origin, grid.direction)


def _tissues(grid: Grid, brain: sitk.Image, random: np.random.Generator) -> dict[str, np.ndarray]:
    """Share of each tissue in the voxels of the coarse grid, uneven as tissues are."""
    coarse = _coarse(grid)
    hull = coarse.resample(brain, _NEAREST, 0)
    radius = [max(1, round(_HULL_MM / spacing)) for spacing in coarse.spacing]
    hull = sitk.BinaryFillhole(sitk.BinaryMorphologicalClosing(hull, radius))
    far = sitk.SignedMaurerDistanceMap(
        hull, insideIsPositive=False, squaredDistance=False, useImageSpacing=True
    )
    distance = sitk.GetArrayFromImage(far)
    points = lattice(coarse.size, coarse.spacing)
    shares = _layers(distance)
    outside = smoothstep(distance - _HEAD_MM, _RIM)
    for name, share in _face_and_neck(distance, points, tightest_box(distance < 0), random).items():
        shares[name] = shares.get(name, 0) + share * outside
    uneven = 1 + np.float32(_VARIATION) * Field.sample(random, _VARIATION_MM)(points)
    return {name: (share * uneven).astype(np.float32) for name, share in shares.items()}


def _layers(distance: np.ndarray) -> dict[str, np.ndarray]:
    """Shares of what surrounds the hull, by the distance to it."""
    shares: dict[str, np.ndarray] = {}
    begin = np.ones_like(distance)  # all that is not brain inside the hull is fluid
    for name, end in _LAYERS_MM:
        rest = smoothstep(distance - end, _RIM)
        shares[name] = shares.get(name, 0) + begin * (1 - rest)
        begin = rest
    return shares


def _face_and_neck(
    distance: np.ndarray, points: Points, box: tuple[slice, ...], random: np.random.Generator
) -> dict[str, np.ndarray]:
    """Shares outside the scalp: eyes, bones, muscles, fat under the skin, airways, and skin over all."""
    shapes = _shapes(points, box)
    around = (_HEAD_MM - distance).astype(np.float32)
    depth = soft_union(shapes["face"], shapes["nose"], shapes["neck"], around, blend=10.0)
    flesh = smoothstep(depth - _SKIN_MM, _RIM)
    eye = smoothstep(shapes["eyes"], _RIM)
    hard, marrow = (smoothstep(shapes["bones"] - wall, _RIM) for wall in (0, _CORTEX_MM))
    fluid = smoothstep(shapes["canal"], _RIM) - smoothstep(shapes["cord"], _RIM)
    uneven = Field.sample(random, _FAT_MM)(points)
    # under the skin, and a little of it among the muscles
    fat = np.maximum(smoothstep(_FAT_LAYER_MM + uneven - depth, _RIM), 0.2 * smoothstep(uneven - 0.5, 0.5))
    solid = flesh * (1 - np.maximum(eye, smoothstep(shapes["airways"], _RIM)))
    soft = solid * (1 - np.maximum(hard, fluid))
    return {
        "eye": eye,
        "fat": soft * fat,
        "muscle": soft * (1 - fat),
        "marrow": solid * marrow,
        "bone": solid * (hard - marrow),
        "gap": solid * fluid * (1 - hard),
        "skin": (smoothstep(depth, _RIM) - flesh) * (1 - eye),
    }


def _shapes(points: Points, box: tuple[slice, ...]) -> dict[str, np.ndarray]:
    """Signed distances in mm to what face and neck consist of, positive inside.

    Places are those of the average adult, in mm from the middle of the brain's front and its lowest point.
    """
    x, y, z = (_ends(axis, part) for axis, part in zip(points, reversed(box), strict=True))
    middle, front, bottom, half_length = sum(x) / 2, y[0], z[0], (y[1] - y[0]) / 2

    def ball(left: float, behind: float, above: float, *radii: float) -> np.ndarray:
        return ellipsoid(points, (middle + left, front + behind, bottom + above), radii)

    def balls(left: float, behind: float, above: float, *radii: float) -> np.ndarray:
        return np.maximum(ball(-left, behind, above, *radii), ball(left, behind, above, *radii))

    def pillar(behind: float, above: float, radius: float) -> np.ndarray:
        return _upright(points, (middle, front + behind), (bottom - 90, bottom + above), radius)

    nasal = np.maximum(balls(7, 12, 8, 4, 28, 16), balls(28, 18, 4, 11, 14, 13))  # and sinuses
    jaws = soft_union(ball(0, 8, -16, 28, 26, 7), ball(0, 2, -46, 26, 14, 10))
    return {
        "face": ball(0, 30, 0, 60, 50, 60),
        "nose": ball(0, -20, 2, 12, 16, 16),
        "neck": pillar(half_length + 20, 10, 52.0),
        "eyes": balls(32, 5, 32, 12, 12, 12),
        "airways": np.maximum(nasal, pillar(55, 10, 9.0)),
        "bones": np.maximum(jaws, pillar(half_length - 12, -6, 11.0)),  # and the spine
        "canal": pillar(half_length + 8, 10, 9.0),
        "cord": pillar(half_length + 8, 10, 5.0),
    }


def _ends(axis: np.ndarray, part: slice) -> tuple[float, float]:
    line = axis.ravel()[part]
    return float(line[0]), float(line[-1])


def _upright(
    points: Points, place: tuple[float, float], ends: tuple[float, float], radius: float
) -> np.ndarray:
    path = np.array([[*place, height] for height in ends])
    return tube(points, path, np.array([radius, radius]))
