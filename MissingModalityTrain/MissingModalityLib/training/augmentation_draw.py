"""The random draw of all parameters of one sample's augmentation."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from ..core.modalities import MODALITIES
from .augmentation_contrast import CONTRAST_DEGREE, draw_contrast
from .augmentation_levels import LEVELS, Acquisition, Level, Range, Resampling
from .augmentation_skull_strip import draw_rim, draw_strip


def draw(level: str, random: np.random.Generator) -> dict[str, np.ndarray]:
    """Draw all that is random about one sample's augmentation.

    Args:
        level: one of :data:`.augmentation_levels.AUGMENTATIONS`.
        random: source of all choices.

    Returns:
        {} for "none", else arrays whose shapes do not depend on what was drawn. What was not drawn has the
        value that changes nothing, given in brackets:

        - ``affine`` (3, 3) float32: times a voxel's offset from the crop's center, (z, y, x) in voxels, it is
          the offset that the voxel is taken from (identity);
        - ``flip`` (3,) bool: axes mirrored after that (False);
        - ``bias`` (4, 3, 3, 3) float32: coefficients of Legendre polynomials along z, y, x of total degree up
          to 2, whose sum is the logarithm of the bias field (0);
        - ``blur`` (4, 3) float32: standard deviations along z, y, x, voxels (0);
        - ``gamma`` (4,) float32 (1); ``scale`` (4,) float32: factor (1); ``shift`` (4,) float32 (0);
        - ``noise`` (4,) float32: standard deviation (0); ``seed`` (4,) int64: of the noise.

        "clinical" has beside:

        - ``misregistration`` (4, 3, 4) float32: of each modality, before all share ``affine``: as that one,
          with a shift in voxels in the last column (identity and 0);
        - ``strip`` (6, 6, 6) float32: error of the skull strip on a coarse grid over the crop, from -2, brain
          near the surface taken away, to 2, non-brain left around it (0); ``rim`` (4, 2) float32:
          z-scores of what is left around the brain, beside it and farther away;
        - ``contrast`` (4, 8) float32: see :func:`.augmentation_contrast.draw_contrast` (0);
        - ``shading`` (4, 3, 3, 3) float32: as ``bias``, for a field of raw intensities (0);
        - ``slices`` (4, 3) float32: distance of slices along z, y, x, voxels, in one of them at most (0);
          ``phase`` (4,) float32: how far the first slice lies before the crop, in distances of slices;
        - ``coverage`` (4, 3, 2) float32: where a sequence begins and ends along z, y, x, as shares of the
          crop (0 and 1).

        "nnunet" has beside, (4,) float32 each: ``stretch``, the factor of intensities within their range (1),
        ``coarseness``, the distance of voxels (1), and ``inverted_gamma`` (1).
    """
    strength = LEVELS[level]
    if strength is None:
        return {}
    drawn = {
        "affine": _draw_affine(strength, random),
        "flip": random.random(3) < 0.5,
        "bias": _draw_each(0, strength.bias, random, 3, 3, 3) * _low_degree(),
        "blur": _draw_each(0, strength.blur, random, 3),
        "gamma": _draw_each(1, strength.gamma, random),
        "scale": _draw_each(1, strength.scale, random),
        "shift": _draw_each(0, strength.shift, random),
        "noise": _draw_each(0, strength.noise, random),
        "seed": random.integers(2**32, size=len(MODALITIES)),
    }
    if strength.acquisition:
        drawn |= _draw_acquisition(strength.acquisition, random)
    if strength.resampling:
        drawn |= _draw_resampling(strength.resampling, drawn["affine"], random)
    return drawn


def _low_degree() -> np.ndarray:
    """(3, 3, 3) bool: coefficients of polynomials of total degree up to 2."""
    return np.indices((3, 3, 3)).sum(axis=0) <= 2


def _draw_each(neutral: float, allowed: Range, random: np.random.Generator, *shape: int) -> np.ndarray:
    """(4, *shape) float32: for each modality values in the allowed range, or all ``neutral``."""
    probability, low, high = allowed
    happens = random.random(len(MODALITIES)) < probability
    values = random.uniform(low, high, (len(MODALITIES), *shape))
    return _where(happens, values, neutral)


def _where(happens: np.ndarray, values: np.ndarray, neutral: np.ndarray | float) -> np.ndarray:
    """(4, ...) float32: the ``values`` of modalities to which it happens, ``neutral`` for the others."""
    return np.where(happens.reshape(-1, *(1,) * (values.ndim - 1)), values, neutral).astype(np.float32)


def _draw_affine(strength: Level, random: np.random.Generator) -> np.ndarray:
    if random.random() >= strength.moved:
        return np.eye(3, dtype=np.float32)
    degrees = np.zeros(3)
    degrees[random.permutation(3)[: strength.axes]] = random.uniform(-1, 1, strength.axes) * strength.degrees
    shear = np.eye(3) + random.uniform(-1, 1, (3, 3)) * strength.shear * (1 - np.eye(3))
    zoom = np.diag(1 + random.uniform(-1, 1, 3) * strength.zoom)
    return (Rotation.from_euler("xyz", degrees, degrees=True).as_matrix() @ shear @ zoom).astype(np.float32)


def _draw_acquisition(kind: Acquisition, random: np.random.Generator) -> dict[str, np.ndarray]:
    """What only "clinical" has."""
    count = len(MODALITIES)
    shading = random.uniform(-kind.shading, kind.shading, (count, 3, 3, 3)) * _low_degree()
    shading[:, 0, 0, 0] = 0  # a factor of the whole brain would go when it is z-scored
    axes = np.eye(3)[random.integers(3, size=count)]
    distances = random.uniform(*kind.slice_thickness, (count, 1))
    return {
        "misregistration": _touch(kind, random, _draw_rigid(kind, random), np.eye(3, 4)),
        "strip": draw_strip(kind.strip_share * (random.random() < kind.touched), random),
        "rim": draw_rim(random),
        "contrast": _touch(kind, random, draw_contrast(random), np.zeros(CONTRAST_DEGREE + 1)),
        "shading": _touch(kind, random, shading, 0),
        "slices": _touch(kind, random, axes * distances, 0),
        "phase": random.random(count).astype(np.float32),
        "coverage": _touch(kind, random, _draw_coverage(kind, random), np.array([0, 1])),
    }


def _draw_resampling(
    kind: Resampling, affine: np.ndarray, random: np.random.Generator
) -> dict[str, np.ndarray]:
    """What only "nnunet" has, and the ``affine`` of all with its change of size."""
    probability, low, high = kind.size
    factor = random.uniform(low, high) if random.random() < probability else 1.0
    return {
        "affine": (affine * factor).astype(np.float32),
        "stretch": _draw_each(1, kind.contrast, random),
        "coarseness": _draw_each(1, kind.coarseness, random),
        "inverted_gamma": _draw_each(1, kind.inverted_gamma, random),
    }


def _touch(
    kind: Acquisition, random: np.random.Generator, values: np.ndarray, neutral: np.ndarray | float
) -> np.ndarray:
    """``values`` (4, ...) for some modalities of some samples, else ``neutral``; float32."""
    touched = random.random() < kind.touched
    return _where(touched & (random.random(len(MODALITIES)) < kind.each), values, neutral)


def _draw_rigid(kind: Acquisition, random: np.random.Generator) -> np.ndarray:
    """(4, 3, 4): rotations about random axes, and shifts in random directions."""
    vectors = random.normal(size=(2, len(MODALITIES), 3))
    axes, directions = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    angles, lengths = random.random((2, len(MODALITIES), 1)) * [[[kind.degrees]], [[kind.translation]]]
    turns = Rotation.from_rotvec(axes * angles, degrees=True).as_matrix()
    return np.concatenate([turns, (directions * lengths)[:, :, None]], axis=2)


def _draw_coverage(kind: Acquisition, random: np.random.Generator) -> np.ndarray:
    """(4, 3, 2): all along two axes, and along the third one without a part at one end."""
    count = len(MODALITIES)
    coverage = np.tile([0.0, 1.0], (count, 3, 1))
    axes, ends = random.choice(3, count, p=kind.missing_along), random.integers(2, size=count)
    coverage[np.arange(count), axes, ends] -= (2 * ends - 1) * random.uniform(*kind.missing, count)
    return coverage
