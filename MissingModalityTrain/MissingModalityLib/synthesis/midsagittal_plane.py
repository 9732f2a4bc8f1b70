"""The mid-sagittal plane of a brain in 3-D: one reflection for all modalities of a case.

Evidence is the brain's outline and the intensities of every available modality. Coarse to fine: a grid of
rotations with all shifts of each at once, then Gauss-Newton steps on the difference between the brain and its
mirror image, with weights that leave out what a tumor makes different.

The asymmetry error maps of AEM+KD (Eq. 2) need the mirror image. Their public code searches one shift per
slice and modality; here one plane serves the whole case. Points are (z, y, x) in voxels of 1 mm.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..core.errors import ImageError
from ..core.words import counted
from ..imaging.boxes import Box

LARGEST_ANGLE = math.radians(35)
"""How far the plane's normal may be turned away from the last axis, about each of the other two.

Heads registered to a template are turned by 2 to 3 degrees; the rest is for volumes as a scanner gives them.
"""

LARGEST_SHIFT = 30.0
"""How far the plane may lie from the brain's center of mass, in voxels.

0.2 mm in whole brains, so this is for volumes that show little more than half a brain.
"""

LEAST_BRAIN = 1000
"""Fewer voxels than this, 1 cm³, are not a brain: a thousandth of an adult's."""

# The values below were tried on six cases of BraTS with tumors. What is said to change is the angle, in the
# worst of them; the plane moved by at most 0.15 mm at the center of mass where nothing else is said.

# Angles tried about each axis, 10 degrees apart: with 4 the search starts too far off and ends 5 degrees and
# 0.4 mm from here, with 16 it takes twice as long and ends within 0.4 degrees.
_TURNS = 8

# Standard deviations at which intensities are cut off, so that a bright tumor counts no more than its size.
# Not critical: 1.5 and 5 change the angle by 0.1 degrees.
_LARGEST_INTENSITY = 2.5

# Intensities count relative to their mean over this many voxels of 2 mm: contrast that changes more slowly is
# edema, or the coil's sensitivity, rather than anatomy that has a twin on the other side. 4 changes the angle
# by 0.3 degrees, 16 by 1.
_STRUCTURE = 8

# Weight of a squared difference of outlines (brain against background is 1) beside one of intensities. With
# 3, large tumors turn the plane; above 100, flaws of skull stripping do.
_OUTLINE = 30.0

# Voxel in mm, difference in standard deviations beyond which intensities lose influence, and Gauss-Newton
# steps, coarse to fine. Half of the planes under trial is given up after each. With two steps each the angle
# is 1.4 degrees off; with twice as many it moves by another 0.5, with twice the differences by 0.2.
_RESOLUTIONS = ((8, 1.0, 4), (4, 0.7, 3), (2, 0.5, 4))

# Planes taken on from the search. One alone ends at the same plane in all six cases; the others are for
# brains whose coarse image is as symmetric about a wrong plane, and cost next to nothing.
_STARTS = 4

# Places in the brain that planes are judged at: 2,500 change the angle by 0.7 degrees, 40,000 by 0.3.
_POINTS = 10_000


@dataclass(frozen=True)
class Plane:
    """A plane in voxel coordinates (z, y, x) of an array with 1 mm isotropic voxels.

    Attributes:
        normal: unit vector (z, y, x) that points to growing x.
        offset: the plane holds the points p with ``dot(normal, p) == offset``, in voxels.
    """

    normal: tuple[float, float, float]
    offset: float

    def matrix(self) -> np.ndarray:
        """(4, 4) float64 reflection of homogeneous points (z, y, x, 1); its own inverse."""
        normal = np.array(self.normal)
        result = np.eye(4)
        result[:3, :3] -= 2 * np.outer(normal, normal)
        result[:3, 3] = 2 * self.offset * normal
        return result

    def reflect(self, volume: Tensor, box: Box | None = None) -> Tensor:
        """The mirror image, trilinear; 0 where it would come from outside the volume.

        Args:
            volume: (C, D, H, W) floating point.
            box: the part (z, y, x) of the mirror image that is wanted, slices with start and stop; the time
                is proportional to its size. None for the whole.

        Returns:
            (C, D, H, W), or (C, d, h, w) for a box; same dtype and device.
        """
        box = box or tuple(slice(0, size) for size in volume.shape[1:])
        axes = [torch.arange(part.start, part.stop, device=volume.device).float() for part in box]
        position = torch.meshgrid(*axes, indexing="ij")
        distance = sum(n * p for n, p in zip(self.normal, position, strict=True)) - self.offset
        mirrored = [p - 2 * n * distance for p, n in zip(position, self.normal, strict=True)]
        # slab by slab: PyTorch spreads the items of a batch over the processor's cores, never one item
        slabs = _sample(volume.float(), torch.stack(mirrored, -1).flatten(1, 2))
        return slabs.transpose(0, 1).reshape(-1, *distance.shape).to(volume.dtype)


