"""One case as several models see it: a row for each subset, a column for each model, Dice below each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ..core.errors import CaseError, OptionError
from ..core.files import atomic_write, explain_write_errors
from ..core.kinds import checked
from ..core.labels import REGIONS
from ..core.modalities import SUBSETS, Subset, subset_name, subset_named
from ..core.segments import SEGMENTS
from ..core.words import unknown_name
from ..datasets.case import Case
from ..datasets.case_list import find_named
from ..datasets.discovery import find_cases
from ..imaging.boxes import tightest_box
from ..imaging.drawing import draw_scale, draw_segments, legend_entries, write_letters
from ..imaging.grid import ORIENTATION, Grid
from ..imaging.preparation import prepare, to_reference_grid
from ..imaging.reading import Study, read_label, read_study
from ..inference.student import Student
from ..runtime.devices import choose_device
from .foreign import classes_on, numbering_of
from .label_maps import find_label_maps
from .reference import Reference, Rules

_PANEL_INCHES = 2.3
_HEAD_INCHES, _FOOT_INCHES = 0.35, 0.45
_MARGIN_VOXELS = 6
_WHITE_PERCENTILE = 99.5
"""The few brightest voxels, of vessels and fat, leave the tissue its contrast."""

Predictions = Mapping[str, Mapping[Subset, np.ndarray]]
"""By model and subset the classes (z, y, x) on the grid of the case's first volume."""


@checked
def picture_case(
    models: Mapping[str, Path | str],
    data: Path | str,
    case: str,
    subsets: Sequence[str],
    output: Path | str,
    convention: str | None = None,
    device: str = "auto",
) -> Path:
    """Draw one axial slice of a case, through the largest section of its tumor, as models see it.

    Args:
        models: student files, or folders of label maps (see :func:`.label_maps.find_label_maps`), by the name
            above their column.
        data: folder that the case lies in.
        case: its name; it needs a label.
        subsets: names such as ``FLAIR+T2``, one row each.
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
    chosen = [_subset(name) for name in subsets]
    found = _case(Path(data), case, convention, chosen)
    study, label = read_study(found), read_label(found)
    grid = Grid.from_image(study.images[study.reference])
    reference = Reference(label, grid, Rules("penalty", "directed", "background"), str(found.label))
    predictions = {
        name: _predicted(Path(path), found, study, grid, chosen, device) for name, path in models.items()
    }
    picture = Path(output) / f"{found.name}.png"
    with explain_write_errors(picture.parent, "Choose another output folder."):
        picture.parent.mkdir(parents=True, exist_ok=True)
        _draw(picture, found.name, study, grid, label, chosen, predictions, reference)
    return picture


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
            raise CaseError(f"{path} holds no label map of case {case.name} from {', '.join(lost)}.")
        wanted = {subset: files[subset] for subset in subsets}
        numbering = numbering_of(None, wanted.values(), [case], path)
        return {subset: classes_on(grid, file, numbering)[0] for subset, file in wanted.items()}
    student, prepared = Student.load(path), prepare(study)
    maps = student.classes_of(prepared, subsets, torch.device(choose_device(device)))
    return {
        subset: sitk.GetArrayFromImage(to_reference_grid(classes, prepared))
        for subset, classes in zip(subsets, maps, strict=True)
    }


def _draw(
    path: Path,
    name: str,
    study: Study,
    grid: Grid,
    label: sitk.Image,
    subsets: Sequence[Subset],
    predictions: Predictions,
    reference: Reference,
) -> None:
    truth = _upright(grid.resample(label, sitk.sitkNearestNeighbor, 0))
    volumes = {
        modality: _upright(grid.resample(image, sitk.sitkLinear, 0))
        for modality, image in study.images.items()
    }
    where = _section(truth, volumes[study.reference])
    spacing = Grid.from_image(sitk.DICOMOrient(study.images[study.reference], ORIENTATION)).spacing
    size = (where[2].stop - where[2].start) * spacing[0], (where[1].stop - where[1].start) * spacing[1]
    heads = ["image", "reference", *predictions]
    height = _PANEL_INCHES * size[1] / size[0] + 0.25
    inches = _PANEL_INCHES * len(heads), height * len(subsets) + _HEAD_INCHES + _FOOT_INCHES
    figure = Figure(inches, facecolor="black", layout="constrained")
    FigureCanvasAgg(figure)
    for row, (subset, axes) in enumerate(
        zip(subsets, figure.subplots(len(subsets), len(heads), squeeze=False), strict=True)
    ):
        gray = volumes[subset[0]][where]
        shown: list[np.ndarray | None] = [None, truth[where]]
        texts = [_caption(subset), ""]
        for found in predictions.values():
            shown.append(_upright(grid.to_image(found[subset]))[where])
            scores = reference.rows(name, subset, found[subset], {})
            told = [f"{one.region} {100 * one.dice:.1f}" for one in scores if one.region in REGIONS]
            texts.append("  ".join(told))
        for axis, classes, text in zip(axes, shown, texts, strict=True):
            _panel(axis, gray, classes, size, text)
        if row == 0:
            for axis, head in zip(axes, heads, strict=True):
                axis.set_title(head, color="white", fontsize=10)
            write_letters(axes[0], "R", "L")
            draw_scale(axes[0], size[1])
    names = [segment.name for segment in SEGMENTS]
    figure.legend(
        **legend_entries(names),
        loc="outside lower center",
        ncols=len(names),
        frameon=False,
        labelcolor="white",
    )
    figure.suptitle(f"{name}, Dice in % of the whole volume", color="white", fontsize=11)
    with atomic_write(path) as temporary:
        figure.savefig(temporary, dpi=130)


def _caption(subset: Subset) -> str:
    """What was given, and which of it is shown."""
    shown = f" ({subset[0].title} shown)" if len(subset) > 1 else ""
    return subset_name(subset) + shown


def _panel(
    axis: Axes, gray: np.ndarray, classes: np.ndarray | None, size: tuple[float, float], text: str
) -> None:
    """One slice in gray with what was found, and a line below."""
    inside = gray[gray > 0]
    high = float(np.percentile(inside, _WHITE_PERCENTILE)) if inside.size else 1.0
    axis.imshow(
        gray, cmap="gray", vmin=0, vmax=high, extent=(0, size[0], size[1], 0), interpolation="bilinear"
    )
    if classes is not None:
        draw_segments(axis, classes, size)
    axis.set(xticks=[], yticks=[], xlim=(0, size[0]), ylim=(size[1], 0))
    axis.spines[:].set_visible(False)
    axis.set_xlabel(text, color="white", fontsize=8)


def _upright(image: sitk.Image) -> np.ndarray:
    """(z, y, x) in LPS: the first row in front, the first column on the patient's right."""
    return sitk.GetArrayFromImage(sitk.DICOMOrient(image, ORIENTATION))


def _section(truth: np.ndarray, volume: np.ndarray) -> tuple[int, slice, slice]:
    """The slice with most tumor, or that in the middle, cropped to the head."""
    sizes = np.count_nonzero(truth, axis=(1, 2))
    place = int(sizes.argmax()) if sizes.any() else len(sizes) // 2
    box = tightest_box((volume[place] > 0) | (truth[place] > 0)) or (slice(0, 1), slice(0, 1))
    limits = volume.shape[1:]
    rows, columns = (
        slice(max(0, part.start - _MARGIN_VOXELS), min(limit, part.stop + _MARGIN_VOXELS))
        for part, limit in zip(box, limits, strict=True)
    )
    return place, rows, columns
