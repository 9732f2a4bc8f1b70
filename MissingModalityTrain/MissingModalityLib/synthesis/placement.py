"""A tumor's shape in a recipient: moved there, changed, and kept where a tumor can be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from ..core.labels import REGIONS, TUMOR_CLASSES, TumorClass
from ..imaging.boxes import Box
from .label_maps import TumorShape
from .midsagittal_plane import Plane
from .options import GrownOptions
from .texture import smooth_noise
from .tumor_transform import rotation

_BENDS_MM = 30.0
"""Size of the bumps by which a shape is bent."""

_SHIFT_MM = 6.0
"""Standard deviation of the place about that of the label map."""

_MARGIN = 8
"""Voxels that bending may add around the box of a shape."""

PLAUSIBLE = 0.88
"""Share of a tumor that has to be in the brain and on one side of the falx; the rest is cut off.

Of 345 label maps of BraTS 2020, 89 % have that much on one side of the middle of the brain's box.
"""

STRIDE = 3
"""Of every so many voxels along each axis one is looked at to judge a place."""

_FALX_MM = 1.5
"""How near a tumor comes to the plane of symmetry, where the falx lies."""


@dataclass(frozen=True)
class Pose:
    """Where a shape goes, before it is bent.

    Attributes:
        matrix: (3, 3) from mm about the recipient's place to mm about the shape's center.
        center: voxel (z, y, x) of the recipient where the shape's center goes.
        mirrored: whether left and right were exchanged.
    """

    matrix: np.ndarray
    center: np.ndarray
    mirrored: bool

    @classmethod
    def draw(
        cls, shape: TumorShape, size: tuple[int, ...], options: GrownOptions, random: np.random.Generator
    ) -> Pose:
        """The same place of the aligned brain boxes, moved, turned and scaled a little.

        Args:
            shape: to place.
            size: (D, H, W) of the recipient's brain box, 1 mm voxels.
            options: that limit the change.
            random: source of all draws.
        """
        brain = np.array(shape.brain)
        middle = (np.array(shape.start) + (np.array(shape.classes.shape) - 1) * shape.spacing / 2) / brain
        mirrored = bool(random.random() < 0.5)
        if mirrored:
            middle[-1] = 1 - middle[-1]
        center = middle * size + random.normal(0, _SHIFT_MM * min(1.0, min(size) / 100), 3)
        scale = np.exp(random.uniform(-1, 1, 3) * np.log1p(options.max_scale_change)) * size / brain
        turn = rotation(np.radians(random.uniform(-options.max_rotation_deg, options.max_rotation_deg, 3)))
        matrix = turn @ np.diag(1 / scale)
        if mirrored:
            matrix = np.diag([1.0, 1.0, -1.0]) @ matrix
        return cls(matrix, center, mirrored)

    def box(self, shape: TumorShape, size: tuple[int, ...]) -> Box | None:
        """The box of the recipient that the bent shape may reach; None where it is outside of the brain."""
        half = np.abs(np.linalg.inv(self.matrix)) @ (np.array(shape.classes.shape) * shape.spacing / 2)
        low = np.floor(self.center - half - _MARGIN).astype(int).clip(0)
        high = np.minimum(np.ceil(self.center + half + _MARGIN).astype(int) + 1, size)
        if (low >= high).any():
            return None
        return tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))

    def classes(self, shape: TumorShape, points: np.ndarray) -> np.ndarray:
        """Classes uint8 at voxels (3, d, h, w) of the recipient; borders of coarse label maps are rounded."""
        size = np.array(shape.classes.shape)
        # from -1 to 1 across the shape's box
        matrix = self.matrix * (2 / (size * shape.spacing))[:, None]
        places = (points - _column(self.center).astype(np.float32)).reshape(len(size), -1)
        grid = (matrix.astype(np.float32) @ places).reshape(points.shape)
        masks = np.stack([shape.classes == cls for cls in TUMOR_CLASSES]).astype(np.float32)
        shares = F.grid_sample(
            torch.from_numpy(masks)[None],
            torch.from_numpy(grid[::-1].copy()).movedim(0, -1)[None],  # which wants x first
            align_corners=False,
        )[0]
        best = np.full(points.shape[1:], TumorClass.BACKGROUND, np.uint8)
        total, most = shares.sum(dim=0).numpy() > 0.5, np.zeros(best.shape, np.float32)
        for cls, share in zip(TUMOR_CLASSES, shares.numpy(), strict=True):
            best[total & (share > most)] = cls
            np.maximum(most, share, out=most)
        return best


@dataclass(frozen=True)
class Place:
    """A shape with its pose in a recipient.

    Attributes:
        name: of the label map.
        shape, pose: of the tumor.
        box: of the recipient, that holds it.
        side: 1 or -1, the side of the falx that most of it lies on.
        plausibility: share of the tumor that lies in the brain and on that side, less the share of its core
            that lies in the ventricles.
    """

    name: str
    shape: TumorShape
    pose: Pose
    box: Box
    side: float
    plausibility: float

    @classmethod
    def of(
        cls,
        name: str,
        shape: TumorShape,
        pose: Pose,
        brain: np.ndarray,
        ventricles: np.ndarray,
        size: tuple[int, ...],
        plane: Plane,
    ) -> Place | None:
        """Judge a pose by every few voxels; None where nothing lies in the brain.

        Args:
            name, shape, pose: of the tumor.
            brain, ventricles: bool, at every ``STRIDE``-th voxel of the recipient.
            size: (D, H, W) of the recipient.
            plane: its mid-sagittal plane.
        """
        box = pose.box(shape, size)
        if box is None:
            return None
        nodes = tuple(slice(-(-part.start // STRIDE), -(-part.stop // STRIDE)) for part in box)
        voxels = tuple(slice(STRIDE * part.start, STRIDE * part.stop, STRIDE) for part in nodes)
        if not brain[nodes].any():
            return None
        label = pose.classes(shape, _points(voxels))
        tumor = label > 0
        inside = tumor & brain[nodes]
        right = inside & hemisphere(plane, voxels, 1.0)
        side = 1.0 if 2 * right.sum() >= inside.sum() else -1.0
        kept = (inside & hemisphere(plane, voxels, side)).sum()
        # what bending and the recipient's grid cut off counts too
        volume = (shape.classes > 0).sum() * np.prod(shape.spacing) / abs(np.linalg.det(pose.matrix))
        share = float(kept) * STRIDE**3 / max(volume, float(tumor.sum()) * STRIDE**3)
        core = np.isin(label, REGIONS["TC"])
        share -= float((core & ventricles[nodes]).sum() / max(1, core.sum()))
        return cls(name, shape, pose, box, side, share) if kept else None

    def classes(self, bend_mm: float, random: np.random.Generator) -> np.ndarray:
        """Classes (d, h, w) of the box, the shape bent at random."""
        points = _points(self.box)
        if bend_mm:
            for along in points:
                along += np.float32(bend_mm) * smooth_noise(along.shape, _BENDS_MM, random)
        return self.pose.classes(self.shape, points)


def hemisphere(plane: Plane, box: Box, sign: float) -> np.ndarray:
    """Voxels (d, h, w) bool of a box on one side of the falx; ``sign`` 1 is the side of growing x."""
    axes = np.meshgrid(
        *(np.arange(p.start, p.stop, p.step or 1, dtype=np.float32) for p in box), indexing="ij", sparse=True
    )
    distance = sum(n * axis for n, axis in zip(plane.normal, axes, strict=True)) - plane.offset
    return sign * distance > _FALX_MM


def _points(box: Box) -> np.ndarray:
    """(3, d, h, w) float32 places z, y, x of the voxels of a box."""
    axes = (np.arange(p.start, p.stop, p.step or 1, dtype=np.float32) for p in box)
    return np.stack(np.meshgrid(*axes, indexing="ij"))


def _column(values: Sequence[float] | np.ndarray) -> np.ndarray:
    """(3, 1, 1, 1), to go with points."""
    return np.array(values)[:, None, None, None]
