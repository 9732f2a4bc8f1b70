"""Levels of augmentation, and the random draw of all parameters of one sample."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial.transform import Rotation

from ..core.modalities import MODALITIES
from .augmentation_contrast import CONTRAST_DEGREE, draw_contrast

_Range = tuple[float, float, float]
"""The probability of a change, and the lowest and highest value that its parameters may have."""
_NEVER: _Range = (0.0, 0.0, 0.0)


@dataclass(frozen=True)
class _Acquisition:
    """What scanners and preparation do to a sequence. Each leaves half of the samples alone.

    Attributes:
        touched: probability that a sample has any of one kind of simulation.
        each: probability that a sequence of such a sample is concerned.
        slice_thickness: distance of slices and full width of their profile, voxels of 1 mm.
        translation: largest shift of a sequence against the label, voxels of 1 mm in each direction together.
        degrees: largest rotation of a sequence against the label.
    """

    touched: float
    each: float
    slice_thickness: tuple[float, float]
    translation: float
    degrees: float


@dataclass(frozen=True)
class _Level:
    """How strong a level is. Geometry is drawn for a crop, intensities for each of its modalities on its own.

    Attributes:
        moved: probability of rotation, zoom and shear, which come together.
        axes: axes, chosen at random, that a crop is rotated about.
        degrees: largest rotation about an axis.
        scale: factor of intensities.
        shift: addition to intensities.
        zoom: largest change of the size along an axis, as a share of it.
        shear: largest shear of an axis along another.
        bias: coefficients of the logarithm of the bias field.
        blur: standard deviation along an axis, voxels.
        gamma: exponent of intensities stretched to 0 to 1.
        noise: standard deviation of Gaussian noise.
        acquisition: what raw clinical input brings beside; None for nothing of it.
    """

    moved: float
    axes: int
    degrees: float
    scale: _Range
    shift: _Range
    zoom: float = 0.0
    shear: float = 0.0
    bias: _Range = _NEVER
    blur: _Range = _NEVER
    gamma: _Range = _NEVER
    noise: _Range = _NEVER
    acquisition: _Acquisition | None = None


_PAPER = _Level(moved=1.0, axes=1, degrees=10, scale=(1.0, 0.9, 1.1), shift=(1.0, -0.1, 0.1))

# our own: no paper is followed
_STRONG = _Level(
    moved=0.7,
    axes=3,
    degrees=20,
    zoom=0.15,
    shear=0.05,
    scale=(0.8, 0.75, 1.25),
    shift=(0.8, -0.25, 0.25),
    bias=(0.2, -0.15, 0.15),
    blur=(0.15, 0.4, 1.0),
    gamma=(0.4, 0.7, 1.5),
    noise=(0.25, 0.0, 0.15),
)
_STRENGTHS = {
    "none": None,
    "paper": _PAPER,
    "strong": _STRONG,
    "clinical": replace(
        _STRONG,
        acquisition=_Acquisition(
            touched=0.5, each=0.5, slice_thickness=(2.0, 6.0), translation=2.0, degrees=2.0
        ),
    ),
}

AUGMENTATIONS = tuple(_STRENGTHS)
"""Names of the levels. "none"; "paper", as in RFNet (Ding et al., ICCV 2021), with one draw per volume:
rotation within 10 degrees about one axis, flips, scale and shift of intensities within 0.1; "strong", for few
cases: rotation about all axes, zoom, shear, flips, bias field, blur, gamma, scale, shift and noise;
"clinical", for input as clinics send it: all of "strong", contrast, thick slices and misregistration."""


def draw(level: str, random: np.random.Generator) -> dict[str, np.ndarray]:
    """Draw all that is random about one sample's augmentation.

    Args:
        level: one of :data:`AUGMENTATIONS`.
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

        - ``misregistration`` (4, 3, 4) float32: as ``affine`` with a shift in voxels in the last column, for
          each modality before all share their ``affine`` (identity and 0);
        - ``contrast`` (4, 6) float32: see :func:`.augmentation_contrast.draw_contrast` (all 0);
        - ``slices`` (4, 3) float32: distance of slices along z, y, x, voxels, in one of them at most (0);
        - ``phase`` (4,) float32: how far the first slice lies before the crop, as a share of their distance.
    """
    strength = _STRENGTHS[level]
    if strength is None:
        return {}
    low_degree = np.indices((3, 3, 3)).sum(axis=0) <= 2
    drawn = {
        "affine": _draw_affine(strength, random),
        "flip": random.random(3) < 0.5,
        "bias": _draw_each(0, strength.bias, random, 3, 3, 3) * low_degree,
        "blur": _draw_each(0, strength.blur, random, 3),
        "gamma": _draw_each(1, strength.gamma, random),
        "scale": _draw_each(1, strength.scale, random),
        "shift": _draw_each(0, strength.shift, random),
        "noise": _draw_each(0, strength.noise, random),
        "seed": random.integers(2**32, size=len(MODALITIES)),
    }
    return drawn | (_draw_acquisition(strength.acquisition, random) if strength.acquisition else {})


def _draw_each(neutral: float, allowed: _Range, random: np.random.Generator, *shape: int) -> np.ndarray:
    """(4, *shape) float32: for each modality values in the allowed range, or all ``neutral``."""
    probability, low, high = allowed
    happens = random.random(len(MODALITIES)) < probability
    values = random.uniform(low, high, (len(MODALITIES), *shape))
    return np.where(happens.reshape(-1, *(1,) * len(shape)), values, neutral).astype(np.float32)


def _draw_affine(strength: _Level, random: np.random.Generator) -> np.ndarray:
    if random.random() >= strength.moved:
        return np.eye(3, dtype=np.float32)
    degrees = np.zeros(3)
    degrees[random.permutation(3)[: strength.axes]] = random.uniform(-1, 1, strength.axes) * strength.degrees
    shear = np.eye(3) + random.uniform(-1, 1, (3, 3)) * strength.shear * (1 - np.eye(3))
    zoom = np.diag(1 + random.uniform(-1, 1, 3) * strength.zoom)
    return (Rotation.from_euler("xyz", degrees, degrees=True).as_matrix() @ shear @ zoom).astype(np.float32)


def _draw_acquisition(kind: _Acquisition, random: np.random.Generator) -> dict[str, np.ndarray]:
    """What only "clinical" has; everything is drawn whether it is used or not, so that shapes are one."""
    concerned = {name: _concerned(kind, random) for name in ("contrast", "slices", "misregistration")}
    contrast = np.stack([draw_contrast(random) for _ in MODALITIES])
    unchanged = np.zeros(CONTRAST_DEGREE + 1)
    axes = np.eye(3)[random.integers(3, size=len(MODALITIES))]
    thickness = random.uniform(*kind.slice_thickness, len(MODALITIES))
    rigid = np.stack([_draw_rigid(kind, random) for _ in MODALITIES])
    return {
        "misregistration": _where(concerned["misregistration"], rigid, np.eye(3, 4)),
        "contrast": _where(concerned["contrast"], contrast, unchanged),
        "slices": _where(concerned["slices"], axes * thickness[:, None], np.zeros(3)),
        "phase": random.random(len(MODALITIES)).astype(np.float32),
    }


def _concerned(kind: _Acquisition, random: np.random.Generator) -> np.ndarray:
    """(4,) bool: modalities that a simulation changes, none of them in samples that it leaves alone."""
    return (random.random() < kind.touched) & (random.random(len(MODALITIES)) < kind.each)


def _where(concerned: np.ndarray, values: np.ndarray, neutral: np.ndarray) -> np.ndarray:
    """(4, ...) float32: ``values`` of modalities that are concerned, ``neutral`` of others."""
    return np.where(concerned.reshape(-1, *(1,) * (values.ndim - 1)), values, neutral).astype(np.float32)


def _draw_rigid(kind: _Acquisition, random: np.random.Generator) -> np.ndarray:
    """(3, 4): a rotation about a random axis, and a shift in a random direction."""
    axis, direction = (vector / np.linalg.norm(vector) for vector in random.normal(size=(2, 3)))
    angle, length = random.random(2) * (kind.degrees, kind.translation)
    turn = Rotation.from_rotvec(axis * angle, degrees=True).as_matrix()
    return np.column_stack([turn, direction * length])
