"""Augmentation of a batch of crops on the device it lies on: parameters are drawn first, then applied.

MONAI's random transforms change one sample at a time on the host, and each one that moves voxels interpolates
anew. Here a batch is moved in one go where it lies, once, which keeps a GPU from waiting for the host.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import torch
from torch import Tensor

from .augmentation_acquisition import coarser, cover, in_thick_slices
from .augmentation_contrast import with_contrast
from .augmentation_draw import draw
from .augmentation_geometry import misregistered, move
from .augmentation_intensities import (
    add_noise,
    along,
    biased,
    blurred,
    brain_of,
    shaded,
    stretched,
    with_gamma,
    with_inverted_gamma,
)
from .augmentation_levels import AUGMENTATIONS
from .augmentation_selection import Selection, Wanted, differing, select
from .augmentation_skull_strip import stripped

__all__ = ["AUGMENTATIONS", "apply", "draw"]

_OF_SAMPLES = ("affine", "flip", "strip")
"""What is drawn for a sample; all else for each of its modalities."""

_INTENSITIES = {
    "contrast": (0, with_contrast),
    "bias": (0, biased),
    "shading": (0, shaded),
    "blur": (0, blurred),
    "stretch": (1, stretched),
    "coarseness": (1, coarser),
    "inverted_gamma": (1, with_inverted_gamma),
    "gamma": (1, with_gamma),
}
"""Changes of intensities in their order: the value that changes nothing, and what changes volumes."""


def apply(
    image: Tensor, label: Tensor, drawn: Mapping[str, Tensor], used: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Change a batch as drawn. A sample's result depends neither on the others nor on any global state.

    Rotation, zoom, shear and flips are one interpolation: trilinear for the image, nearest for the label. A
    sample that is at most flipped is not interpolated, so it is not blurred either. The brain moves like the
    label: what interpolation would smear of a volume's edge into the air is cut off again. What comes from
    outside the crop is 0. Misregistration moves volumes before, on their own. The label is moved, and 0 where
    coverage or skull strip leave brain in no modality that is used; nothing else changes it.

    Args:
        image: (B, 4, D, H, W) float32, 0 outside the brain and in missing channels; stays as it is.
        label: (B, D, H, W) uint8, on the same device; stays as it is.
        drawn: what :func:`draw` returned for each sample, stacked: (B, ...). Keep it on the host, where it is
            read to skip what was not drawn; on a GPU it would have to be waited for.
        used: (B, 4) bool, on the host, the modalities that a network will look at, one per sample at least;
            others take no time and, unless nothing is drawn, are 0. Default all.

    Returns:
        Image and label as they came in, changed; 0 outside the moved brain and in missing channels. The noise
        differs between kinds of devices.
    """
    if not drawn:
        return image, label
    used = torch.ones(image.shape[:2], dtype=torch.bool) if used is None else used.cpu()
    columns = used.any(dim=0).nonzero()[:, 0]
    used = used[:, columns]
    drawn = {name: value.cpu() for name, value in drawn.items()}
    drawn |= {name: value[:, columns] for name, value in drawn.items() if name not in _OF_SAMPLES}
    changes = select(_wanted(drawn, used), image.device)
    changed, label = _moved(_columns(image, used, columns), label, drawn["flip"], changes)
    if "cut" in changes:
        brain = (changed[changes["cut"].rows] != 0).any(dim=1)
    if "strip" in changes:
        changes["strip"].change(changed, stripped)
    _change_intensities(changed.flatten(0, 1), drawn, used.flatten(), changes)
    if "cut" in changes:
        gone = brain & (changed[changes["cut"].rows] == 0).all(dim=1)
        changes["cut"].change(label, lambda labels: labels.masked_fill(gone, 0))
    if changed.shape[1] < image.shape[1]:
        changed, part = torch.zeros_like(image), changed
        for column, volumes in zip(columns.tolist(), part.unbind(1), strict=True):
            changed[:, column] = volumes
    return changed, label


def _wanted(drawn: Mapping[str, Tensor], used: Tensor) -> Wanted:
    """What may change and by what, for those of the modalities that are ``used`` (B, C)."""
    affine, flip = drawn["affine"], drawn["flip"]
    volumes = {name: value.flatten(0, 1) for name, value in drawn.items() if name not in _OF_SAMPLES}
    used = used.flatten()
    wanted: Wanted = {
        # a mirrored axis of the result is a negative column
        "affine": (differing(affine, torch.eye(3)), (torch.where(flip[:, None], -affine, affine),)),
        "levels": (torch.ones_like(used), (volumes["scale"], volumes["shift"])),
    }
    for name, (neutral, _) in _INTENSITIES.items():
        if name in volumes:
            wanted[name] = (used & differing(volumes[name], neutral), (volumes[name],))
    if "strip" in drawn:
        wanted |= _wanted_of_acquisition(drawn, volumes, used)
    return wanted


def _wanted_of_acquisition(
    drawn: Mapping[str, Tensor], volumes: Mapping[str, Tensor], used: Tensor
) -> Wanted:
    """The part that only "clinical" has."""
    rigid, slices = volumes["misregistration"], volumes["slices"]
    strip = differing(drawn["strip"], 0)
    short = (used & differing(volumes["coverage"], torch.tensor([0.0, 1.0]))).view(len(strip), -1).any(dim=1)
    wanted: Wanted = {
        "misregistration": (used & differing(rigid, torch.eye(3, 4)), (rigid,)),
        "strip": (strip, (drawn["strip"], drawn["rim"])),
        "cut": (strip | short, ()),
    }
    for axis, distances in enumerate(slices.unbind(1)):
        wanted[f"slices {axis}"] = (used & (distances > 0), (distances, volumes["phase"]))
    return wanted


def _columns(image: Tensor, used: Tensor, columns: Tensor) -> Tensor:
    """The modalities of ``image`` that any sample uses, with 0 in those that a sample does not."""
    if used.shape[1] < image.shape[1]:
        image = torch.stack([image[:, column] for column in columns.tolist()], dim=1)
    if used.all():
        return image
    unused = (~used)[:, :, None, None, None].to(image.device, non_blocking=True)
    return image.masked_fill(unused, 0)


def _moved(
    image: Tensor, label: Tensor, flip: Tensor, changes: Mapping[str, Selection]
) -> tuple[Tensor, Tensor]:
    """Geometry into new tensors."""
    if "misregistration" in changes:
        image = image.clone()
        changes["misregistration"].change(image.flatten(0, 1), misregistered)
    return move(image, label, flip, changes.get("affine"))


def _change_intensities(
    volumes: Tensor, drawn: Mapping[str, Tensor], used: Tensor, changes: Mapping[str, Selection]
) -> None:
    """Intensities of ``volumes`` (V, D, H, W) in place; 0 stays 0."""
    brain = brain_of(volumes)
    for name, (_, change) in _INTENSITIES.items():
        if name in changes:
            changes[name].change(volumes, change)
    # two steps, not a fused one: which voxels a CPU fuses depends on their place in the batch
    scale, shift = (along(values, 3) for values in changes["levels"].parameters)
    volumes.mul_(scale).add_(shift)
    add_noise(volumes, drawn["noise"].flatten() * used, drawn["seed"].flatten())
    for axis in range(3):
        if f"slices {axis}" in changes:
            changes[f"slices {axis}"].change(volumes, partial(in_thick_slices, axis=axis))
    volumes.mul_(brain)
    if "coverage" in drawn:
        cover(volumes, drawn["coverage"].flatten(0, 1))
