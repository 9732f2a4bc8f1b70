"""Recipients of grown tumors: healed, with what every tumor in them needs to know measured once."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from ..imaging.boxes import Box, tightest_box
from ..imaging.cache import CachedCase
from .appearance import Reference
from .distances import depth_in
from .grown_case import Patch
from .growth import FLUID_REACH, fluid_of
from .healing import LARGEST_OVERLAP, heal, mirror_overlap
from .midsagittal_plane import Plane
from .placement import STRIDE
from .separable import along_axes, between
from .texture import part_of
from .tumor_cache import plane_of

_DEEP = 0.12
"""Depth from which on fluid is that of ventricles, as a share of the shortest side of the brain."""

_COARSE = (slice(None, None, STRIDE),) * 3


@dataclass(frozen=True)
class Host:
    """A recipient whose voxels are read where they are needed.

    Attributes:
        case: the recipient.
        healed: the part of it where its tumor was; empty where there is none or it cannot be healed.
    """

    case: CachedCase
    healed: Patch

    @property
    def can_receive(self) -> bool:
        """Whether its own tumor is healed, or it has none."""
        return self.healed.facts["overlap"] <= LARGEST_OVERLAP

    @cached_property
    def plane(self) -> Plane:
        """Its mid-sagittal plane."""
        return Plane(tuple(self.healed.facts["normal"]), self.healed.facts["offset"])

    @cached_property
    def reference(self) -> Reference:
        """What is normal in it."""
        return Reference(*(np.array(self.healed.facts[item.name]) for item in fields(Reference)))

    @cached_property
    def depth(self) -> np.ndarray:
        """Voxels below the brain's surface, 0 outside, at every ``STRIDE``-th voxel of the case."""
        return self.healed.array("depth").astype(np.float32)

    @cached_property
    def ventricles(self) -> np.ndarray:
        """Bool at the same voxels: fluid in the depth of the brain."""
        return self.healed.array("ventricles") > 0

    def depth_at(self, box: Box, step: int) -> np.ndarray:
        """The depth at every ``step``-th voxel of a box, linear in between."""
        places = (np.arange(part.start, part.stop, step) / STRIDE for part in box)
        return along_axes(self.depth, list(map(between, places, self.depth.shape)))

    def image(self, box: Box) -> np.ndarray:
        """(n, d, h, w) float32 of a box, of the sequences that it has."""
        start = tuple(part.start for part in box)
        image, label = self.case.crop(start, [part.stop - part.start for part in box])
        self.healed.lay_over(image, label, start)
        return image[list(self.case.subset)]


def write_healed(path: Path, case: CachedCase) -> Patch:
    """Heal a recipient and measure it.

    The file's facts are the share of its tumor that has tumor on the other side, its plane of symmetry and
    what is normal in it, and of each sequence the ``moments`` of its healed brain: voxels, sum, and sum of
    squares.

    Raises:
        CaseError: the file cannot be written, or the brain has no plane of symmetry.
    """
    image, label = case.crop((0, 0, 0), case.shape)
    present = image[list(case.subset)]
    plane = plane_of(case, torch.from_numpy(present))
    overlap = mirror_overlap(label, plane)
    reference = Reference.of(present, label)
    box: Box = (slice(0, 0),) * label.ndim
    if label.any() and overlap <= LARGEST_OVERLAP:
        healthy, box = heal(present, label, plane)
        present[(slice(None), *box)] = healthy
        image[list(case.subset)] = present
    depth = depth_in((present != 0).any(axis=0))
    arrays = {
        "depth": depth[_COARSE].astype(np.float16),
        "ventricles": _ventricles(present, depth, case, reference)[_COARSE].astype(np.uint8),
    }
    inside = [volume[volume != 0].astype(np.float64) for volume in present]
    facts = {
        "overlap": overlap,
        "normal": plane.normal,
        "offset": plane.offset,
        "moments": [[values.size, values.sum(), np.square(values).sum()] for values in inside],
        **{name: values.tolist() for name, values in asdict(reference).items()},
    }
    return Patch.write(path, image[(slice(None), *box)], np.zeros_like(label[box]), box, facts, arrays)


def _ventricles(present: np.ndarray, depth: np.ndarray, case: CachedCase, reference: Reference) -> np.ndarray:
    """(D, H, W) bool of a healed brain (n, D, H, W)."""
    inner = depth > min(depth.shape) * _DEEP
    box = tightest_box(inner)
    if box is not None:
        part = part_of(box, FLUID_REACH, inner.shape)
        inner[part] &= fluid_of(reference.relative(present[(slice(None), *part)]), case.subset)
    return inner
