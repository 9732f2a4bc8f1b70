"""The volumes and the label of one case, from disk."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import SimpleITK as sitk

from ..core.errors import ImageError, LabelError, OptionError
from ..core.kinds import checked
from ..core.labels import CONVENTIONS, label_values, to_classes
from ..core.modalities import Modality, by_modality
from ..datasets.case import Case, ImageFile
from ..datasets.prepared import LAYOUT
from .header_geometry import HeaderGeometry, file_geometry
from .volumes import read_channel, read_image


@dataclass(frozen=True)
class Study:
    """Volumes of one patient and one time point, any non-empty subset of the four modalities.

    Attributes:
        images: 3-D scalar volumes by modality or one of its names; the first inserted is the reference
            volume, whose grid the result is on.
        names: file or node name of each, for messages; the sequence's where there is none.
        warnings: what the user should know about the headers, one sentence each.
        brain: uint8, 1 inside the brain, in the patient's space on any grid; None where the brain is what is
            not background.
        checked: whether :func:`.preparation.check_volumes` has seen the volumes that were given; those that
            steps have made of them since are no longer the user's.

    Raises:
        OptionError: a name of no sequence, or what is no image.
    """

    images: Mapping[Modality, sitk.Image]
    names: Mapping[Modality, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    brain: sitk.Image | None = None
    checked: bool = False

    def __post_init__(self) -> None:
        images, names = by_modality(self.images), by_modality(self.names)
        for modality, image in images.items():
            if not isinstance(image, sitk.Image):
                raise OptionError(
                    f"{modality.title} is a {type(image).__name__}. Give an image of SimpleITK, or let "
                    "segment() read files and arrays."
                )
        object.__setattr__(self, "images", images)
        object.__setattr__(
            self, "names", {modality: names.get(modality, modality.title) for modality in images}
        )

    @property
    def reference(self) -> Modality:
        """Of the first volume, on whose grid results lie."""
        return next(iter(self.images))


@checked
def read_study(case: Case) -> Study:
    """All volumes of a case, in channel order, each on its own grid.

    Raises:
        ImageError: a file cannot be read, only some of the headers say which way the patient lies, or only
            the prepared case is there.
    """
    _require_volumes(case)
    return read_volumes(case.images)


def read_volumes(
    files: Mapping[Modality, ImageFile], on_read: Callable[[int, ImageFile], None] | None = None
) -> Study:
    """Volumes of one patient from files, each on its own grid.

    Args:
        files: by modality; the first is the reference volume.
        on_read: called before each file is read, with its number from 0.

    Raises:
        ImageError: a file cannot be read, or only some of the headers say which way the patient lies.
    """
    images: dict[Modality, sitk.Image] = {}
    for number, (modality, file) in enumerate(files.items()):
        if on_read:
            on_read(number, file)
        images[modality] = _read(file)
    headers = _headers(file.path for file in files.values())
    return Study(
        images,
        {modality: str(file) for modality, file in files.items()},
        tuple(warning for header in headers for warning in header.warnings),
    )


def with_grid_checked(study: Study, path: Path, files: Iterable[Path]) -> Study:
    """A study with what the user should know about the header of a file on whose grid its result is to lie.

    Args:
        study: the volumes.
        path: of the other volume.
        files: those that the study's volumes were read from. Others, DICOM or in memory, tell their place.

    Raises:
        ImageError: the file cannot be read, or either it or the volumes alone tell which way the patient
            lies.
    """
    read_image(path)  # first, since it alone is looked at in a process of its own
    paths = list(files)
    *_, own = _headers([*paths, path], "another volume" if len(paths) < len(study.images) else None)
    return replace(study, warnings=(*study.warnings, *own.warnings))


def _headers(files: Iterable[Path], others: str | None = None) -> list[HeaderGeometry]:
    """Of files that can be read, each once; they have to agree in whether they tell the place.

    Args:
        files: of volumes.
        others: what volumes without a file, which tell it, are called; None where there are none.
    """
    headers = {path: file_geometry(path) for path in dict.fromkeys(files)}
    telling = {} if others is None else {others: True}
    oriented = {path: header.oriented for path, header in headers.items()} | telling
    _refuse_mixed(oriented, "which way the patient lies", "orientation")
    if all(oriented.values()):
        placed = {path: header.origin is not None for path, header in headers.items()} | telling
        _refuse_mixed(placed, "where its first voxel lies", "origin")
    return list(headers.values())


def _refuse_mixed(told: Mapping[Path | str, bool], what: str, field: str) -> None:
    """Refuse files only some of whose headers tell something."""
    lost = [path for path, is_told in told.items() if not is_told]
    if lost and len(lost) < len(told):
        raise ImageError(
            f"{lost[0]} does not tell in its header {what}, but "
            f"{next(path for path in told if path not in lost)} does, so that they cannot be laid over each "
            f"other. Export the volume again with its {field}."
        )


def read_label(case: Case, apart: bool = False) -> sitk.Image | None:
    """The label map of a case as classes.

    Args:
        case: its label is read.
        apart: as for :func:`~MissingModalityLib.core.labels.to_classes`.

    Returns:
        uint8 classes 0..3 (:class:`~MissingModalityLib.core.labels.TumorClass`), and
        :data:`~MissingModalityLib.core.labels.RESECTION_CAVITY` where the data set labels one, on the label
        file's own grid; or None for a case without label.

    Raises:
        ImageError: the file cannot be read, its header and those of the volumes differ in whether they tell
            the orientation, or only the prepared case is there.
        LabelError: its numbering is not known, it holds a value that its convention does not know, or it is
            no label map.
    """
    _require_volumes(case)
    if case.label is None:
        return None
    if case.convention is None:
        raise LabelError(
            f"{case.label}: the names of case {case.name} do not tell how its labels are numbered. Give the "
            f"convention explicitly, one of: {', '.join(CONVENTIONS)}."
        )
    image = read_image(case.label)  # first, since it alone is looked at in a process of its own
    _headers([case.label, *(file.path for file in case.images.values())])
    values = sitk.GetArrayViewFromImage(image)
    classes = sitk.GetImageFromArray(to_classes(values, case.convention, str(case.label), apart))
    classes.CopyInformation(image)
    return classes


def read_label_numbers(case: Case) -> list[int]:
    """The different values in the label file of a case, in ascending order, whatever they stand for.

    Raises:
        ImageError: the file cannot be read.
        LabelError: it is no label map.
    """
    image = read_image(case.label)  # kept, because a view dies with its image
    return label_values(sitk.GetArrayViewFromImage(image), str(case.label))


def _require_volumes(case: Case) -> None:
    if case.layout == LAYOUT:
        raise ImageError(
            f"{case.label} is a prepared case, which serves training alone: it does not know the patient's "
            "own grid. Give the folder of the volumes that it was made from."
        )


def _read(file: ImageFile) -> sitk.Image:
    return read_image(file.path) if file.channel is None else read_channel(file.path, file.channel)
