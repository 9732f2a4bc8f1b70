"""The steps of one transplantation as files to look at, before a whole set is made."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..core.errors import CaseError, OptionError
from ..core.files import explain_write_errors
from ..core.modalities import Modality, subset_name
from ..core.progress import Event, Progress, ProgressStage, reporter
from ..core.seeding import check_seed
from ..datasets.case import Case
from ..datasets.discovery import find_cases
from ..imaging.cache import cache_case
from ..imaging.folder_labels import check_numbering, read_numbers
from ..imaging.grid import Grid
from ..imaging.volume_set import write_images
from .options import SynthesisOptions
from .transplant import centered
from .transplanted_case import TransplantedCase
from .tumor_cache import CachedTumor, cache_tumor, tumor_folder

_MOST_JUDGED = 50
"""Label maps that tell how a folder is numbered: a preview takes seconds, a thousand maps some minutes."""


def preview(
    data: Path | str,
    output: Path | str,
    recipient: str,
    donor: str,
    modality: Modality = Modality.FLAIR,
    options: SynthesisOptions | None = None,
    convention: str | None = None,
    seed: int = 0,
    prepared: Path | str | None = None,
    on_progress: Progress | None = None,
) -> dict[str, Any]:
    """Write what becomes of one recipient and one donor, for one modality.

    All files are in one space: 1 mm, axes as LPS, origin at the recipient's brain box; the donor's map lies
    as the brains lie on each other by their centers.

    Args:
        data: folder of cases.
        output: folder to write ``x_a``, ``d_b``, ``t_b``, ``x_ab`` and ``y_ab`` (classes 0..3) to, as .nrrd.
        recipient, donor: names of cases.
        modality: one that both have.
        options: of the synthesis; the first of its ``tumors`` is shown.
        convention: label convention of ``data``, where the layout does not fix it.
        seed: of what is drawn at random.
        prepared: folder where prepared cases are kept; default ``prepared`` in ``output``.
        on_progress: called before each step.

    Returns:
        Paths by name, and ``center``: voxel (x, y, z) in the middle of the new tumor.

    Raises:
        CaseError: no such case, one without a label or tumor, or one that lacks the modality; or a folder
            cannot be written to.
        LabelError: the folder's labels are numbered in two ways, and ``convention`` does not say which.
        OptionError: recipient and donor are one case, or the seed is none.
    """
    output, notify = Path(output), reporter(on_progress)
    check_seed(seed)
    # one donor is given, and another tumor of it would lie on top of the first
    options = replace(options or SynthesisOptions(), tumors=1)
    if recipient == donor:
        raise OptionError(f"Case '{donor}' is both recipient and donor. Choose two cases.")
    folder = Path(prepared or output / "prepared")
    cases = []
    listed, pair = _chosen(data, convention, (recipient, donor), modality)
    if convention is None:
        judged = {case.name: case for case in (*pair, *listed[:: max(1, len(listed) // _MOST_JUDGED)])}
        check_numbering(listed, dict(read_numbers(judged.values(), folder)), str(data))
    for number, case in enumerate(pair):
        notify(Event(ProgressStage.PREPARE, number, len(pair), case.name))
        cases.append(cache_case(case, folder))
    notify(Event(ProgressStage.CUT_TUMORS, 0, 1, donor))
    tumor = cache_tumor(cases[1], tumor_folder(folder), options)
    case = TransplantedCase.draw("preview", cases[0], [tumor], options, np.random.default_rng(seed))
    notify(Event(ProgressStage.WRITE, 0, 1, str(output)))
    return _write(case, tumor, modality, options, output)


def _chosen(
    data: Path | str, convention: str | None, names: tuple[str, ...], modality: Modality
) -> tuple[list[Case], list[Case]]:
    """The labeled cases of a folder, and those of two names."""
    listing = find_cases(data, convention)
    found = {case.name: case for case in listing.cases}
    for name in names:
        if name not in found:
            raise CaseError(f"{data}: there is no case '{name}'. Look at the folder again.")
        if modality not in found[name].images:
            raise CaseError(
                f"Case '{name}' has {subset_name(found[name].images)}, but no {modality.title}. Choose a "
                "sequence that both cases have."
            )
    return listing.labeled()[0], [found[name] for name in names]


def _write(
    case: TransplantedCase, tumor: CachedTumor, modality: Modality, options: SynthesisOptions, output: Path
) -> dict[str, Any]:
    before, after = case.recipient.load(), case.load()
    x_a, x_ab = before.image[modality], after.image[modality]
    grid = after.grid
    d_b = tumor.donor_error_map(options.difference, modalities=[modality])[0]
    images = {
        "x_a": grid.to_image(x_a),
        "d_b": _donor_grid(case, tumor, grid).to_image(d_b),
        "t_b": grid.to_image(x_ab - x_a),
        "x_ab": grid.to_image(x_ab),
        "y_ab": grid.to_image(after.label),
    }
    paths = {name: output / f"{name}.nrrd" for name in images}
    with explain_write_errors(output, "Free some space, or choose a folder you can write to."):
        output.mkdir(parents=True, exist_ok=True)
        write_images({paths[name]: image for name, image in images.items()})
    graft = case.grafts[0]
    # a tumor placed near the border may have its middle outside, where a viewer shows nothing
    middle = np.clip(np.add(graft.start, np.array(graft.shape) // 2), 0, np.array(case.shape) - 1)
    # (z, y, x) of arrays here, (x, y, z) of images there
    return {**{name: str(path) for name, path in paths.items()}, "center": middle[::-1].tolist()}


def _donor_grid(case: TransplantedCase, tumor: CachedTumor, grid: Grid) -> Grid:
    """Where the donor's voxels lie in the recipient's space: the brains on each other by their centers."""
    donor = tumor.donor
    start = centered(case.recipient.shape, donor.shape)
    return grid.crop(tuple(reversed(start)), tuple(reversed(donor.shape)))
