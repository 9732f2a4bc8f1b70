"""Studies of which some volumes are stripped and some are not: what of them registration is to look at.

A stripped brain and a head have little in common but the brain, and the air around the one lies on the scalp
of the other, so that a search for the most mutual information ends far off. The brain of the head suffices,
as the first network of deepbet sees it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import SimpleITK as sitk

from ..imaging.grid import Grid
from ..imaging.reading import Study
from .brain_mask import rough_brain
from .brain_networks import BrainNetworks, load_networks, networks_installed
from .stripping import needs_stripping


def alike(study: Study) -> Study:
    """The study itself, or where it is mixed, with the brain alone in each volume.

    Where deepbet is not installed or sees no brain, volumes stay as they are.
    """
    raw = [modality for modality, image in study.images.items() if needs_stripping(image)]
    if not raw or len(raw) == len(study.images) or not networks_installed():
        return study
    networks = load_networks()
    brains = {modality: _brain(study.images[modality], networks) for modality in raw}
    return replace(study, images=dict(study.images) | brains)


def _brain(image: sitk.Image, networks: BrainNetworks) -> sitk.Image:
    """A head without what surrounds its brain."""
    rough = rough_brain(image, networks)
    if not sitk.GetArrayViewFromImage(rough).any():
        return image
    mask = Grid.from_image(image).resample(rough, sitk.sitkNearestNeighbor, 0)
    below = float(np.min(sitk.GetArrayViewFromImage(image))) - 1
    return sitk.Mask(sitk.Cast(image, sitk.sitkFloat32), mask, below)
