"""A tumor in a box of a healed recipient: the tissue around it pushed aside, its own tissue replaced."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..core.labels import REGIONS
from ..core.modalities import MODALITIES, Subset
from ..imaging.boxes import Box, shared_part, tightest_box
from .growth import Tissue, fit_label, paint, reach
from .healing import not_zero
from .host import Host
from .looks import Looks
from .mass_effect import MARGIN, STEP, push
from .placement import Place, hemisphere
from .texture import part_of

_LEAST_CHANGE = 0.004
"""Of a z-score, that counts: what the files' half precision rounds by."""


@dataclass(frozen=True)
class Implant:
    """What a tumor changes in a recipient.

    Attributes:
        box: of the recipient.
        image: (C, d, h, w) float32 of it in the recipient's intensities, 0 in sequences that looks lack.
        label: (d, h, w) uint8 classes.
        scale, shift: (C,) of each sequence, that bring the whole brain to mean 0 and standard deviation 1.
    """

    box: Box
    image: np.ndarray
    label: np.ndarray
    scale: list[float]
    shift: list[float]

    @classmethod
    def of(
        cls,
        host: Host,
        place: Place,
        label: np.ndarray,
        looks: Looks,
        push_mm: float,
        random: np.random.Generator,
    ) -> Implant:
        """Grow a tumor.

        Args:
            host: the recipient.
            place: of the tumor in it.
            label: (d, h, w) classes in the box of the place.
            looks: of these classes.
            push_mm: by which the core pushes the tissue around it.
            random: source of outlines and textures.
        """
        box = _reached(label, place.box, host, push_mm)
        label = _moved(label, place.box, box)
        before = host.image(box)
        image = push(before, np.isin(label, REGIONS["TC"]), host.depth_at(box, STEP), push_mm)
        part = part_of(_around(label > 0), reach(host.reference.blur), label.shape)
        inside = (slice(None), *part)
        image[inside], label[part] = _grown(
            image[inside], label[part], host, _shifted(part, box), place.side, looks, random
        )
        rows = [host.case.subset.index(modality) for modality in looks.subset]
        before, image = before[rows], image[rows]
        scale, shift = _standardized(
            np.array(host.healed.facts["moments"])[rows], before, image, looks.subset
        )
        tight = _around((np.abs(image - before) > _LEAST_CHANGE).any(axis=0) | (label > 0))
        whole = np.zeros((len(MODALITIES), *label[tight].shape), np.float32)
        whole[list(looks.subset)] = image[(slice(None), *tight)]
        return cls(_shifted(tight, box), whole, label[tight], scale, shift)


def _grown(
    image: np.ndarray,
    label: np.ndarray,
    host: Host,
    box: Box,
    side: float,
    looks: Looks,
    random: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Image (n, d, h, w) and classes (d, h, w) of a box with a tumor in place of its tissue.

    Args:
        image: of all sequences of the recipient.
        label: classes of the label map.
        host: the recipient.
        box: of it.
        side: of the falx that the tumor keeps to, 1 or -1.
        looks: of the classes, for some of the sequences.
        random: source of outlines and textures.
    """
    subset, brain = host.case.subset, (image != 0).any(axis=0)
    relative = host.reference.relative(image)
    tissue = Tissue.of(relative, subset, brain)
    label = fit_label(label, tissue, brain & hemisphere(host.plane, box, side), random)
    rows = [subset.index(modality) for modality in looks.subset]
    painted = paint(relative[rows], label, tissue, looks, host.reference, rows, random)
    image = image.copy()
    image[rows] = np.where(image[rows] != 0, not_zero(host.reference.absolute(painted, rows)), 0)
    return image, label


def _reached(label: np.ndarray, place: Box, host: Host, push_mm: float) -> Box:
    """The box of a recipient that a label map in a box changes, and what that depends on."""
    size = host.case.shape
    parts = [part_of(_shifted(_around(label > 0), place), reach(host.reference.blur), size)]
    if push_mm:
        core = np.isin(label, REGIONS["TC"])
        parts.append(part_of(_shifted(_around(core), place), MARGIN, size))
    return tuple(
        slice(min(part.start for part in along), max(part.stop for part in along))
        for along in zip(*parts, strict=True)
    )


def _around(mask: np.ndarray) -> Box:
    """The tightest box around a mask; one voxel where it is empty."""
    return tightest_box(mask) or (slice(0, 1),) * mask.ndim


def _shifted(part: Box, box: Box) -> Box:
    """A part of a box, in the voxels that the box is given in."""
    return tuple(slice(a.start + b.start, a.stop + b.start) for a, b in zip(part, box, strict=True))


def _moved(label: np.ndarray, place: Box, box: Box) -> np.ndarray:
    """A label map of one box in another box of the same recipient."""
    whole = np.zeros([part.stop - part.start for part in box], label.dtype)
    offset = [a.start - b.start for a, b in zip(box, place, strict=True)]
    shared = shared_part(offset, whole.shape, label.shape)
    if shared:
        whole[shared[1]] = label[shared[0]]
    return whole


def _standardized(
    moments: np.ndarray, before: np.ndarray, after: np.ndarray, subset: Subset
) -> tuple[list[float], list[float]]:
    """Scale and shift of every sequence that bring the brain to mean 0 and standard deviation 1.

    Args:
        moments: (n, 3) of the recipient: voxels of its brain, sum, and sum of squares.
        before, after: (n, d, h, w) of a box that is replaced.
        subset: the n sequences.
    """
    scale, shift = [1.0] * len(MODALITIES), [0.0] * len(MODALITIES)
    for modality, (voxels, total, squares), old, new in zip(subset, moments, before, after, strict=True):
        mean = (total + float(new.sum()) - float(old.sum())) / voxels
        square = (squares + float(np.vdot(new, new)) - float(np.vdot(old, old))) / voxels
        deviation = float(np.sqrt(max(square - mean**2, 0))) or 1.0
        scale[modality], shift[modality] = 1 / deviation, -mean / deviation
    return scale, shift
