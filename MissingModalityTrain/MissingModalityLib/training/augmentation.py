"""Augmentation of a batch of crops on the device it lies on: parameters are drawn first, then applied.

MONAI's random transforms change one sample at a time on the host, and each one that moves voxels interpolates
anew. Here a batch is moved in one go where it lies, once, which keeps a GPU from waiting for the host.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor
from torch.nn.functional import grid_sample

from ..core.modalities import MODALITIES

_SPACE = (-3, -2, -1)
"""The axes z, y, x of any tensor of volumes."""

_BLUR_RADIUS = 4
"""Voxels after which the widest blur is cut off, 4 standard deviations."""


_Range = tuple[float, float, float]
"""The probability of a change, and the lowest and highest value that its parameters may have."""
_NEVER: _Range = (0.0, 0.0, 0.0)


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


_STRENGTHS = {
    "none": None,
    "paper": _Level(moved=1.0, axes=1, degrees=10, scale=(1.0, 0.9, 1.1), shift=(1.0, -0.1, 0.1)),
    # our own: no paper is followed
    "strong": _Level(
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
    ),
}

AUGMENTATIONS = tuple(_STRENGTHS)
"""Names of the levels. "none"; "paper", as in RFNet (Ding et al., ICCV 2021), with one draw per volume:
rotation within 10 degrees about one axis, flips, scale and shift of intensities within 0.1; "strong", for few
cases: rotation about all axes, zoom, shear, flips, bias field, blur, gamma, scale, shift and noise."""


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
    """
    strength = _STRENGTHS[level]
    if strength is None:
        return {}
    low_degree = np.indices((3, 3, 3)).sum(axis=0) <= 2
    return {
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


def apply(image: Tensor, label: Tensor, drawn: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Change a batch as drawn. A sample's result depends neither on the others nor on any global state.

    Rotation, zoom, shear and flips are one interpolation: trilinear for the image, nearest for the label. A
    sample that is at most flipped is not interpolated, so it is not blurred either. The brain moves like the
    label: what interpolation would smear of a volume's edge into the air is cut off again. What comes from
    outside the crop is 0.

    Args:
        image: (B, 4, D, H, W) float32, 0 outside the brain and in missing channels; stays as it is.
        label: (B, D, H, W) uint8, on the same device; stays as it is.
        drawn: what :func:`draw` returned for each sample, stacked: (B, ...). Keep it on the host, where it is
            read to skip what was not drawn; on a GPU it would have to be waited for.

    Returns:
        Image and label as they came in, changed; 0 outside the moved brain and in missing channels. The noise
        differs between kinds of devices.
    """
    if not drawn:
        return image, label
    drawn = {name: value.cpu() for name, value in drawn.items()}
    image, label = _move(image, label, drawn["affine"], drawn["flip"])
    volumes = image.flatten(0, 1)
    brain = _brain(volumes)
    by_volume = {name: drawn[name].flatten(0, 1) for name in drawn if name not in ("affine", "flip")}
    _change(volumes, by_volume["bias"], 0, _biased)
    _change(volumes, by_volume["blur"], 0, _blurred)
    _change(volumes, by_volume["gamma"], 1, _with_gamma)
    # two steps, not a fused one: which voxels a CPU fuses depends on their place in the batch
    volumes.mul_(_like(by_volume["scale"], volumes)).add_(_like(by_volume["shift"], volumes))
    _add_noise(volumes, by_volume["noise"], by_volume["seed"])
    volumes.mul_(brain)
    return image, label


def _move(image: Tensor, label: Tensor, affine: Tensor, flip: Tensor) -> tuple[Tensor, Tensor]:
    """Geometry into new tensors; ``affine`` (B, 3, 3) and ``flip`` (B, 3) on the host."""
    moved_image, moved_label = torch.empty_like(image), torch.empty_like(label)
    still = (affine == torch.eye(3)).flatten(1).all(dim=1)
    for sample in still.nonzero()[:, 0].tolist():
        axes = [axis - 3 for axis in range(3) if flip[sample, axis]]
        moved_image[sample] = image[sample].flip(axes)
        moved_label[sample] = label[sample].flip(axes)
    if not still.all():
        # a mirrored axis of the result is a negative column
        matrix = torch.where(flip[:, None], -affine, affine)[~still].to(image.device)
        rows = (~still).nonzero()[:, 0].to(image.device)
        moved_image[rows], moved_label[rows] = _resample(image[rows], label[rows], matrix)
    return moved_image, moved_label


def _resample(image: Tensor, label: Tensor, matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Trilinear image, nearest label at ``matrix`` (B, 3, 3) times the offsets from the center (z, y, x)."""
    size = image.shape[2:]
    offsets = [torch.arange(n, device=image.device) - (n - 1) / 2 for n in size]
    # grid_sample counts from -1 to 1 between a volume's outer borders, x first
    matrix = (matrix * 2 / matrix.new_tensor(size)[:, None]).flip(1)
    z, y, x = (
        _along(offset, 3 - axis) * matrix[:, None, None, None, :, axis] for axis, offset in enumerate(offsets)
    )
    grid = (z + y) + x
    # Brains (one bit for each modality) and, above these bits, the label share one volume: one resampling to
    # the nearest voxel in place of one for each. 7 modalities and labels up to 255 would still fit 16 bits.
    brain_bits = image.shape[1]
    bits = torch.arange(brain_bits, device=image.device)
    brains = torch.einsum("bmdhw,m->bdhw", _brain(image), 2.0**bits)
    code = (2.0**brain_bits * label + brains)[:, None]
    code = grid_sample(code, grid, mode="nearest", align_corners=False).short()
    moved = grid_sample(image, grid, mode="bilinear", align_corners=False)
    return moved.mul_((code >> _along(bits.short(), 3)) & 1), (code[:, 0] >> brain_bits).byte()


def _brain(volumes: Tensor) -> Tensor:
    """1.0 where a volume is not 0, else 0.0; a CPU compares into floats far faster than into bools."""
    return torch.ne(volumes, 0, out=torch.empty_like(volumes))


def _change(
    volumes: Tensor, parameters: Tensor, neutral: float, change: Callable[[Tensor, Tensor], Tensor]
) -> None:
    """Change those of ``volumes`` (V, D, H, W), in place, whose ``parameters`` (V, ...) are not neutral."""
    drawn = (parameters != neutral).reshape(len(parameters), -1).any(dim=1)
    if drawn.any():
        rows = drawn.nonzero()[:, 0].to(volumes.device)
        volumes[rows] = change(volumes[rows], parameters[drawn].to(volumes.device))


def _biased(volumes: Tensor, coefficients: Tensor) -> Tensor:
    """Times the exponential of a sum of Legendre polynomials over -1 to 1 along each axis."""
    field = coefficients  # (V, 3, 3, 3) becomes (V, 3, 3, W), (V, 3, H, W), (V, D, H, W)
    for axis in (3, 2, 1):
        x = _along(torch.linspace(-1, 1, volumes.shape[axis], device=volumes.device), 3 - axis)
        constant, linear, square = field.split(1, dim=axis)
        field = constant + linear * x + square * (1.5 * x * x - 0.5)
    return volumes * field.exp()


def _blurred(volumes: Tensor, sigmas: Tensor) -> Tensor:
    """Convolved with Gaussians, voxel by voxel integrated, of ``sigmas`` (V, 3); beyond the crop lies 0.

    One banded matrix per axis: matrix products beat convolutions of one channel on CPU and GPU.
    """
    for axis, product in enumerate(("vij,vjhw->vihw", "vij,vdjw->vdiw", "vij,vdhj->vdhi")):
        place = torch.arange(volumes.shape[axis + 1], device=volumes.device)
        distance = (place[:, None] - place).float()
        width = sigmas[:, axis, None, None] * math.sqrt(2)
        band = (torch.erf((distance + 0.5) / width) - torch.erf((distance - 0.5) / width)) / 2
        volumes = torch.einsum(product, band * (distance.abs() <= _BLUR_RADIUS), volumes)
    return volumes


def _with_gamma(volumes: Tensor, gamma: Tensor) -> Tensor:
    """Intensities stretched to 0 to 1, raised to ``gamma`` (V,) and stretched back."""
    low, high = volumes.amin(_SPACE, keepdim=True), volumes.amax(_SPACE, keepdim=True)
    extent = (high - low).clamp_min(1e-7)  # an all-zero (missing) volume stays 0 and not 0 / 0
    return ((volumes - low) / extent).pow(_along(gamma, 3)) * extent + low


def _add_noise(volumes: Tensor, deviations: Tensor, seeds: Tensor) -> None:
    """Gaussian noise in place; a generator for each volume keeps it apart from the batch it is in."""
    generator = torch.Generator(volumes.device)
    for volume, deviation, seed in zip(volumes, deviations.tolist(), seeds.tolist(), strict=True):
        if deviation:
            generator.manual_seed(seed)
            volume.add_(torch.randn(volume.shape, generator=generator, device=volume.device) * deviation)


def _like(values: Tensor, volumes: Tensor) -> Tensor:
    """One value for each of ``volumes`` (V, D, H, W), beside them: (V, 1, 1, 1)."""
    return _along(values, 3).to(volumes.device)


def _along(values: Tensor, axes_after: int) -> Tensor:
    """A vector (N,) along an axis that so many others follow: (N, 1, ...)."""
    return values.view(-1, *(1,) * axes_after)
