"""Whether a brain mask of the user's lies over the brain that the reference volume shows.

It is held against a quick guess: what is not background where the volume is stripped, else what the first
network of deepbet, which looks for the brain's box, takes for brain at a coarse resolution.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK as sitk

from ..imaging.grid import Grid
from ..imaging.plausibility import is_cut
from .brain_checks import not_background
from .brain_mask import rough_brain
from .brain_networks import load_networks, networks_installed
from .mask_checks import SMALLEST_AGREEMENT, dice
from .stripping import needs_stripping

LARGEST_OFFSET_MM = 6.0
"""Between the centers of a mask and of the guess.

Of training patients who were put back into heads the guess is 1 mm off at most, and has a Dice of 0.946 or
more with the brain; 10 mm off, a Dice of 0.87 to 0.90.
"""


def doubt_mask(mask: sitk.Image, path: Path, reference: sitk.Image, name: str) -> list[str]:
    """What speaks against a brain mask.

    Args:
        mask: uint8, 1 inside, on the grid of the reference volume.
        path: its file, for messages.
        reference: the reference volume.
        name: of it, for messages.

    Returns:
        Sentences for the user; none where all is well, or nothing is there to guess the brain with.
    """
    guess = _guess(reference)
    if guess is None or not sitk.GetArrayViewFromImage(guess).any():
        return []
    agreement = dice(mask, guess)
    offset = 0.0 if is_cut(sitk.GetArrayViewFromImage(guess)) else _distance(mask, guess)
    if agreement >= SMALLEST_AGREEMENT and offset <= LARGEST_OFFSET_MM:
        return []
    return [
        f"{path} does not lie over the brain that {name} seems to show: their centers are {offset:.0f} mm "
        f"apart, and they overlap by a Dice of {agreement:.2f}. Look at the mask over the volume; if it is "
        "wrong, leave it out or save it again in the volume's space."
    ]


def _guess(reference: sitk.Image) -> sitk.Image | None:
    if not needs_stripping(reference):
        return not_background(reference)
    return rough_brain(reference, load_networks()) if networks_installed() else None


def _distance(one: sitk.Image, other: sitk.Image) -> float:
    return float(np.linalg.norm(_center(one) - _center(other)))


def _center(mask: sitk.Image) -> np.ndarray:
    """Of what is not 0, LPS, mm."""
    voxels = np.argwhere(sitk.GetArrayViewFromImage(mask) > 0)[:, ::-1]
    return Grid.from_image(mask).points(voxels.mean(axis=0, keepdims=True))[0]
