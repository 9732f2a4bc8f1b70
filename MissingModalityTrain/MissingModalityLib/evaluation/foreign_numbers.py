"""How label maps of other programs are numbered, and what tells that they are numbered otherwise."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

import SimpleITK as sitk

from ..core.errors import ImageError, LabelError, MissingModalityError
from ..core.labels import CONVENTIONS, RESECTION_CAVITY, TUMOR_CLASSES, convention, label_values
from ..datasets.case import Case
from ..imaging.volumes import read_image
from .row import Row


def numbering_of(labels: str | None, files: Iterable[Path], cases: Sequence[Case], folder: Path) -> str:
    """How label maps are numbered, as told or as their values say; one that cannot be read says nothing.

    Raises:
        ImageError, LabelError: none can be read, or no convention fits, or several, by which the values mean
            different things.
        OptionError: there is no such convention.
    """
    if labels is not None:
        return convention(labels).name
    first = _values_of(files)
    values = first.keys()
    own = {case.convention for case in cases}
    for name in sorted(own - {None}):
        known = convention(name).to_class
        cavity = {value for value, cls in known.items() if cls == RESECTION_CAVITY}
        # 4 without 3 is the enhancing tumor of earlier years and no cavity
        if len(own) == 1 and values <= known.keys() and (not values & cavity or 3 in values):
            return convention(name).name
    fitting = [name for name, known in CONVENTIONS.items() if values <= known.to_class.keys()]
    if 4 in values and 3 not in values:
        return "brats2021"
    raise LabelError(
        f"{folder}: the values {', '.join(map(str, sorted(values)))} do not tell how the label maps are "
        f"numbered{_unlike(first, own)}. {_REMEDY_OF_VALUES[bool(fitting)]} --prediction-labels (in Python "
        f"labels), one of {', '.join(fitting or CONVENTIONS)}."
    )


_REMEDY_OF_VALUES = {True: "Give", False: "No numbering has them all: correct or remove such files, or give"}


def _unlike(first: Mapping[int, Path], own: Collection[str | None]) -> str:
    """Which values the labels of the cases do not have, each with a file that holds it."""
    known = {value for name in own - {None} for value in convention(name).to_class}
    strange = [f"{value} in {path.name}" for value, path in sorted(first.items()) if value not in known]
    return f" ({', '.join(strange[:_MOST_VALUES])})" if strange and known else ""


_MOST_VALUES = 4
"""Of a message; a label map that is none has many."""


def _values_of(files: Iterable[Path]) -> dict[int, Path]:
    """All values of the label maps that can be read, each with the first file that holds it.

    What is wrong with a file is told where it is scored.

    Raises:
        ImageError, LabelError: there is no such.
    """
    first: dict[int, Path] = {}
    failure: MissingModalityError | None = None
    for path in files:
        try:
            image = read_image(path)  # kept, because a view dies with its image
            for value in label_values(sitk.GetArrayViewFromImage(image), str(path)):
                first.setdefault(value, path)
        except (ImageError, LabelError) as error:
            failure = error
    if failure and not first:
        raise failure
    return first


def never_predicted(rows: Iterable[Row], numbering: str) -> list[str]:
    """A sentence for each class that labels of cases hold and no label map of them does.

    Such are maps of the whole tumor alone, and those that another program has numbered in its own way.

    Args:
        rows: every score.
        numbering: by which the label maps were read.
    """
    voxels: dict[tuple[str, object], dict[str, tuple[int, int]]] = {}
    for row in rows:
        voxels.setdefault((row.case, row.subset), {})[row.region] = row.predicted, row.reference
    predicted, labeled = (
        {name for regions in voxels.values() for name in _held({key: n[side] for key, n in regions.items()})}
        for side in (0, 1)
    )
    return [
        f"No label map holds {cls.name}, which labels of the cases do. Check that they are numbered as "
        f"'{numbering}'; --prediction-labels says otherwise."
        for cls in TUMOR_CLASSES
        if cls.name in labeled - predicted
    ]


def _held(voxels: Mapping[str, int]) -> list[str]:
    """Names of the classes that a label map holds, by the voxels of its regions."""
    sizes = {"NCR": voxels["TC"] - voxels["ET"], "ED": voxels["WT"] - voxels["TC"], "ET": voxels["ET"]}
    return [name for name, size in sizes.items() if size]
