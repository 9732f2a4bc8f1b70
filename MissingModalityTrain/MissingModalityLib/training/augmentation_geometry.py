"""Geometry of a batch of crops: rotation, zoom, shear and flips in one interpolation, and misregistration."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from .augmentation_intensities import along, brain_of
from .augmentation_selection import Selection

POINTS_ON = frozenset({"cpu"})
"""Kinds of devices that interpolate point by point, which costs less for fewer points. A GPU would have to be
waited for to know which these are."""


def move(image: Tensor, label: Tensor, flip: Tensor, turned: Selection | None) -> tuple[Tensor, Tensor]:
    """Geometry into new tensors.

    Args:
        image: (B, C, D, H, W), 0 outside the brain.
        label: (B, D, H, W) uint8.
        flip: (B, 3) bool on the host, axes to mirror in samples that are not turned.
        turned: samples to interpolate, and their matrices (R, 3, 3) with the flips in them.
    """
    rows = [] if turned is None else turned.host_rows
    if len(rows) == len(image):
        return _resample(image, label, *turned.parameters)
    moved_image, moved_label = torch.empty_like(image), torch.empty_like(label)
    for sample in sorted(set(range(len(image))) - set(rows)):
        axes = [axis - 3 for axis in range(3) if flip[sample, axis]]
        moved_image[sample] = image[sample].flip(axes)
        moved_label[sample] = label[sample].flip(axes)
    if turned is not None:
        moved_image[turned.rows], moved_label[turned.rows] = _resample(
            image[turned.rows], label[turned.rows], *turned.parameters
        )
    return moved_image, moved_label


def _resample(image: Tensor, label: Tensor, matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Trilinear image, nearest label at ``matrix`` (B, 3, 3) times the offsets from the center (z, y, x)."""
    grid = _grid(matrix, image.shape[2:])
    # Brains (one bit for each modality) and, above these bits, the label share one volume: one resampling to
    # the nearest voxel in place of one for each. 7 modalities and labels up to 255 would still fit 16 bits.
    brain_bits = image.shape[1]
    bits = torch.arange(brain_bits, device=image.device)
    brains = torch.einsum("bmdhw,m->bdhw", brain_of(image), 2.0**bits)
    code = (2.0**brain_bits * label + brains)[:, None]
    code = grid_sample(code, grid, mode="nearest", align_corners=False).short()
    brains = (code >> along(bits.short(), 3)) & 1
    return _trilinear(image, grid, brains), (code[:, 0] >> brain_bits).byte()


def misregistered(volumes: Tensor, rigid: Tensor) -> Tensor:
    """Each of ``volumes`` (V, D, H, W) moved on its own, trilinearly, and cut off where its brain ends.

    Args:
        volumes: 0 outside the brain.
        rigid: (V, 3, 4), matrix and shift in voxels that lead to where a voxel is taken from.
    """
    size = volumes.shape[1:]
    shift = rigid[:, :, 3] * 2 / _sides(size, rigid)
    grid = _grid(rigid[:, :, :3], size).add_(shift.flip(1)[:, None, None, None])
    brain = grid_sample(brain_of(volumes)[:, None], grid, mode="nearest", align_corners=False)
    return _trilinear(volumes[:, None], grid, brain)[:, 0]


def _trilinear(image: Tensor, grid: Tensor, brains: Tensor) -> Tensor:
    """Volumes (B, C, D, H, W) at ``grid`` where ``brains``, 0 or 1 and of their shape, has 1; else 0."""
    if image.device.type not in POINTS_ON:
        return grid_sample(image, grid, mode="bilinear", align_corners=False).mul_(brains)
    moved = torch.zeros_like(image)
    for sample, places, brain, result in zip(image, grid, brains, moved, strict=True):
        # a point's value does not depend on the others, and air is a third of a crop or more
        inside = brain.amax(0).flatten().nonzero()[:, 0]
        points = places.view(-1, 3).index_select(0, inside).view(1, 1, 1, -1, 3)
        values = grid_sample(sample[None], points, mode="bilinear", align_corners=False)
        result.flatten(1).index_copy_(1, inside, values.view(len(sample), -1))
    return moved.mul_(brains)


def _grid(matrix: Tensor, size: torch.Size) -> Tensor:
    """(B, D, H, W, 3) for grid_sample: ``matrix`` (B, 3, 3) times the offsets from the center (z, y, x)."""
    offsets = [torch.arange(n, device=matrix.device) - (n - 1) / 2 for n in size]
    # grid_sample counts from -1 to 1 between a volume's outer borders, x first
    matrix = (matrix * 2 / _sides(size, matrix)[:, None]).flip(1)
    z, y, x = (
        along(offset, 3 - axis) * matrix[:, None, None, None, :, axis] for axis, offset in enumerate(offsets)
    )
    return (z + y) + x


def _sides(size: torch.Size, like: Tensor) -> Tensor:
    """``size`` (3,) beside ``like``; filled in there, because a copy from the host would wait for a GPU."""
    return torch.stack([like.new_full((), n) for n in size])
