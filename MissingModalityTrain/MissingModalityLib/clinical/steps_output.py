"""What the steps before a segmentation have made, as files for people to look at: movements and the brain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from ..core.errors import OptionError
from ..core.file_names import require_text
from ..core.files import atomic_write, explain_write_errors
from ..core.modalities import MODALITIES, Modality
from ..imaging.grid import Grid
from ..imaging.reading import Study
from ..imaging.volumes import read_image, write_image

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

    3D Slicer opens both; a volume put under its transform lies where it was for the segmentation.

    Args:
        given: volumes as they were read.
        ready: the same with the headers that they were segmented with, and the mask of the brain.
        folder: made if absent.

    Raises:
        OptionError, ImageError: the folder cannot be made or written to.
    """
    require_text(folder, OptionError, "Choose another folder.")
    with explain_write_errors(folder, "Choose another folder.", OptionError):
        folder.mkdir(parents=True, exist_ok=True)
        for modality, image in given.images.items():
            movement = _movement(image, ready.images[modality])
            if movement is not None:
                with atomic_write(folder / f"{modality.name}{_TRANSFORM_SUFFIX}") as temporary:
                    sitk.WriteTransform(movement, str(temporary))
    if ready.brain is not None:
        write_image(ready.brain, folder / BRAIN_FILE)


def read_steps(folder: Path) -> StepsOutput:
    """The inverse of :func:`write_steps`."""
    paths = {modality: folder / f"{modality.name}{_TRANSFORM_SUFFIX}" for modality in MODALITIES}
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
