"""Skull stripping: the brain of a study whose volumes still show the head.

Students learn from skull-stripped volumes and z-score what is inside of the brain, so that scalp and marrow,
bright in FLAIR and T1, pass for tumor. The brain is looked for in every volume that needs it, and what half
of them or more, or FLAIR, take for brain counts: a tumor at the surface that one sequence takes for skull is
seen in another, and scalp that one takes for brain is not. T2, and a volume that ends inside the brain, are
asked only where no other volume shows the place. Where one volume is all, the brain is grown by 1.5 mm: a rim
too much costs less than a tumor cut off.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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
from .brain_networks import PACKAGE, VERSION, load_networks, networks_installed
from .head_crop import crop_to_head
from .installed_tools import TOOLS
from .mask_checks import (
    MM3_PER_CM3,
    implausible_masks,
    implausible_volume,
    on_grid,
    partial_masks,
    volume_mm3,
)

GROWTH_MM = 1.5
"""How far the brain is grown: a voxel of 1 mm and its diagonal neighbors, less than two."""
ENOUGH_VOTES = 2
"""Volumes from which on a brain is not grown, T2 beside others not counted.

In training patients who were put back into heads, half of two or more lost 0.1 % of the tumor at most.
Growing it lowered the whole tumor's Dice by 0.015 on average with three or four, and doubled what lies beside
the brain with two, to 7 %.
"""

BRIGHT = Modality.FLAIR
"""Has two votes, more than half of three.

A tumor at the surface is bright in it, and as dark as fluid in T1 and T1ce, which outvoted it there.
In four training patients who were put back into heads, 0.1 to 0.5 % more of the brain lay beside its mask and
0.1 to 0.6 % less was missed than by half of three; the whole tumor's Dice changed by 0.003 at most.
"""

WIDE = Modality.T2
"""Its outline takes fluid along: 7 to 11 % of the brain lay beside it in training patients who were put back
into heads, 1 to 3 % in the other sequences.
"""

LARGEST_SECTION_MM2 = 2.3e4
"""Across the body's axis.

