"""Whether a label map lies on the brain that it is said to belong to, judged by its header and its voxels.

A label that misses its volumes would count as a patient without tumor: a valid answer, and a wrong one.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
import SimpleITK as sitk

from ..core.errors import LabelError
from ..core.labels import RESECTION_CAVITY, TumorClass
from ..core.modalities import Modality
from .grid import Grid
from .reading import Study

REFUSED_INSIDE = 0.95
"""Least share of the labeled voxels that must lie inside the reference volume's grid."""

MOST_IN_AIR = 0.1
"""Share of the tumor outside of the brain above which the label is told: borders of masks differ by less."""

MOST_OF_BRAIN = 0.5
"""Share of the brain above which a tumor is told: more is mostly a brain mask in place of a label."""

_TOLD_SHIFT = 0.1
"""Of a voxel; half of one is what programs differ by that count from its corner or from its center."""

_LARGE = 1000
"""Voxels of 1 mm³; a core so large without any edema is mostly a mask."""

REFUSED_SHIFT_MM = 10.0
"""Distance between the corners of two grids of one size: a patient moves less between two sequences."""


def check_on_grid(label: sitk.Image, name: str, study: Study) -> list[str]:
    """Compare the header of a label map with those of the volumes.

    Args:
        label: classes in the patient's space, on any grid.
        name: its file, for messages.
        study: the volumes of the case.

    Returns:
        Warnings, one sentence each.

    Raises:
        LabelError: the label lies elsewhere than the volumes.
    """
    labeled = np.argwhere(sitk.GetArrayViewFromImage(label) > 0)[:, ::-1]
    own, grids = Grid.from_image(label), [Grid.from_image(image) for image in study.images.values()]
    if not len(labeled):  # background is background wherever it lies
        return []
    reference = study.names[study.reference]
    share = _share_inside(labeled, own, grids[0])
    shift = _shift(own, grids)
    if share < REFUSED_INSIDE:
        raise LabelError(
            f"{name} lies elsewhere than its volumes: {_percent(share)} of its labeled voxels are inside "
            f"{reference}. {_remedy(own, grids, shift)}"
        )
    if shift > REFUSED_SHIFT_MM:
        raise LabelError(
            f"{name} lies elsewhere than its volumes: its header puts it {shift:.0f} mm away from "
            f"{reference}. {_remedy(own, grids, shift)}"
        )
    if share < 1:
        return [
            f"{name}: only {_percent(share)} of its labeled voxels lie inside {reference}; the others do not "
            "count. Check the headers of both."
        ]
    return _differences(own, grids, name, reference, shift)


def check_on_brain(
    classes: np.ndarray, masks: Mapping[Modality, np.ndarray], name: str, reference: str
) -> list[str]:
    """Compare the tumor of a label map with the brain.

    Args:
        classes: (D, H, W) of the label on the common grid.
        masks: (D, H, W) bool, the brain in each volume.
        name: file of the label, for messages.
        reference: name of the first volume, for messages.

    Returns:
        Warnings, one sentence each.
    """
    # a cavity can hold air after surgery
    tumor = (classes > 0) & (classes != RESECTION_CAVITY)
    count = int(tumor.sum())
    if not count:
        return []
    brain = np.logical_or.reduce(list(masks.values()))
    on_brain = int((tumor & brain).sum())
    if on_brain < (1 - MOST_IN_AIR) * count:
        return [
            f"{name}: {_percent(1 - on_brain / count)} of its tumor lies on background of {reference}. Check "
            "that the label belongs to this patient, and the headers of both."
        ]
    if on_brain > MOST_OF_BRAIN * brain.sum():
        return [
            f"{name}: {on_brain / brain.sum():.0%} of the brain is labeled as tumor. Check that the file is "
            "a label map of the tumor, not a brain mask."
        ]
    if count >= _LARGE and (classes[tumor] == TumorClass.NCR).all():
        return [
            f"{name}: all of its tumor is numbered as necrotic core, and no edema beside it. Check that it "
            "is not a mask of the whole tumor, which would count as tumor core."
        ]
    return []


