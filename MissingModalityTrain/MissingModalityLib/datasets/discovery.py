"""One search for cases in a folder, whatever data set it comes from."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from ..core import labels as regions
from ..core.errors import CaseError
from ..core.modalities import MODALITIES
from .case import Case, ImageFile, Listing, Skipped
from .decathlon import DESCRIPTION, IMAGE_FOLDERS, LABEL_FOLDERS, decathlon_cases
from .layouts import LABEL, Place, convention_of, layout_of, place, unusable


def find_cases(folder: Path | str, convention: str | None = None) -> Listing:
    """All cases in a folder and its subfolders; only names are looked at, no file is opened.

    Recognized layouts: BraTS 2015 (``VSD.Brain...MR_Flair...``), BraTS 2017-2021
    (``*_flair|t1|t1ce|t2|seg``), BraTS 2023 and later and FeTS (``*-t2f|t1n|t1c|t2w|seg``), files with just
    these endings as names in one folder per case, and Task01 of the Medical Segmentation Decathlon
    (``imagesTr``, ``labelsTr``, ``dataset.json``).

    Args:
        folder: a data set, a split of one, or one case.
        convention: numbering of all labels, a key of :data:`~MissingModalityLib.core.labels.CONVENTIONS`; by
            default each layout's own.

    Returns:
        Cases sorted by name, and every other file with the reason for leaving it out. A case with two files
        for one modality is left out.

    Raises:
        CaseError: the folder is absent or holds no case.
        OptionError: unknown convention.
    """
    folder = Path(folder)
    if convention is not None:
        regions.convention(convention)
    if not folder.is_dir():
        problem = "is a file, not a folder" if folder.exists() else "does not exist"
        raise CaseError(f"{folder} {problem}. Give the folder that holds the cases.")
    found = list(_search(folder))
    cases = _with_unique_names([item for item in found if isinstance(item, Case)], folder)
    if convention is not None:
        cases = [replace(case, convention=convention) for case in cases]
    skipped = tuple(item for item in found if isinstance(item, Skipped))
    listing = Listing(tuple(sorted(cases, key=lambda case: case.name)), skipped, folder)
    if not cases:
        detail = "\n".join(["", *listing.describe_skipped()]) if skipped else " It is empty."
        raise CaseError(
            f"No case found in {folder}. Expected files named like x_flair.nii.gz, x_t1ce.nii.gz or "
            f"x-t2f.nii.gz, VSD.Brain...MR_Flair...mha, or a Decathlon folder with imagesTr.{detail}"
        )
    return listing


def _search(folder: Path) -> Iterator[Case | Skipped]:
    places: dict[tuple[Path, str], list[tuple[Path, Place]]] = defaultdict(list)
    for path in _walk(folder):
        if path.is_dir():
            yield from decathlon_cases(path)
            continue
        where = unusable(path) or place(path)
        if isinstance(where, str):
            yield Skipped(path, where)
        else:
            places[where.folder, where.prefix].append((path, where))
    for (parent, prefix), members in places.items():
        yield from _case(prefix or parent.resolve().name, parent, members)


def _walk(folder: Path) -> Iterator[Path]:
    """Files in a stable order; a folder of the Decathlon is yielded itself instead of its image files."""
    seen = set()
    for parent, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(parent)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        decathlon = any(name in IMAGE_FOLDERS for name in folders)
        if decathlon:
            yield Path(parent)
        folders[:] = sorted(
            name
            for name in folders
            if not (name.startswith(".") or (decathlon and name in (*IMAGE_FOLDERS, *LABEL_FOLDERS)))
        )
        yield from (Path(parent, name) for name in sorted(files) if not (decathlon and name == DESCRIPTION))


def _case(name: str, folder: Path, members: list[tuple[Path, Place]]) -> Iterator[Case | Skipped]:
    slots: dict[object, list[Path]] = defaultdict(list)
    for path, where in members:
        slots[where.slot].append(path)
    reason = None
    for slot, paths in slots.items():
        if len(paths) > 1:
            what = "label" if slot == LABEL else f"{slot.title} volume"
            listed = " and ".join(path.name for path in paths)
            reason = f"case {name} left out, because {listed} both are its {what}; keep one of them"
    if reason is None and set(slots) == {LABEL}:
        reason = "label without any volume of the same case"
    if reason:
        yield from (Skipped(path, reason) for path, _ in members)
        return
    styles = {where.style for _, where in members if where.style}
    layout = layout_of(styles, name)
    images = {modality: ImageFile(slots[modality][0]) for modality in MODALITIES if modality in slots}
    label = slots[LABEL][0] if LABEL in slots else None
    yield Case(name, folder, layout, images, label, convention_of(layout, name))


def _with_unique_names(cases: list[Case], root: Path) -> list[Case]:
    """Cases of equal name in different folders are told apart by the folders' names."""
    counts = Counter(case.name for case in cases)
    return [case if counts[case.name] == 1 else replace(case, name=_long_name(case, root)) for case in cases]


def _long_name(case: Case, root: Path) -> str:
    parts = list(case.folder.relative_to(root).parts) if case.folder.is_relative_to(root) else []
    if not parts or parts[-1] != case.name:
        parts.append(case.name)
    return "__".join(parts)
