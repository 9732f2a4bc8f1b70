"""Segments one patient's volumes, files or in memory, and hands the result back in memory."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from ..clinical.steps import Steps
from ..core.errors import OptionError
from ..core.kinds import checked
from ..core.modalities import Modality, by_modality
from ..core.progress import Event, Progress, ProgressStage, reporter
from ..datasets.case import ImageFile
from ..imaging.arrays import as_volume, tells_its_place
from ..imaging.file_facts import files_facts
from ..imaging.reading import Study, read_volumes
from .locations import bundled_student
from .prediction import Prediction
from .request_checks import check_request, chosen_grid, read_beside
from .segment_files import Segmenter
from .segmentation_report import content_of
from .target_grid import grid_told


@checked
def segment(
    inputs: Mapping[Modality | str, Any],
    output: Path | str | None = None,
    student: Path | str | None = None,
    device: str | torch.device = "auto",
    labels: str = "classes",
    on_progress: Progress | None = None,
    steps: Steps | None = None,
    grid: Modality | Path | str | None = None,
    affine: Any = None,
    spacing: Any = None,
    overwrite: bool = False,
    precision: str = "auto",
) -> Prediction:
    """Segment the tumor in one to four volumes of a patient, from memory or files.

    Args:
        inputs: by modality or its name (``"FLAIR"``, ``"t1c"``): files, images of SimpleITK or nibabel,
            tensors of MONAI, or arrays, see :func:`~..imaging.arrays.as_volume`. The result lies on the grid
            of the first one where ``grid`` is None.
        output: file for the result, with a report beside it as in :func:`.segment_files.segment_files`;
            nothing is written where None.
        student, device, labels, on_progress, steps, grid: as in :func:`.segment_files.segment_files`;
            ``labels`` are the numbers in ``output``.
        affine: (4, 4), from voxel indices to RAS in mm, of arrays that do not know theirs.
        spacing: (x, y, z) in mm, in place of ``affine``.
        overwrite: replace ``output`` whatever it is; else only a result, beside which its report lies.
        precision: as in :func:`.segment_files.segment_files`.

    Returns:
        The result, whose ``labels`` is an image of SimpleITK, uint8 classes 0..3.

    Raises:
        ImageError, StudentError, OptionError: as :func:`.segment_files.segment_files`.
    """
    notify, given = reporter(on_progress), by_modality(inputs)
    files = {modality: Path(value) for modality, value in given.items() if _is_path(value)}
    if affine is not None or spacing is not None:
        _refuse_unused_place(value for modality, value in given.items() if modality not in files)
    student = Path(student or bundled_student())
    target = None if output is None else Path(output)
    check_request(given, files, target, student, labels, overwrite, read_beside(steps, grid))
    segmenter = Segmenter(student, device, steps, chosen_grid(grid, given, files), precision=precision)
    study = grid_told(_study(given, files, affine, spacing, notify), segmenter.grid, files.values())
    before = None if target is None else content_of(target)
    # now, for files may be replaced while the segmentation lasts
    facts = files_facts({modality: ImageFile(path) for modality, path in files.items()}) if target else None
    ready, prediction = segmenter.predict(study, notify)
    if target is not None:
        segmenter.write(study, ready, prediction, target, labels, notify, before, files=facts)
    return prediction


def _refuse_unused_place(images: Iterable[Any]) -> None:
    """Raise OptionError where no volume in memory is an array that a place is of use for."""
    if all(map(tells_its_place, images)):
        raise OptionError(
            "affine= and spacing= place arrays, and none of the volumes is one: files and images have "
            "headers of their own, which count. Correct these, or give arrays."
        )


def _is_path(value: Any) -> bool:
    return isinstance(value, (str, os.PathLike))


def _study(
    given: Mapping[Modality, Any],
    files: Mapping[Modality, Path],
    affine: Any,
    spacing: Any,
    notify: Progress,
) -> Study:
    """All volumes in the order in which they were given."""

    def on_read(number: int, file: ImageFile) -> None:
        notify(Event(ProgressStage.READ, number, len(files), file.path.name))

    read = read_volumes({modality: ImageFile(path) for modality, path in files.items()}, on_read)
    images = {
        modality: read.images[modality]
        if modality in files
        else as_volume(value, f"The {modality.title} volume", affine, spacing)
        for modality, value in given.items()
    }
    return Study(images, read.names, read.warnings)