def find_plane(
    image: Tensor | np.ndarray,
    available: Tensor | np.ndarray | None = None,
    device: str | torch.device = "cpu",
) -> Plane:
    """Find the mid-sagittal plane of a prepared case.

    Args:
        image: (C, D, H, W), one to four modalities; 1 mm voxels, left-right along the last axis but for a
            rotation of up to ``LARGEST_ANGLE``; z-scored inside the brain, 0 outside it.
        available: (C,) bool, the channels to look at; None for all. Channels that are all 0 do no harm.
        device: where to compute.

    Returns:
        One plane for all channels.

    Raises:
        ImageError: hardly any voxel differs from 0, or some are not finite.
    """
    volume = torch.as_tensor(image, device=device)
    if available is not None:
        volume = volume[torch.as_tensor(available, dtype=torch.bool, device=device)]
    brain = (volume != 0).any(0)
    count = int(brain.sum())
    if count < LEAST_BRAIN:
        raise ImageError(
            f"The volume holds no brain: {counted(count, 'voxel')} unlike the background, of at least "
            f"{LEAST_BRAIN} in a brain. Choose a volume with a brain in it."
        )
    levels = _pyramid(volume, brain)
    if not torch.isfinite(levels[0]).all():
        raise ImageError(
            "The volume holds NaN or infinite voxels, so its symmetry cannot be judged. Replace them by 0."
        )
    center = _center_of_mass(levels[0][-1], _RESOLUTIONS[-1][0])
    planes = _search(levels[-1], center)
    for level, (voxel, tolerance, steps) in zip(reversed(levels), _RESOLUTIONS, strict=True):
        planes = _refine(level, voxel, center, planes, tolerance, steps)
    best = planes[0].double()
    normal = _frames(best[:2])[2]
    return Plane(tuple(normal.tolist()), float(normal @ center.double() + best[2]))


def _pyramid(volume: Tensor, brain: Tensor) -> list[Tensor]:
    """(C + 1, d, h, w) at 2, 4 and 8 mm: structure of each channel, and the brain's share of the voxel."""
    level = torch.cat([_shrink(volume.float()), _shrink(brain[None].float())])
    level.clamp_(-_LARGEST_INTENSITY, _LARGEST_INTENSITY)
    mean = _shrink(level, _STRUCTURE)
    # the mean over brain alone; where hardly any of a cube is brain it would be a mean of noise
    mean /= mean[-1:].clamp(min=0.05)
    mean = F.interpolate(mean[None, :-1], scale_factor=float(_STRUCTURE), mode="trilinear")[0]
    depth, height, width = level.shape[1:]
    level[:-1] -= mean[:, :depth, :height, :width] * level[-1]
    return list(itertools.accumulate(_RESOLUTIONS[1:], lambda finer, _: _shrink(finer), initial=level))


def _shrink(volume: Tensor, factor: int = 2) -> Tensor:
    """Means over cubes of voxels, with zeros beyond the border."""
    short = [max(0, factor - size) for size in reversed(volume.shape[1:])]
    if any(short):  # the only padding that the pooling does not do itself
        volume = F.pad(volume, [pad for missing in short for pad in (0, missing)])
    return F.avg_pool3d(volume, factor, ceil_mode=True, divisor_override=factor**3)


def _center_of_mass(share: Tensor, voxel: int) -> Tensor:
    """(z, y, x) in full-size voxels of (d, h, w) larger ones."""
    center = []
    for axis in range(3):
        mass = share.sum([other for other in range(3) if other != axis])
        center.append(mass @ torch.arange(len(mass), device=mass.device).float() / mass.sum())
    return (torch.stack(center) + 0.5) * voxel - 0.5


def _frames(angles: Tensor) -> Tensor:
    """(..., 2) angles in rad about z and y -> (..., 3, 3) orthonormal rows; the last is the normal."""
    (sin_a, sin_b), (cos_a, cos_b) = angles.sin().unbind(-1), angles.cos().unbind(-1)
    rows = (
        (cos_b, -sin_a * sin_b, -cos_a * sin_b),
        (torch.zeros_like(cos_a), cos_a, -sin_a),
        (sin_b, sin_a * cos_b, cos_a * cos_b),
    )
    return torch.stack([torch.stack(row, -1) for row in rows], -2)


def _sample(volume: Tensor, points: Tensor, voxel: int = 1) -> Tensor:
    """Trilinear values (B, C, N) of (C, d, h, w) at points (B, N, 3) in full-size voxels; 0 outside."""
    size = torch.tensor(volume.shape[:0:-1], device=points.device) * voxel
    grid = points.flip(-1).mul_(2 / size).add_(1 / size - 1)  # -1 and 1 are the outer faces of the volume
    batch = volume.expand(len(points), *volume.shape)
    return F.grid_sample(batch, grid[:, :, None, None], align_corners=False).flatten(2)


