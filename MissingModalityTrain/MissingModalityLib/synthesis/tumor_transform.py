"""Random size, rotation and mirroring of a tumor: drawn once, then applied as often as it is read."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..imaging.boxes import Box
from .options import SynthesisOptions


@dataclass(frozen=True)
class TumorTransform:
    """A linear map about the center of a tumor's box.

    Attributes:
        rows: (3, 3) matrix, old place = inverse(rows) @ new place, in voxels (z, y, x) from the centers.
    """

    rows: tuple[tuple[float, float, float], ...]

    @classmethod
    def sample(cls, options: SynthesisOptions, random: np.random.Generator) -> TumorTransform | None:
        """Draw what ``options`` allow of scaling, rotation and mirroring; None if they allow nothing."""
        # nothing is drawn then, so that the draws that follow are those of a synthesis without transforms
        if not (options.max_scale_change or options.max_rotation_deg or options.flip):
            return None
        scale = random.uniform(1 - options.max_scale_change, 1 + options.max_scale_change)
        angles = np.radians(random.uniform(-options.max_rotation_deg, options.max_rotation_deg, 3))
        signs = random.choice([-1.0, 1.0], 3) if options.flip else np.ones(3)
        matrix = scale * rotation(angles) @ np.diag(signs)
        return cls(tuple(tuple(row) for row in matrix.tolist()))

    def shape(self, shape: tuple[int, int, int]) -> tuple[int, int, int]:
        """Size of the box that holds a transformed box of size ``shape``."""
        # without the rounding, float noise would add a voxel to a box that is only mirrored
        extent = np.abs(np.array(self.rows)) @ np.array(shape)
        return tuple(int(size) for size in np.ceil(extent.round(6)))

    def apply(self, values: Tensor | None, label: Tensor, part: Box) -> tuple[Tensor | None, Tensor]:
        """Resample a tumor: classes of the nearest voxel, intensities trilinear where there is tumor.

        Args:
            values: (C, d, h, w) float32, 0 outside the tumor; None to leave them out.
            label: (d, h, w) uint8.
            part: of the box of size :meth:`shape`, to compute.

        Returns:
            values and label of ``part``.
        """
        # With aligned corners a box of one voxel across would be stretched over the whole new box; a frame of
        # background gives it borders to end at.
        classes = F.pad(label, (1,) * 6).float()[None, None]
        old, new = np.array(classes.shape[2:]) - 1, np.array(self.shape(tuple(label.shape)))
        # affine_grid has coordinates of -1 to 1 in the order x, y, z
        theta = (np.linalg.inv(self.rows) * (new - 1) / old[:, None])[::-1, ::-1]
        theta = torch.tensor(np.c_[theta, np.zeros(3)], dtype=torch.float32, device=label.device)
        grid = F.affine_grid(theta[None], [1, 1, *new.tolist()], align_corners=True)[(slice(None), *part)]
        transformed = F.grid_sample(classes, grid, mode="nearest", align_corners=True)[0, 0].to(label.dtype)
        if values is None:
            return None, transformed
        inside = transformed > 0
        result = values.new_zeros((len(values), *transformed.shape))
        points = grid[0][inside][None, :, None, None]
        framed = F.pad(values, (1,) * 6)[None]
        result[:, inside] = F.grid_sample(framed, points, align_corners=True)[0, :, :, 0, 0]
        return result, transformed


def rotation(angles: np.ndarray) -> np.ndarray:
    """(3, 3) rotation about the axes z, y and x in turn, angles in radians."""
    result = np.eye(3)
    for axis, angle in enumerate(angles):
        first, second = (other for other in range(3) if other != axis)
        turn = np.eye(3)
        turn[[first, first, second, second], [first, second, first, second]] = (
            np.cos(angle),
            -np.sin(angle),
            np.sin(angle),
            np.cos(angle),
        )
        result = result @ turn
    return result
