"""Imperfect skull strips: in places a rim of non-brain is left, in others brain is taken away."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from ..core.modalities import MODALITIES
from .augmentation_intensities import blurred

_NODES = 6
"""Nodes along an axis of the grid that errors are drawn on: a place is as wide as a gyrus or two."""
_SOFTNESS = 3.0
"""Standard deviation, voxels, that the brain is blurred with to measure depth below its surface and height
above it."""
_RADIUS = 12
"""Voxels after which that blur is cut off, 4 standard deviations."""
_LARGEST = 0.95
"""Of the errors: 1.6 times the softness, 5 mm, from the surface."""
_STEEPNESS = 2.0
"""Largest value drawn: above 1, so that errors are largest between nodes too."""


def draw_strip(share: float, random: np.random.Generator) -> np.ndarray:
    """Draw where a skull strip errs, and how far.

    Args:
        share: probability that a node has an error.
        random: source of all choices.

    Returns:
        (6, 6, 6) float32 of -2, brain taken away, to 2, non-brain left; 0 where there is no error.
    """
    shape = (_NODES,) * 3
    errors = random.uniform(-_STEEPNESS, _STEEPNESS, shape)
    return (errors * (random.random(shape) < share)).astype(np.float32)


def draw_rim(random: np.random.Generator) -> np.ndarray:
    """Z-scores (4, 2) float32 of non-brain beside the brain and farther away, for each modality.

    Fluid, bone and fat are each dark in some sequences and bright in others.
    """
    return random.uniform(-2.5, 3.5, (len(MODALITIES), 2)).astype(np.float32)


def stripped(image: Tensor, errors: Tensor, rim: Tensor) -> Tensor:
    """Brains with the errors of a skull strip, the same for all modalities.

    Args:
        image: (B, C, D, H, W), 0 outside the brain and in missing channels, which stay 0.
        errors: (B, 6, 6, 6) from :func:`draw_strip`.
        rim: (B, C, 2) from :func:`draw_rim`.
    """
    brains = image != 0
    brain = brains.any(dim=1, keepdim=True)
    depth = blurred(brain[:, 0].float(), errors.new_full((len(errors), 3), _SOFTNESS), _RADIUS)[:, None]
    error = interpolate(errors[:, None], image.shape[2:], mode="trilinear", align_corners=True)
    error = error.clamp_(-_LARGEST, _LARGEST)
    present = brains.flatten(2).any(dim=2)[:, :, None, None, None]
    left = ~brain & (depth > 1 - error) & present
    beside, farther = rim[:, :, :, None, None, None].unbind(2)
    return torch.where(left, torch.lerp(farther, beside, 2 * depth), image * (depth >= -error))