Of 208 stripped volumes of 54 patients none has more than 1.99e4, of 19 raw ones of six patients none less
than 3.3e4, with its noise.
"""


@dataclass(frozen=True)
class Brain:
    """The brain of a study.

    Attributes:
        mask: uint8, 1 inside, on the grid of the reference volume.
        method: what found it, and in which sequences, for people.
        volume_cm3: of the mask, any growth included.
        warnings: what the user should know, one sentence each.
    """

    mask: sitk.Image
    method: str
    volume_cm3: float
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Finder:
    """What finds a brain in one volume, as a uint8 mask on the volume's grid, and its name for people."""

    name: str
    find: Callable[[sitk.Image], sitk.Image]


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

    By deepbet where it is installed; else, and where what it finds is no brain, by SynthStrip or HD-BET where
    the user has them.

    Args:
        study: checked volumes, which lie in one space. What is stripped already serves as its own brain.
        always: look for the brain in these volumes, too.
        on_volume: called before a brain is looked for, with the volume's number from 0 and its name.

    Raises:
        NetworksMissing: nothing that finds brains is installed; the message says how to install it.
        ImageError: no volume shows a plausible brain, or a program of the user's has failed.
    """
    own = {
        modality: _own_brain(image)
        for modality, image in study.images.items()
        if not always and not needs_stripping(image)
    }
    if len(own) == len(study.images):
        mask = _agreed(own, study, _asked(own, tuple(own)))
        return _measured(mask, "nothing, for all volumes are stripped already", ())
    failures = []
    for finder in _finders():
        masks = {**_found(study, own, finder, on_volume), **own}
        reasons = implausible_masks(masks, tuple(own))
        left = {modality: mask for modality, mask in masks.items() if modality not in reasons}
        if left:
            asked = _asked(left, tuple(own))
            heard = [one for one in left if one not in own and (one in asked or one is WIDE)]
            method = _method(finder, heard, list(own))
            brain = _agreed(left, study, asked)
            mask = brain if len(asked) >= ENOUGH_VOTES else grown(brain)
            return _measured(mask, method, _warnings(reasons, study))
        listed = ", ".join(f"{study.names[modality]}: {reason}" for modality, reason in reasons.items())
        failures.append(f"by {finder.name} {listed}")
    raise ImageError(
        f"No brain was found under the skull ({'; '.join(failures)}). Check that these are volumes of a "
        "head, upright by their headers, or find the brain with a tool of your choice and give its mask."
    )


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


def _finders() -> list[_Finder]:
    """What can look for brains on this computer, the best first.

    Raises:
        NetworksMissing: nothing can, or the files of deepbet are not the known ones.
    """
    tools = [_Finder(tool.name, tool.find_brain) for tool in TOOLS if tool.installed()]
    if tools and not networks_installed():
        return tools
    networks = load_networks()
    return [_Finder(f"{PACKAGE} {VERSION}", lambda image: find_brain(image, networks)), *tools]


def _found(
    study: Study,
    own: Mapping[Modality, sitk.Image],
    finder: _Finder,
    on_volume: Callable[[int, str], None] | None,
) -> dict[Modality, sitk.Image]:
    """The brain in each volume that is not stripped."""
    masks = {}
    for number, (modality, image) in enumerate(study.images.items()):
        if modality in own:
            continue
        if on_volume:
            on_volume(number, study.names[modality])
        masks[modality] = _in_head(image, finder)
    return masks


def _in_head(image: sitk.Image, finder: _Finder) -> sitk.Image:
    """The brain in a volume; in its uppermost part where the whole, with its shoulders, shows none."""
    found = finder.find(image)
    if implausible_volume(found) is None:
        return found
    part = crop_to_head(image)
    return (
        found
        if part is None
        else Grid.from_image(image).resample(finder.find(part), sitk.sitkNearestNeighbor, 0)
    )


def _asked(masks: Mapping[Modality, sitk.Image], sure: Sequence[Modality]) -> list[Modality]:
    """Whose masks count wherever they show a place: those that are right, and of whole brains but T2's.

    T2's counts where it alone shows a whole brain.
    """
    parts = partial_masks(masks)
    whole = [one for one in masks if one not in parts]
    return [one for one in masks if one in sure or (one in whole and (one is not WIDE or len(whole) == 1))]


def _agreed(masks: Mapping[Modality, sitk.Image], study: Study, asked: Sequence[Modality]) -> sitk.Image:
    """What half of the volumes that show a place, or FLAIR, have for brain there, on the reference's grid.

    Args:
        masks: by sequence, each on its own grid.
        study: for the grid.
        asked: whose masks count before the others, see :func:`_asked`.
    """
    grid = Grid.from_image(study.images[study.reference])
    votes, shown = np.zeros((2, *reversed(grid.size)), np.int8)
    for modality in [*asked, *(one for one in masks if one not in asked)]:
        where = modality in asked or shown == 0
        votes += (on_grid(masks[modality], grid) & where) * (2 if modality is BRIGHT else 1)
        shown += on_grid(masks[modality] * 0 + 1, grid) & where
    return grid.to_image(((2 * votes >= shown) & (votes > 0)).astype(np.uint8))


def _measured(mask: sitk.Image, method: str, warnings: tuple[str, ...]) -> Brain:
    return Brain(mask, method, volume_mm3(mask) / MM3_PER_CM3, warnings)


def _method(finder: _Finder, found: list[Modality], own: list[Modality]) -> str:
    parts = [f"{finder.name} in {in_words(found)}"] if found else []
    if own:
        parts.append(f"the outline of what was stripped already ({in_words(own)})")
    return " and ".join(parts)


def _warnings(reasons: Mapping[Modality, str], study: Study) -> tuple[str, ...]:
    return tuple(
        f"{study.names[modality]}: the brain that was found in it was left out, because {reason}. Look at "
        "the outline of the brain before you use the result."
        for modality, reason in reasons.items()
    )