def _search(volume: Tensor, center: Tensor) -> Tensor:
    """The most symmetric planes on a grid of rotations, each better than its neighbors.

    A brain turned so that the plane stands across the last axis falls into sagittal slices. The products of
    all pairs of slices, summed along anti-diagonals, correlate it with its mirror image for every shift.

    Returns:
        (K, 3): angles about z and y in rad and shift from the center in full-size voxels.
    """
    voxel = _RESOLUTIONS[0][0]
    turns = torch.linspace(-LARGEST_ANGLE, LARGEST_ANGLE, _TURNS, device=volume.device)
    angles = torch.cartesian_prod(turns, turns)
    reach = [
        math.ceil(max(c / voxel, n - c / voxel))
        for c, n in zip(center.tolist(), volume.shape[1:], strict=True)
    ]
    axes = [torch.arange(-r, r + 1, device=volume.device) * float(voxel) for r in reach]
    points = torch.cartesian_prod(*axes) @ _frames(angles) + center
    slices = _sample(volume, points, voxel).flatten(1).unflatten(1, (-1, len(axes[-1])))
    # one product of matrices holds the correlations for all shifts at once
    products = slices.mT @ slices
    most = min(int(2 * LARGEST_SHIFT / voxel), 2 * reach[-1])
    shifts = range(-most, most + 1)
    crossed = products.flip(-1)
    likeness = torch.stack([crossed.diagonal(-shift, 1, 2).sum(-1) for shift in shifts], -1)
    likeness /= products.diagonal(0, 1, 2).sum(-1, keepdim=True)
    best, where = likeness.max(-1)
    rivals = F.max_pool2d(best.view(1, _TURNS, _TURNS), 3, 1, 1).flatten()
    chosen = best.where(best == rivals, -math.inf).topk(_STARTS).indices
    return torch.cat([angles[chosen], (where[chosen, None] - most) * (voxel / 2)], 1)


def _refine(
    volume: Tensor, voxel: int, center: Tensor, planes: Tensor, tolerance: float, steps: int
) -> Tensor:
    """The better half of planes (K, 3), best first, after Gauss-Newton steps with reweighting.

    Intensities have the Geman-McClure loss, which levels off where a tumor has no counterpart; the outline,
    which a tumor hardly changes, has squares. Slopes are differences: three more samplings per step.
    """
    points = _points(volume[-1], voxel)
    values = _sample(volume, points[None], voxel)
    points = points - center
    # at most a voxel a step: a turn by voxel / 50 moves what lies 50 mm off the center by a voxel
    longest = torch.tensor([voxel / 50, voxel / 50, voxel], device=volume.device)
    # small beside a voxel, over which interpolated values bend, and large beside the noise of float32
    delta = longest / 20
    probes = torch.cat([torch.zeros_like(delta)[None], torch.diag(delta)])

    def differences(candidates: Tensor) -> Tensor:
        """Planes (..., 3) -> mirror image minus original (..., C + 1, N)."""
        normals = _frames(candidates[..., :2])[..., 2, :].flatten(0, -2)
        distance = normals @ points.T - candidates[..., 2].flatten()[:, None]
        mirrored = points - 2 * distance[..., None] * normals[:, None] + center
        return (_sample(volume, mirrored, voxel) - values).unflatten(0, candidates.shape[:-1])

    for _ in range(steps):
        now, *tried = differences(planes[:, None] + probes).unbind(1)
        slopes = torch.stack(tried, 1) - now[:, None]
        weights = (1 + (now / tolerance) ** 2) ** -2
        weights[:, -1] = _OUTLINE
        weighted = (slopes * weights[:, None]).flatten(2)
        curvature = weighted @ slopes.flatten(2).mT
        # damping: no direction is curved where the brain is a ball without features
        curvature += (
            1e-3
            * curvature.diagonal(0, 1, 2).amax(-1).clamp(min=1e-6)[:, None, None]
            * torch.eye(3).to(curvature)
        )
        move = torch.linalg.solve(curvature, weighted @ now.flatten(1)[..., None])[..., 0]
        planes = planes - (move * delta).clamp(-longest, longest)
    squares = differences(planes) ** 2
    loss = squares / (1 + squares / tolerance**2)
    loss[:, -1] = _OUTLINE * squares[:, -1]
    order = loss.mean((1, 2)).argsort()
    return planes[order[: max(1, len(planes) // 2)]]


def _points(share: Tensor, voxel: int) -> Tensor:
    """(N, 3) points of the brain in full-size voxels.

    They lie off the voxel grid by a fixed random part of a voxel: on it, planes that map voxel centers onto
    each other would look different from those that interpolate.
    """
    inside = (share > 0.5).nonzero()  # voxels that are mostly brain
    inside = inside[:: max(1, len(inside) // _POINTS)]
    jitter = torch.rand(inside.shape, generator=torch.Generator().manual_seed(0)).to(share.device)
    return (inside + jitter) * voxel - 0.5
