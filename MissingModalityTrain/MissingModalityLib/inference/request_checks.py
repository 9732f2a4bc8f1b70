"""What a request to segment has to be like, looked at before anything heavy is done."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping
from itertools import combinations, product
from pathlib import Path

from ..clinical.steps import Steps
from ..core.errors import ImageError, OptionError
from ..core.file_names import require_text
from ..core.files import explain_write_errors
from ..core.modalities import Modality, in_words
from ..imaging.duplicates import given_twice
from .result_file import check_form, check_source
from .segmentation_report import content_of, is_as_written, report_path
from .target_grid import GridChoice, check_grid_choice, parse_grid


def check_request(
    given: Collection[Modality],
    files: Mapping[Modality, Path],
    output: Path | None,
    student: Path,
    labels: str,
    overwrite: bool,
    beside: Iterable[Path] = (),
) -> None:
    """Refuse what cannot succeed before anything heavy is done.

    Args:
        given: all sequences of which there is a volume.
        files: of those that are read from one.
        output, student, labels, overwrite: as in :func:`.segment_files.segment_files`; no output where None.
        beside: further files that are read, see :func:`read_beside`.

    Raises:
        ImageError: no volume, or one file given twice.
        OptionError: as :func:`check_output`.
    """
    if not given:
        raise ImageError(f"No volume given. Give at least one of {in_words()}.")
    for (first, path), (second, other) in combinations(files.items(), 2):
        if _same_file(path, other):
            raise ImageError(given_twice(first, str(path), second, str(other)))
    if output is not None:
        check_output(output, labels, (*files.values(), student, *beside))
        if not overwrite:
            check_replaced(output)
        check_source(output, ())


def read_beside(steps: Steps | None, grid: Modality | Path | str | None) -> list[Path]:
    """Files that are read beside volumes and model: the mask of the brain, and another volume's grid."""
    mask, choice = steps and steps.brain_mask, parse_grid(grid)
    return [path for path in (mask, choice) if isinstance(path, Path)]


def check_output(output: Path, labels: str, inputs: Iterable[Path], regions: bool = False) -> None:
    """Refuse here what would fail after minutes of work.

    Args:
        output: file to be written, beside its report.
        labels: convention of its numbers.
        inputs: files that are not to be overwritten.
        regions: whether whole tumor and tumor core are to be segments too.

    Raises:
        OptionError: unknown convention or kind of file, no place to write to, or an input's name.
    """
    check_form(output, labels, regions)
    for written in (output, report_path(output)):
        _check_writable(written)
    for written, read in product((output, report_path(output)), inputs):
        if _same_file(written, read):
            raise OptionError(f"{written}: the output would overwrite an input. Choose another output name.")


def check_replaced(
    output: Path, remedy: str = "Choose another name, or replace it with --overwrite (overwrite=True)."
) -> None:
    """Raise OptionError where ``output`` is no segmentation as it was written: an original, or corrected."""
    if not output.exists() or is_as_written(output):
        return
    if report_path(output).exists():
        what = "was changed after it was written, as by hand"
    else:
        what = "exists, and no report beside it says that it is an earlier result"
    raise OptionError(f"{output} {what}. {remedy}")


def check_unchanged(output: Path, before: str | None) -> None:
    """Raise OptionError where a file was written or changed during the segmentation that is to replace it.

    Args:
        output: the file.
        before: what :func:`.segmentation_report.content_of` said of it.
    """
    if content_of(output) != before:
        raise OptionError(
            f"{output} was changed during the segmentation, so it is kept and the result was not written. "
            "Move it elsewhere, or choose another name, and start again."
        )


def _check_writable(path: Path) -> None:
    require_text(path, OptionError, "Choose another name.")
    folder = path.absolute().parent
    if not folder.is_dir():
        raise OptionError(
            f"{path}: the output folder {folder} does not exist. Create it or choose another one."
        )
    with explain_write_errors(path, "Choose another name.", OptionError):  # it may be too long
        taken = path.is_dir()
    if taken:
        raise OptionError(f"{path} is a folder. Choose a file name for the output.")
    if not os.access(folder, os.W_OK):
        raise OptionError(f"{path}: the output folder {folder} cannot be written to. Choose another one.")


def chosen_grid(
    grid: Modality | Path | str | None, given: Collection[Modality], files: Mapping[Modality, Path]
) -> GridChoice | None:
    """The choice of a grid, with a file that is one of the volumes as its modality: it may be moved.

    Raises:
        OptionError: the volume of a modality is not given.
    """
    choice = parse_grid(grid)
    check_grid_choice(choice, given)
    if not isinstance(choice, Path):
        return choice
    return next((modality for modality, path in files.items() if _same_file(choice, path)), choice)


def _same_file(path: Path, other: Path) -> bool:
    try:
        return path.samefile(other)
    except OSError:  # one of them does not exist
        return False
