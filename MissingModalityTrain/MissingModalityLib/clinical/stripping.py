"""Skull stripping: the brain of a study whose volumes still show the head.

Students learn from skull-stripped volumes and z-score what is inside of the brain, so that scalp and marrow,
bright in FLAIR and T1, pass for tumor. The brain is looked for in every volume that needs it, and all that is
brain in any of them counts, grown by 1.5 mm: a tumor at the surface that one sequence takes for skull is seen
in another, and a rim too much costs less than a tumor cut off.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from ..core.errors import ImageError
from ..core.modalities import Modality, in_words
from ..imaging.grid import ORIENTATION, Grid
from ..imaging.intensities import find_background
from ..imaging.plausibility import LARGEST_BRAIN_MM3
from ..imaging.reading import Study
from .brain_mask import find_brain
from .brain_networks import PACKAGE, VERSION, load_networks
from .mask_checks import disagreeing, implausible_volume, on_grid, volume_mm3

GROWTH_MM = 1.5
"""How far the brain is grown: a voxel of 1 mm and its diagonal neighbors, less than two."""


LARGEST_SECTION_MM2 = 2.3e4
"""Across the body's axis. Of 208 stripped volumes of 54 patients none has more than 1.99e4, and of 19 raw ones
of six patients none less than 3.3e4."""


@dataclass(frozen=True)
class Brain:
    """The brain of a study.

    Attributes:
        mask: uint8, 1 inside, on the grid of the reference volume.
        method: what found it, and in which sequences, for people.
        volume_cm3: of the mask, the growth included.
        warnings: what the user should know, one sentence each.
    """

    mask: sitk.Image
    method: str
    volume_cm3: float
    warnings: tuple[str, ...] = ()


def needs_stripping(image: sitk.Image) -> bool:
    """Whether a volume shows more than a brain.

    That is: no even background around it, more than two liters, or a cross-section larger than a brain's,
    which tells a few slices of a head whose air is 0.
    """
    oriented = sitk.DICOMOrient(image, ORIENTATION)
    array = sitk.GetArrayViewFromImage(oriented)
    background = find_background(array)
    if not background.uniform:
        return True
    width, depth, height = oriented.GetSpacing()
    sections = np.count_nonzero(background.brain(array), axis=(1, 2)) * width * depth
    return bool(sections.max() > LARGEST_SECTION_MM2 or sections.sum() * height > LARGEST_BRAIN_MM3)


def strip(study: Study, always: bool = False, on_volume: Callable[[int, str], None] | None = None) -> Brain:
    """Find the brain of a study.

    Args:
        study: checked volumes, which lie in one space. What is stripped already serves as its own brain.
        always: look for the brain in these volumes, too.
        on_volume: called before each volume is looked at, with its number from 0 and its name.

    Raises:
        NetworksMissing: what finds brains is not installed; the message says how to install it.
        ImageError: no volume shows a plausible brain.
    """
    masks: dict[Modality, sitk.Image] = {}
    stripped = []
    for number, (modality, image) in enumerate(study.images.items()):
        if on_volume:
            on_volume(number, study.names[modality])
        if not always and not needs_stripping(image):
            masks[modality] = _own_brain(image)
            stripped.append(modality)
        else:
            masks[modality] = find_brain(image, load_networks())
    warnings = _leave_out(masks, stripped, study.names)
    found = [modality for modality in masks if modality not in stripped]
    mask = _united(masks, Grid.from_image(study.images[study.reference]))
    return Brain(mask, _method(found, stripped), volume_mm3(mask) / 1000, tuple(warnings))


def grown(mask: sitk.Image, distance_mm: float = GROWTH_MM) -> sitk.Image:
    """A mask and every voxel whose center is at most so far from the center of one inside."""
    if not sitk.GetArrayViewFromImage(mask).any():
        return mask
    # of 1 inside and 0 outside the distance is to the nearest voxel inside
    far = sitk.SignedMaurerDistanceMap(
        mask, insideIsPositive=False, squaredDistance=False, useImageSpacing=True
    )
    return sitk.Cast(far <= distance_mm, sitk.sitkUInt8)


def _own_brain(image: sitk.Image) -> sitk.Image:
    """What is not background in a volume that is stripped already, holes filled."""
    # looked at as prepare() does, whose rule for the faces of the volume knows which way is up
    oriented = sitk.GetArrayFromImage(sitk.DICOMOrient(image, ORIENTATION))
    inside = find_background(oriented).brain(sitk.GetArrayViewFromImage(image))
    return sitk.BinaryFillhole(Grid.from_image(image).to_image(inside.astype(np.uint8)))


def _leave_out(
    masks: dict[Modality, sitk.Image], stripped: list[Modality], names: Mapping[Modality, str]
) -> list[str]:
    """Take implausible masks away, and say so.

    Raises:
        ImageError: none is left.
    """
    reasons = {
        modality: reason
        for modality, mask in masks.items()
        if modality not in stripped and (reason := implausible_volume(mask))
    }
    for modality in reasons:
        del masks[modality]
    for modality, dice in disagreeing(masks, stripped).items():
        reasons[modality] = f"it agrees with the brain in the other volumes by a Dice of {dice:.2f} only"
        del masks[modality]
    if not masks:
        listed = "; ".join(f"{names[modality]}: {reason}" for modality, reason in reasons.items())
        raise ImageError(
            f"No brain was found under the skull ({listed}). Check that these are volumes of a head, or find "
            "the brain with a tool of your choice and give its mask."
        )
    return [
        f"{names[modality]}: the brain found in it was left out, because {reason}. Look at the brain mask."
        for modality, reason in reasons.items()
    ]


def _united(masks: Mapping[Modality, sitk.Image], grid: Grid) -> sitk.Image:
    union = np.logical_or.reduce([on_grid(mask, grid) for mask in masks.values()])
    return grown(grid.to_image(union.astype(np.uint8)))


def _method(found: list[Modality], stripped: list[Modality]) -> str:
    parts = []
    if found:
        parts.append(f"{PACKAGE} {VERSION} in {in_words(found)}")
    if stripped:
        parts.append(f"{in_words(stripped)} as given, stripped already")
    return "; ".join(parts)
