"""The brain in one volume with its skull on, by the networks of deepbet: what they expect, how they answer.

Facts of the package's own way (version 1.0.2, Fisch et al. 2024, see :mod:`.brain_networks`), which
:func:`find_brain` follows, so that its masks are the package's:

- The volume lies in RAS order, axes x, y, z, and is stretched to 128**3 by nearest neighbors, whatever its
  spacing.
- Intensities are limited to the 0.5th and 99.5th percentile of these 128**3 voxels and scaled to 0..1 by
  them, then to a mean of 0.449 and a standard deviation of 0.226.
- The first network's brain (probability above 0.5) in its largest part of 26-connected voxels gives the box:
  on each axis the slices of which the brain fills more than 2 %, and 10 % of this length on either side.
- The box, out of the volume itself, is stretched to 256**3 by nearest neighbors and scaled by the same two
  percentiles, but by its own mean and deviation.
- The second network's probability goes back by nearest neighbors; above 0.5, the largest 26-connected part,
  its holes filled (6-connected), is the brain.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import SimpleITK as sitk

from ..imaging.boxes import Box
from ..imaging.grid import Grid
from ..runtime.freed_memory import give_back
from .brain_networks import BrainNetworks

if TYPE_CHECKING:
    import torch

_ORIENTATION = "RAS"
_BOX_SIDE, _BRAIN_SIDE = 128, 256
_PERCENTILES = (0.005, 0.995)
_MEAN, _DEVIATION = 0.449, 0.226
_THRESHOLD = 0.5
_FILLED_SLICE = 0.02
_MARGIN = 0.1


def find_brain(image: sitk.Image, networks: BrainNetworks) -> sitk.Image:
    """The brain in a volume with its skull on.

    Args:
        image: 3-D, finite values.
        networks: of :func:`.brain_networks.load_networks`.

    Returns:
        uint8 mask on the volume's own grid, 1 inside; empty where the networks see no brain.
    """
    import torch

    oriented = sitk.DICOMOrient(image, _ORIENTATION)
    with torch.inference_mode():
        mask = _brain(_tensor(oriented), networks)
    found = Grid.from_image(oriented).to_image(np.ascontiguousarray(mask.transpose(2, 1, 0)))
    back = sitk.DICOMOrientImageFilter.GetOrientationFromDirectionCosines(image.GetDirection())
    found = sitk.DICOMOrient(found, back)
    found.CopyInformation(image)
    return found


def rough_brain(image: sitk.Image, networks: BrainNetworks) -> sitk.Image:
    """The brain as the first network sees it, in an eighth of :func:`find_brain`'s time.

    Args:
        image: 3-D, finite values.
        networks: of :func:`.brain_networks.load_networks`.

    Returns:
        uint8 mask, 1 inside, over the volume's extent in 128**3 voxels; empty where no brain is seen.
    """
    import torch

    oriented = sitk.DICOMOrient(image, _ORIENTATION)
    with torch.inference_mode():
        found = _coarse(_tensor(oriented), networks)[0]
    own = Grid.from_image(oriented)
    spacing = np.multiply(own.size, own.spacing) / _BOX_SIDE
    half = 0.5 * (spacing - np.array(own.spacing))
    origin = np.array(own.origin) + np.reshape(own.direction, (3, 3)) @ half
    grid = Grid((_BOX_SIDE,) * 3, tuple(spacing.tolist()), tuple(origin.tolist()), own.direction)
    return grid.to_image(np.ascontiguousarray(found.transpose(2, 1, 0)).astype(np.uint8))


def largest_part(mask: np.ndarray) -> np.ndarray:
    """The largest 26-connected part of a 3-D mask, the first of several such; empty where the mask is."""
    from scipy import ndimage

    parts, count = ndimage.label(mask, np.ones((3, 3, 3)))
    if not count:
        return np.zeros(mask.shape, bool)
    return parts == np.bincount(parts.ravel())[1:].argmax() + 1


def _brain(volume: torch.Tensor, networks: BrainNetworks) -> np.ndarray:
    """(X, Y, Z) intensities -> uint8 mask of the same shape."""
    from scipy import ndimage

    result = np.zeros(tuple(volume.shape), np.uint8)
    coarse, limits = _coarse(volume, networks)
    give_back()  # 0.1 GB of the first network would lie beside what the second one needs
    box = _box(coarse, result.shape)
    if box is None:
        return result
    inside = volume[box]
    fine = _probability(networks.brain, _stretched(inside, (_BRAIN_SIDE,) * 3), limits)
    part = largest_part(_stretched(fine, tuple(inside.shape)).numpy() > _THRESHOLD)
    result[box] = ndimage.binary_fill_holes(part)
    del fine
    give_back()
    return result


def _tensor(oriented: sitk.Image) -> torch.Tensor:
    """(X, Y, Z) float32."""
    import torch

    array = sitk.GetArrayFromImage(sitk.Cast(oriented, sitk.sitkFloat32)).transpose(2, 1, 0)
    return torch.from_numpy(np.ascontiguousarray(array))


def _coarse(volume: torch.Tensor, networks: BrainNetworks) -> tuple[np.ndarray, tuple[torch.Tensor, ...]]:
    """(X, Y, Z) intensities -> the first network's brain, (128, 128, 128) bool, and the two percentiles."""
    small = _stretched(volume, (_BOX_SIDE,) * 3)
    limits = tuple(small.quantile(share) for share in _PERCENTILES)
    if not limits[1] > limits[0]:
        return np.zeros(small.shape, bool), limits
    return largest_part(_probability(networks.box, small, limits).numpy() > _THRESHOLD), limits


def _stretched(volume: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
    """By nearest neighbors of voxel centers."""
    import torch

    return torch.nn.functional.interpolate(volume[None, None], shape, mode="nearest-exact")[0, 0]


def _probability(
    network: torch.nn.Module, volume: torch.Tensor, limits: tuple[torch.Tensor, ...]
) -> torch.Tensor:
    """Of brain, (N, N, N), for intensities (N, N, N), which are gone after: those of 256**3 have 64 MB."""
    low, high = limits
    scaled = volume.sub_(low).div_(high - low).clamp_(0, 1)
    mean, deviation = scaled.mean(), scaled.std()
    scaled.sub_(mean).div_(deviation).mul_(_DEVIATION).add_(_MEAN)
    return network(scaled[None, None])[0, -1]


def _box(coarse: np.ndarray, shape: tuple[int, ...]) -> Box | None:
    """Where the brain lies in a volume of this shape, with a margin; None where there is none.

    Args:
        coarse: (128, 128, 128) bool, stretched over the volume.
    """
    box = []
    for axis, length in enumerate(shape):
        others = tuple(other for other in range(coarse.ndim) if other != axis)
        slices = np.flatnonzero(coarse.mean(others) > _FILLED_SLICE)
        if not len(slices):
            return None
        scale = length / coarse.shape[axis]
        center = np.round(scale * (slices[0] + slices[-1] + 1) / 2)
        size = np.round((1 + 2 * _MARGIN) * scale * (slices[-1] + 1 - slices[0]))
        box.append(slice(max(0, int(center - size / 2)), min(length, int(center + size / 2))))
    return tuple(box) if all(part.start < part.stop for part in box) else None
