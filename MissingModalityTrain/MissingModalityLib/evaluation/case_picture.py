"""One case as one or several models see it, from subsets of its sequences, with Dice below each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import torch

from ..core.errors import CaseError, OptionError
from ..core.files import explain_write_errors
from ..core.kinds import checked
from ..core.modalities import SUBSETS, Subset, subset_name, subset_named
from ..core.words import unknown_name
from ..datasets.case import Case
from ..datasets.case_list import find_named
from ..datasets.discovery import find_cases
from ..imaging.grid import Grid
from ..imaging.preparation import prepare, to_reference_grid
from ..imaging.reading import Study, read_label, read_study
from ..inference.student import Student
from ..runtime.devices import choose_device
from .case_panels import MOST_COLUMNS, CaseSlice, draw_panels, rows_of_models, rows_of_subsets
from .foreign import classes_on
from .foreign_numbers import numbering_of
from .label_maps import find_label_maps

GROWING = ("T1", "T1+T2", "FLAIR+T1+T2")
"""More and more sequences, as Table 9 of AEM+KD adds them; all that a case has follow."""


@checked
def picture_case(
    models: Mapping[str, Path | str],
    data: Path | str,
    case: str,
    subsets: Sequence[str] | None,
    output: Path | str,
    convention: str | None = None,
    device: str = "auto",
) -> Path:
    """Draw the axial slice of a case with the largest section of its tumor, as models see it.

    Up to :data:`.case_panels.MOST_COLUMNS` models stand in columns: each row has the sequences of a subset,
    the reference and what each model found from them, as in Fig. 5 to 7 of AEM+KD. Of more models each has a
    row, and each subset a column.

    Args:
        models: student files, or folders of label maps (see :func:`.label_maps.find_label_maps`), by the name
            beside what they found.
        data: folder that the case lies in.
        case: its name; it needs a label.
        subsets: names such as ``FLAIR+T2``; None for :data:`GROWING`, and all sequences of the case.
        output: folder for the picture, called like the case; made if absent.
        convention: label convention, where the layout does not fix it.
        device: where to predict.

    Returns:
        The picture, a PNG.

    Raises:
        StudentError: a student file cannot be used.
        CaseError: there is no such case, it has no label or not these modalities, a label map is missing, or
            the picture cannot be written.
        OptionError: no model, or a name of no subset.
    """
    if not models:
        raise OptionError("Nothing to draw. Give at least one model or folder of label maps.")
    asked = None if subsets is None else [_subset(name) for name in subsets]
    found = _case(Path(data), case, convention, asked or ())
    chosen = growing(found) if asked is None else asked
    study, label = read_study(found), read_label(found)
    pictured = CaseSlice(study, label)
    predictions = {
        name: _predicted(Path(path), found, study, pictured.grid, chosen, device)
        for name, path in models.items()
    }
    arrange = rows_of_subsets if len(models) <= MOST_COLUMNS else rows_of_models
    picture = Path(output) / f"{found.name}.png"
    with explain_write_errors(picture.parent, "Choose another output folder."):
        picture.parent.mkdir(parents=True, exist_ok=True)
        title = f"{found.name}, Dice in % of the whole volume"
        draw_panels(arrange(pictured, chosen, predictions), pictured.size, title, picture)
    return picture


def growing(case: Case) -> list[Subset]:
    """More and more sequences of those that the case has, all of them last."""
    whole = tuple(sorted(case.images))
    known = [subset for subset in map(_subset, GROWING) if set(subset) < set(whole)]
    return [*known, whole]


def _subset(name: str) -> Subset:
    subset = subset_named(name)
    if subset is None:
        raise OptionError(unknown_name("subset", name, map(subset_name, SUBSETS)))
    return subset


def _case(data: Path, name: str, convention: str | None, subsets: Sequence[Subset]) -> Case:
    """The labeled case of a name that has the modalities of all subsets.

    Raises:
        CaseError: there is none.
    """
    listing = find_cases(data, convention)
    case = find_named(name, listing)
    if case is None:
        raise CaseError(unknown_name("case", name, [one.name for one in listing.cases], f"'{data}' holds"))
    if case.label is None:
        raise CaseError(f"Case {case.name} of '{data}' has no label to compare with. Choose another case.")
    absent = {modality.title for subset in subsets for modality in subset if modality not in case.images}
    if absent:
        raise CaseError(f"Case {case.name} has no {' and no '.join(sorted(absent))}. Choose other subsets.")
    return case


def _predicted(
    path: Path, case: Case, study: Study, grid: Grid, subsets: Sequence[Subset], device: str
) -> dict[Subset, np.ndarray]:
    """What a student file, or a folder of label maps, has found from each subset."""
    if path.is_dir():
        files = find_label_maps(path, [case]).files[case.name]
        lost = [subset_name(subset) for subset in subsets if subset not in files]
        if lost:
            raise CaseError(
                f"{path} holds no label map of case {case.name} from {', '.join(lost)}. Choose subsets that "
                "there are maps of (--subsets)."
            )
        wanted = {subset: files[subset] for subset in subsets}
        numbering = numbering_of(None, wanted.values(), [case], path)
        return {subset: classes_on(grid, file, numbering)[0] for subset, file in wanted.items()}
    student, prepared = Student.load(path), prepare(study)
    maps = student.classes_of(prepared, subsets, torch.device(choose_device(device)))
    return {
        subset: sitk.GetArrayFromImage(to_reference_grid(classes, prepared))
        for subset, classes in zip(subsets, maps, strict=True)
    }