def _share_inside(labeled: np.ndarray, own: Grid, grid: Grid) -> float:
    """Share of voxels (n, 3), as (x, y, z) on ``own``, whose centers are inside ``grid``."""
    if own.matches(grid):
        return 1.0
    to_grid = np.linalg.inv(_matrix(grid))
    moved = (_matrix(own) @ labeled.T).T + np.asarray(own.origin) - np.asarray(grid.origin)
    voxels = moved @ to_grid.T
    noise = 1e-3  # of headers, in voxels
    inside = (voxels >= -0.5 - noise) & (voxels <= np.asarray(grid.size) - 0.5 + noise)
    return float(inside.all(axis=1).mean())


def _shift(own: Grid, grids: Sequence[Grid]) -> float:
    """How far the corners of the label lie from those of a volume with as many voxels, mm; 0 without one.

    Any order of the axes may be stored, so each corner is compared with the nearest one.
    """
    if any(own.matches(grid) for grid in grids):
        return 0.0
    corners = _corners(own)
    distances = [
        np.linalg.norm(corners[:, None] - _corners(grid)[None], axis=2).min(axis=1).max()
        for grid in grids
        if sorted(grid.size) == sorted(own.size)
    ]
    return float(min(distances, default=0.0))


def _differences(own: Grid, grids: Sequence[Grid], name: str, reference: str, shift: float) -> list[str]:
    """Warnings about a label that lies inside the reference volume but not on the grid of any volume."""
    if shift > _TOLD_SHIFT * min(own.spacing):
        return [
            f"{name} has as many voxels as its volumes, but its header puts it {shift:.1f} mm away from "
            f"{reference}. If the voxels correspond one to one, {_copy_header()}."
        ]
    same_box = any(sorted(grid.size) == sorted(own.size) for grid in grids)
    if same_box or any(own.matches(grid) for grid in grids):
        return []
    return [
        f"{name} is on another grid ({_describe(own)}) than {reference} ({_describe(grids[0])}); each voxel "
        "got the label nearest to it."
    ]


def _remedy(own: Grid, grids: Sequence[Grid], shift: float) -> str:
    if shift:
        return (
            f"Both have {_times(own.size)} voxels and only the headers differ (origin {_numbers(own.origin)} "
            f"and {_numbers(grids[0].origin)} mm, spacing {_numbers(own.spacing)} and "
            f"{_numbers(grids[0].spacing)} mm): if the voxels correspond one to one, {_copy_header()}; "
            "else resample the label onto the grid of the volume."
        )
    return (
        f"The label is {_describe(own)} with its origin at {_numbers(own.origin)} mm, the volume "
        f"{_describe(grids[0])} at {_numbers(grids[0].origin)} mm. Check that both belong to the same "
        "patient, or export the label again on the grid of the volume."
    )


def _copy_header() -> str:
    return "give the label the header of its volume (SimpleITK: label.CopyInformation(volume)) and save it"


def _matrix(grid: Grid) -> np.ndarray:
    """(3, 3), from voxels to mm."""
    return np.reshape(grid.direction, (3, 3)) * grid.spacing


def _corners(grid: Grid) -> np.ndarray:
    """(8, 3) outer corners in mm."""
    ends = [(-0.5, count - 0.5) for count in grid.size]
    voxels = np.array(list(itertools.product(*ends)))
    return voxels @ _matrix(grid).T + np.asarray(grid.origin)


def _describe(grid: Grid) -> str:
    return f"{_times(grid.size)} voxels of {_numbers(grid.spacing)} mm"


def _times(size: Sequence[int]) -> str:
    return "x".join(map(str, size))


def _numbers(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.4g}" for value in values)


def _percent(share: float) -> str:
    """Rounded down, so that what is not all is never called so."""
    return f"{np.floor(1000 * share) / 10:g} %"
