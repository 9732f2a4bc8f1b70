"""Augmentation of a batch of crops on the device it lies on: parameters are drawn first, then applied.

MONAI's random transforms change one sample at a time on the host, and each one that moves voxels interpolates
anew. Here a batch is moved in one go where it lies, once, which keeps a GPU from waiting for the host.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from .augmentation_acquisition import in_thick_slices
from .augmentation_contrast import with_contrast
from .augmentation_geometry import misregistered, move
from .augmentation_intensities import add_noise, biased, blurred, brain_of, change_drawn, like, with_gamma
from .augmentation_levels import AUGMENTATIONS, draw

__all__ = ["AUGMENTATIONS", "apply", "draw"]


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
    by_volume = {name: drawn[name].flatten(0, 1) for name in drawn if name not in ("affine", "flip")}
    if "misregistration" in drawn:
        image = image.clone()
        change_drawn(image.flatten(0, 1), by_volume["misregistration"], torch.eye(3, 4), misregistered)
    image, label = move(image, label, drawn["affine"], drawn["flip"])
    volumes = image.flatten(0, 1)
    brain = brain_of(volumes)
    if "contrast" in drawn:
        change_drawn(volumes, by_volume["contrast"], 0, with_contrast)
    change_drawn(volumes, by_volume["bias"], 0, biased)
    change_drawn(volumes, by_volume["blur"], 0, blurred)
    change_drawn(volumes, by_volume["gamma"], 1, with_gamma)
    # two steps, not a fused one: which voxels a CPU fuses depends on their place in the batch
    volumes.mul_(like(by_volume["scale"], volumes)).add_(like(by_volume["shift"], volumes))
    add_noise(volumes, by_volume["noise"], by_volume["seed"])
    if "slices" in drawn:
        in_thick_slices(volumes, by_volume["slices"], by_volume["phase"])
    volumes.mul_(brain)
    return image, label
