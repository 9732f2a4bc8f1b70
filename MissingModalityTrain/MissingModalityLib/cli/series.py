"""``series``: what a folder of DICOM files holds, and what would be segmented of it."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

from .last_word import show_result
from .options import add_command, add_folder, add_one_visit, folder_of
from .speech import add_speech, shown_progress

_LONGEST_NAME = 40
"""Characters of a description in the table; with them a line fits a wide console."""

_END = 14
"""Of these the last: ', at 10:15:00' or ', echo 2 of 2'."""

_EXAMPLES = ("series FOLDER",)


def add(commands: Any) -> None:
    """Describe the options."""
    parser = add_command(
        commands,
        "series",
        run,
        "List the DICOM series in a folder: what each is, and which would be used.",
        _EXAMPLES,
    )
    add_folder(parser, "folder as a PACS or a CD hands it over")
    add_one_visit(parser)
    add_speech(parser)


def run(options: argparse.Namespace) -> None:
    """List."""
    from ..datasets.case import skipped_by_reason
    from ..dicom.choosing import choose, undecided
    from ..dicom.listing import find_studies

    with shown_progress(options) as progress:
        listing = find_studies(folder_of(options), progress, options.one_visit)
    studies = [_study(study, choose(study), undecided(study)) for study in listing.studies]
    result = {"folder": str(listing.folder), "studies": studies, "skipped": listing.skipped_json()}
    lines = [line for study in studies for line in _lines(study)]
    show_result(options, result, "\n".join([*lines, *skipped_by_reason(listing.skipped, listing.folder)]))


def _study(study: Any, choice: Any, silent: Sequence[Any]) -> dict[str, Any]:
    used = {id(one): modality.name for modality, one in choice.series.items()}
    asked = set(map(id, silent))
    return {
        "patient": study.patient,
        "uid": study.uid,
        "date": study.date,
        "description": study.description,
        "series": [
            one.to_json() | {"used_as": used.get(id(one)), "voxels_asked": id(one) in asked}
            for one in study.series
        ],
        "choice": list(filter(None, [*choice.sentences, _asked(silent), study.cut_off])),
    }


def _asked(silent: Sequence[Any]) -> str:
    if not silent:
        return ""
    which = "the one marked ?, and uses it" if len(silent) == 1 else "those marked ?, and uses them"
    return (
        f"'segment' looks for what was not found in the voxels of {which} where they tell; 'series' reads "
        "headers alone. --series SEQUENCE=NAME of 'segment' settles it."
    )


def _lines(study: Mapping[str, Any]) -> list[str]:
    """A table of the series, and what is chosen."""
    title = f"Patient {study['patient']}, {study['date'] or 'date unknown'}"
    heads = ("", "no.", "series", "is", "plane", "voxel mm", "slices", "because")
    rows = [heads, *map(_row, study["series"])]
    widths = [max(len(row[column]) for row in rows) for column in range(len(heads) - 1)]
    table = [_joined(row, widths) for row in rows]
    chosen = [f"  {sentence}" for sentence in study["choice"]]
    named = f"{title}, {study['description']}" if study["description"] else title
    return [named, *table, *chosen, ""]


def _joined(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
    return "  ".join([*cells, row[-1]]).rstrip()


def _row(series: Mapping[str, Any]) -> tuple[str, ...]:
    spacing = " x ".join(f"{value:.3g}" for value in series["spacing"] or ())
    return (
        "*" if series["used_as"] else "",
        "" if series["number"] is None else str(series["number"]),
        _shortened(series["description"]),
        _what(series),
        series["plane"],
        spacing,
        str(series["size"][2]),
        _why(series),
    )


def _shortened(name: str) -> str:
    """The end stays, where volumes of one name are told apart."""
    if len(name) <= _LONGEST_NAME:
        return name
    return f"{name[: _LONGEST_NAME - _END - 3]}...{name[-_END:]}"


def _what(series: Mapping[str, Any]) -> str:
    from ..core.modalities import Modality

    if series["modality"]:
        mark = " ?" if series["voxels_asked"] else ""
        return f"{Modality[series['modality']].title} {series['confidence']:.0%}{mark}"
    return "-" if series["problem"] else "?"


def _why(series: Mapping[str, Any]) -> str:
    """The reason in a sentence, with what speaks against its use."""
    if series["problem"]:
        return f"Not used: {series['problem'].rstrip('.')}."
    return " ".join(filter(None, [series["reason"], series["gap"]]))
