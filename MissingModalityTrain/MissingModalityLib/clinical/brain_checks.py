"""Whether the brain of a study can be one: its volume, its outline, and how it lies."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK as sitk

from ..imaging import plausibility
from ..imaging.grid import ORIENTATION, Grid
from ..imaging.intensities import find_background
from ..imaging.reading import Study
from .brain_shape import UPRIGHT, how_it_lies
from .mask_checks import MM3_PER_CM3, volume_mm3
from .stripping import needs_stripping

_LEAST_TOLD_MM3 = plausibility.SMALLEST_BRAIN_MM3
"""What is smaller is no brain, which :mod:`..imaging.plausibility` tells."""


def check_brain(study: Study, given: Path | None = None) -> tuple[str, ...]:
    """What is implausible about the brain that will be segmented.

    Args:
        study: with the mask of its brain, or with a stripped reference volume; of others nothing is said.
        given: file of the mask, where it is the user's own.

    Returns:
        Sentences for the user; none where all is well.
    """
    reference, name = study.images[study.reference], study.names[study.reference]
    if study.brain is None and needs_stripping(reference):
        return ()
    mask = study.brain if study.brain is not None else not_background(reference)
    inside, found = sitk.GetArrayViewFromImage(mask), volume_mm3(mask)
    if found < _LEAST_TOLD_MM3:
        return ()
    cut = plausibility.is_cut(inside)
    told: list[str] = []
    # a brain that was found in a head is told of with how it was found, as is one that its volume cuts off
    if (study.brain is None or given is not None) and plausibility.ends_flat(inside, mask.GetSpacing()):
        if given is None:
            told = [] if _is_shown_elsewhere(found, study) else _cut_off(name)
        elif not cut and not plausibility.ends_flat(inside, mask.GetSpacing(), within=False):
            told = _mask_cut_off(given, name)
        cut = True
    return (*told, *_unusual_size(found, cut), *(() if cut else _unusual_outline(mask, name)))


def _is_shown_elsewhere(found: float, study: Study) -> bool:
    """Whether another volume shows so much more of the brain that the comparison of both tells of it."""
    others = [image for slot, image in study.images.items() if slot != study.reference]
    return any(
        found < plausibility.DOUBTFUL_OVERLAP * volume_mm3(not_background(image))
        for image in others
        if not needs_stripping(image)
    )


def _cut_off(name: str) -> list[str]:
    return [
        f"{name} shows part of a brain, which ends flat on a side: what lies beyond is not segmented, and "
        "volumes are too small where the tumor goes on there. Give the whole brain if there is more of it."
    ]


def _mask_cut_off(given: Path, name: str) -> list[str]:
    return [
        f"{given} ends flat on a side, as no whole brain does: where the brain in {name} goes on beyond it, "
        "that is not segmented, and volumes are too small. Look at the mask over the volume, and give that "
        "of the whole brain."
    ]


def not_background(image: sitk.Image) -> sitk.Image:
    """uint8, 1 in what is not background, on the volume's own grid."""
    oriented = sitk.GetArrayFromImage(sitk.DICOMOrient(image, ORIENTATION))
    inside = find_background(oriented).brain(sitk.GetArrayViewFromImage(image))
    return Grid.from_image(image).to_image(inside.astype(np.uint8))


def _unusual_size(found: float, cut: bool) -> list[str]:
    """Told of a brain of that many mm³; part of one may be small."""
    shown = f"The brain has {found / MM3_PER_CM3:.0f} cm³"
    low, high = plausibility.SMALL_BRAIN_MM3, plausibility.LARGE_BRAIN_MM3
    if found > high:
        return [
            f"{shown}, and that of an adult hardly more than {high / MM3_PER_CM3:.0f} cm³: what surrounds it "
            "may be left, or the voxel spacing is wrong. Look at the outline of the brain."
        ]
    if found < low and not cut:
        return [
            f"{shown}, and that of an adult hardly less than {low / MM3_PER_CM3:.0f} cm³. Models learned "
            "from adults, so expect less of them in a child; in an adult look whether part of the brain was "
            "cut off, and check the voxel spacing."
        ]
    return []


def _unusual_outline(mask: sitk.Image, name: str) -> list[str]:
    """Told of a whole brain in the space of a volume of that name."""
    lies = how_it_lies(mask)
    if lies == UPRIGHT:
        return []
    if lies is None:
        return [
            f"What is taken for the brain in {name} does not have the outline of one. Check that it shows a "
            "head, and look at the outline of the brain."
        ]
    return [
        f"By the outline of its brain the patient in {name} lies {lies}: voxels and header contradict each "
        "other. Look at the volume beside a right one, and correct its header."
    ]
