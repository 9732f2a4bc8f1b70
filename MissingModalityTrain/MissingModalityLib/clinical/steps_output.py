"""What the steps before a segmentation have made, as files for people to look at: movements and the brain."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from ..core.errors import OptionError
from ..core.file_names import require_text
from ..core.files import explain_write_errors, leaving_no_empty_folder, written_together
from ..core.modalities import MODALITIES, Modality
from ..imaging.grid import Grid
from ..imaging.reading import Study
from ..imaging.volumes import placing_image, read_image

BRAIN_FILE = "brain.nrrd"
_TRANSFORM_SUFFIX = ".tfm"


@dataclass(frozen=True)
class StepsOutput:
    """What lies in a folder of :func:`write_steps`.

    Attributes:
        movements: of the volumes that were moved, from points (LPS, mm) of the reference volume to those of
            the volume, as ITK registers.
        brain: uint8, 1 inside; None where the brain is what is not background.
    """

    movements: Mapping[Modality, sitk.Transform]
    brain: sitk.Image | None


def write_steps(given: Study, ready: Study, folder: Path) -> None:
    """Write what became of a study: ``brain.nrrd``, and of each moved volume a transform as ``T1CE.tfm``.

    3D Slicer opens both; a volume put under its transform lies where it was for the segmentation. What the
    steps before another segmentation have left in the folder goes: its movements are not those of this study.

    Args:
        given: volumes as they were read.
        ready: the same with the headers that they were segmented with, and the mask of the brain.
        folder: made if absent.

    Raises:
        OptionError, ImageError: the folder cannot be made or written to.
    """
    require_text(folder, OptionError, "Choose another folder.")
    movements = {m: _movement(image, ready.images[m]) for m, image in given.images.items()}
    moved = {_transform(folder, m): movement for m, movement in movements.items() if movement is not None}
    with explain_write_errors(folder, "Choose another folder.", OptionError), leaving_no_empty_folder(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with _brain_complete(ready.brain, folder), written_together(*moved) as temporaries:
            for temporary, movement in zip(temporaries, moved.values(), strict=True):
                _write(movement, temporary)
        written = {*moved, *([] if ready.brain is None else [folder / BRAIN_FILE])}
        for path in {*(_transform(folder, modality) for modality in MODALITIES), folder / BRAIN_FILE}:
            if path not in written:
                path.unlink(missing_ok=True)


def _write(movement: sitk.Transform, path: Path) -> None:
    """ITK says nothing of a full disk, so the file is read again."""
    with suppress(RuntimeError):
        sitk.WriteTransform(movement, str(path))
        found = sitk.ReadTransform(str(path))
        if np.allclose(found.GetParameters(), movement.GetParameters()):
            return
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _brain_complete(brain: sitk.Image | None, folder: Path) -> AbstractContextManager[Any]:
    """Puts the mask in place when the block ends well."""
    return nullcontext() if brain is None else placing_image(brain, folder / BRAIN_FILE)


def _transform(folder: Path, modality: Modality) -> Path:
    return folder / f"{modality.name}{_TRANSFORM_SUFFIX}"


def read_steps(folder: Path) -> StepsOutput:
    """The inverse of :func:`write_steps`."""
    paths = {modality: _transform(folder, modality) for modality in MODALITIES}
    movements = {
        modality: sitk.ReadTransform(str(path)) for modality, path in paths.items() if path.is_file()
    }
    brain = folder / BRAIN_FILE
    return StepsOutput(movements, read_image(brain) if brain.is_file() else None)


def _movement(given: sitk.Image, ready: sitk.Image) -> sitk.AffineTransform | None:
    """From where voxels of a volume were moved to back to where its file has them; None for one unmoved."""
    before, after = Grid.from_image(given), Grid.from_image(ready)
    if before.matches(after):
        return None
    rotation = np.reshape(before.direction, (3, 3)) @ np.linalg.inv(np.reshape(after.direction, (3, 3)))
    movement = sitk.AffineTransform(3)
    movement.SetMatrix(rotation.ravel().tolist())
    movement.SetTranslation((np.array(before.origin) - rotation @ after.origin).tolist())
    return movement
