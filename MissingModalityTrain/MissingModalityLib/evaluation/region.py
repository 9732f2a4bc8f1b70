"""One region of one label map: where it is, its surface, its pieces and the lesions that they make.

Every score of a region is taken from these, and a reference is the same for all subsets of a case: what is
costly is found when it is first asked for, and kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property

import numpy as np
from scipy import ndimage

from ..core.labels import REGIONS, region_mask
from ..imaging.boxes import shared_part, tightest_box
from .nearest import Nearest

DILATION_VOXELS = 3
"""Lesions of the reference that touch when each has grown by this are one."""

_GROWTH = ndimage.generate_binary_structure(3, 2)  # over faces and edges
_TOUCH = ndimage.generate_binary_structure(3, 3)  # over corners too


class Region:
    """A region of an image.

    Args:
        mask: bool, (D, H, W), a part of the image that holds the whole region.
        spacing: mm per voxel in the order of the array's axes (for SimpleITK arrays: ``GetSpacing()[::-1]``).
        corner: first voxel of the part in the image.
        shape: of the image; that of ``mask`` where it is the whole image.

    Attributes:
        shape: of the image.
        spacing: mm.
        corner: (3,) first voxel of the region's box in the image.
        inside: bool, (d, h, w), the region in its box, which is empty where the region is.
        voxels: how many.
    """

    def __init__(
        self,
        mask: np.ndarray,
        spacing: Sequence[float],
        corner: Sequence[int] = (0, 0, 0),
        shape: Sequence[int] | None = None,
    ) -> None:
        self.shape = tuple(mask.shape if shape is None else shape)
        self.spacing = tuple(spacing)
        box = tightest_box(mask) or (slice(0, 0),) * mask.ndim
        self.inside = mask[box]
        self.corner = np.add([part.start for part in box], corner)
        self.voxels = int(np.count_nonzero(self.inside))

    @cached_property
    def surface(self) -> np.ndarray:
        """(n, 3) places in its box of voxels with a face neighbor outside, as is the image's border."""
        return np.argwhere(self.inside & ~ndimage.binary_erosion(self.inside))

    @cached_property
    def places(self) -> np.ndarray:
        """(n, 3) places of the surface's voxels in the image."""
        return self.surface + self.corner

    @cached_property
    def nearest(self) -> Nearest:
        """To be asked for the nearest voxel of the surface."""
        return Nearest(self.places, self.spacing)

    @cached_property
    def surface_lesions(self) -> np.ndarray:
        """(n,) the lesion of each voxel of the surface."""
        return self.lesions[tuple(self.surface.T)]

    @cached_property
    def nearest_of_lesions(self) -> dict[int, Nearest]:
        """By number of the lesion, to be asked for the nearest voxel of its own surface."""
        return {
            int(lesion): Nearest(self.places[self.surface_lesions == lesion], self.spacing)
            for lesion in np.unique(self.surface_lesions)
        }

    @cached_property
    def pieces(self) -> np.ndarray:
        """(d, h, w) of its box: the number from 1 of the connected piece, over corners too, and 0 outside."""
        return ndimage.label(self.inside, _TOUCH)[0]

    @cached_property
    def grown(self) -> np.ndarray:
        """Its lesions with their surroundings, in its box with :data:`DILATION_VOXELS` on each side."""
        return grown_lesions(np.pad(self.inside, DILATION_VOXELS))[0]

    @cached_property
    def lesions(self) -> np.ndarray:
        """(d, h, w) of its box: the number from 1 of the lesion, and 0 outside."""
        inner = (slice(DILATION_VOXELS, -DILATION_VOXELS),) * self.grown.ndim
        return np.where(self.inside, self.grown[inner], 0)

    def overlap(self, other: Region) -> int:
        """Voxels that both hold."""
        part = shared_part(other.corner - self.corner, other.inside.shape, self.inside.shape)
        return int(np.count_nonzero(self.inside[part[0]] & other.inside[part[1]])) if part else 0

    def without_voxels(self) -> Region:
        """An empty region of the same image."""
        return Region(np.zeros_like(self.inside), self.spacing, shape=self.shape)


def regions_of(
    classes: np.ndarray, spacing: Sequence[float], names: Iterable[str] = REGIONS
) -> dict[str, Region]:
    """WT, TC and ET of a label map, and the resection cavity if named.

    Args:
        classes: 0..4, (D, H, W), the whole image.
        spacing: mm per voxel in the order of the array's axes.
        names: of the regions.
    """
    # a tumor fills a few percent of the image
    box = tightest_box(classes > 0) or (slice(0, 0),) * classes.ndim
    near, corner = classes[box], [part.start for part in box]
    return {region: Region(region_mask(near, region), spacing, corner, classes.shape) for region in names}


def grown_lesions(reference: np.ndarray) -> tuple[np.ndarray, int]:
    """Lesions of a region with their surroundings.

    Args:
        reference: bool, (D, H, W), with room around it for the dilation.

    Returns:
        (D, H, W): 0, or the number of the lesion from 1, and how many there are.
    """
    grown = ndimage.binary_dilation(reference, _GROWTH, DILATION_VOXELS)
    # of one lesion alone the dilation is one piece of the dilation of all
    return ndimage.label(grown, _TOUCH)
