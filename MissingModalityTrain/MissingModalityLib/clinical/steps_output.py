"""What the steps before a segmentation have made, as files for people to look at: movements and the brain."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from ..core import strict_json
from ..core.errors import OptionError
from ..core.file_names import require_text
from ..core.files import (
    explain_write_errors,
    file_sha256,
    leaving_no_empty_folder,
    read_text,
    written_together,
)
from ..core.modalities import MODALITIES, Modality
from ..imaging.grid import Grid
from ..imaging.reading import Study
from ..imaging.volumes import placing_image, read_image

BRAIN_FILE = "brain.nrrd"
RECORD_FILE = "steps.report.json"
"""By name of each file the SHA-256 that it has, and that of the file it has replaced or that was removed.

What has another one is the user's, and is not written over. The earlier one is there because a process may be
killed before all files have taken their places.
"""

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


def check_steps_output(
    folder: Path, inputs: Iterable[Path], overwrite: bool, outputs: Iterable[Path] = ()
) -> None:
    """Refuse a folder in which :func:`write_steps` would replace or remove what no steps have left there.

    Args:
        folder: need not be there.
        inputs: files that are read.
        overwrite: replace all but inputs.
        outputs: files that are written besides.

    Raises:
        OptionError: it holds an input, or a file that was changed or that nothing tells of, under the name of
            one that steps leave; or an output has such a name there.
    """
    require_text(folder, OptionError, "Choose another folder.")
    read, written = ({os.path.realpath(path) for path in paths} for paths in (inputs, outputs))
    known = _recorded(folder)
    for path in (*_names(folder), folder / RECORD_FILE):
        if os.path.realpath(path) in written:
            raise OptionError(
                f"{path} is a file that the steps leave, and would be the output too. Choose another folder "
                "for what they leave, or another output."
            )
        if not os.path.lexists(path):
            continue
        if os.path.realpath(path) in read:
            raise OptionError(
                f"{path}: what the steps leave would overwrite an input. Choose another folder for it."
            )
        ours = known is not None and (path.name == RECORD_FILE or _is_recorded(path, known))
        if not overwrite and not ours:
            raise OptionError(
                f"{path} is not as the steps of an earlier segmentation have left it, and would be replaced. "
                "Choose another folder for what the steps leave, or replace it with --overwrite "
                "(overwrite=True)."
            )


def _recorded(folder: Path) -> Mapping[str, list[str]] | None:
    """SHA-256s by name of what steps have left in a folder; None where nothing tells."""
    try:
        found = strict_json.loads(read_text(folder / RECORD_FILE))
    except (OSError, ValueError):
        return None
    names = {path.name for path in _names(folder)}
    if not isinstance(found, dict) or not names.issuperset(found):
        return None
    # earlier versions have one for each name
    return {name: list(hashes) if isinstance(hashes, list) else [hashes] for name, hashes in found.items()}


def _is_recorded(path: Path, known: Mapping[str, list[str]]) -> bool:
    try:
        return file_sha256(path) in known.get(path.name, [])
    except OSError:  # a folder, or what cannot be read
        return False


def _names(folder: Path) -> list[Path]:
    """All that steps can leave in a folder, but for the record."""
    return [folder / BRAIN_FILE, *(_transform(folder, modality) for modality in MODALITIES)]


def write_steps(given: Study, ready: Study, folder: Path) -> None:
    """Write what became of a study: ``brain.nrrd``, and of each moved volume a transform as ``T1CE.tfm``.

    3D Slicer opens both; a volume put under its transform lies where it was for the segmentation. What the
    steps before another segmentation have left in the folder goes: its movements are not those of this study.
    :func:`check_steps_output` tells before whether that is all that goes.

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
        record, known = folder / RECORD_FILE, _recorded(folder) or {}
        before = {path.name: file_sha256(path) for path in _names(folder) if _is_recorded(path, known)}
        with (
            _brain_complete(ready.brain, folder) as brain,
            written_together(record, *moved) as (recorded, *temporaries),
        ):
            made = {path.name: temporary for path, temporary in zip(moved, temporaries, strict=True)}
            for temporary, movement in zip(temporaries, moved.values(), strict=True):
                _write(movement, temporary)
            if brain is not None:
                made[BRAIN_FILE] = brain
            now = {name: file_sha256(file) for name, file in made.items()}
            hashes = {
                name: sorted({each[name] for each in (now, before) if name in each}) for name in now | before
            }
            recorded.write_text(strict_json.dumps(hashes, indent=2), encoding="utf-8")
        for path in (*_names(folder), *([] if made else [record])):
            if path.name not in made:
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
    """Puts the mask, of which the block gets the complete file, in place when the block ends well."""
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
