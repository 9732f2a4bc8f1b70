"""One search for cases in a folder, whatever data set it comes from."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from ..core.errors import CaseError
from ..core.files import image_suffix
from ..core.kinds import checked
from ..core.labels import convention as check_convention
from ..core.modalities import MODALITIES
from .case import Case, CaseListing, ImageFile, Skipped
from .layout import LABEL, FileMatch, Layout, Role, stem, unusable
from .naming import numbered_apart, with_own_names
from .prepared import prepared_cases
from .registry import all_layouts


@checked
def find_cases(folder: Path | str, convention: str | None = None) -> CaseListing:
    """All cases in a folder and its subfolders; only names are looked at, no volume is opened.

    Recognized layouts: BraTS 2015 (``VSD.Brain...MR_Flair...``), BraTS 2017-2021
    (``*_flair|t1|t1ce|t2|seg``), BraTS 2023 and later and FeTS (``*-t2f|t1n|t1c|t2w|seg``), files with just
    these endings as names in one folder per case, the default names of dcm2niix (:mod:`.converted`), Task01
    of the Medical Segmentation Decathlon (``imagesTr``, ``labelsTr``, ``dataset.json``), and the layouts of
    other packages, see :data:`.registry.LAYOUTS`.

    In a folder without any of these the cases are those that ``prepare`` has put directly into it: training
    takes them as they are. Beside originals prepared files are never cases, or each would count twice.

    Args:
        folder: a data set, a split of one, or one case.
        convention: numbering of all labels, a key of :data:`~MissingModalityLib.core.labels.CONVENTIONS`; by
            default each layout's own.

    Returns:
        Cases sorted by name, and every other file with the reason for leaving it out. A case with two files
        for one modality is left out. A case's name comes from its own path alone, see :mod:`.naming`.

    Raises:
        CaseError: the folder is absent or holds no case.
        OptionError: unknown convention.
    """
    folder = Path(folder)
    if convention is not None:
        convention = check_convention(convention).name
    if not folder.is_dir():
        problem = "is a file, not a folder" if folder.exists() else "does not exist"
        raise CaseError(f"{folder} {problem}. Give the folder that holds the cases.")
    cases, skipped = _search(folder)
    cases = with_own_names(cases, folder)
    if not cases and (prepared := prepared_cases(folder))[0]:
        cases, skipped = prepared
    cases, warnings = numbered_apart(cases, folder)
    if convention is not None:
        cases = [replace(case, convention=convention) for case in cases]
    cases.sort(key=lambda case: case.name)
    listing = CaseListing(tuple(cases), tuple(skipped), folder, tuple(warnings))
    if not cases:
        listed = [f"\n  {line}" for line in listing.describe_skipped()]
        detail = "".join(listed) if skipped else " It is empty."
        raise CaseError(
            f"No case found in '{folder}'. Expected files named like x_flair.nii.gz, x_t1ce.nii.gz or "
            f"x-t2f.nii.gz, VSD.Brain...MR_Flair...mha, or a Decathlon folder with imagesTr.{detail}"
        )
    return listing


@dataclass(frozen=True)
class _Member:
    """A file of a case, with its role in every layout that counts it to this case."""

    path: Path
    roles: Mapping[str, Role]


def _search(folder: Path) -> tuple[list[Case], list[Skipped]]:
    layouts = all_layouts()
    cases: list[Case] = []
    skipped: list[Skipped] = []
    members: dict[tuple[Path, str], list[_Member]] = defaultdict(list)
    for parent, entries, files in walk(folder):
        taken: set[str] = set()
        for layout in layouts.values():
            if contents := layout.contents(parent, [name for name in entries if name not in taken]):
                cases += contents.cases
                skipped += contents.skipped
                taken |= contents.entries
        entries[:] = [name for name in entries if name not in taken]
        for path in (parent / name for name in files if name not in taken):
            matches = {} if (reason := unusable(path)) else _matches(layouts, path)
            if matches:
                place = next(iter(matches.values()))  # the first layout decides which case; see all_layouts
                members[place.folder, place.prefix].append(_Member(path, _roles(matches, place)))
            else:
                skipped.append(Skipped(path, reason or _hint(layouts, path)))
    members = _with_series_joined(members)
    for (parent, prefix), files in members.items():
        case = _case(layouts, prefix or parent.resolve().name, parent, files)
        if isinstance(case, Case):
            cases.append(case)
        else:
            skipped += [Skipped(member.path, case) for member in files]
    return [replace(case, beside=_beside(case, skipped, members)) for case in cases], skipped


def _with_series_joined(
    members: Mapping[tuple[Path, str], list[_Member]],
) -> dict[tuple[Path, str], list[_Member]]:
    """Files of a folder that are numbered by series, as converters name them (4_FLAIR, 9_T1), as one case.

    Patients that are numbered have sequences in common.
    """
    numbers: dict[Path, list[str]] = defaultdict(list)
    for parent, prefix in members:
        numbers[parent].append(prefix)
    joined = dict(members)
    for parent, prefixes in numbers.items():
        files = [member for prefix in prefixes for member in members[parent, prefix]]
        roles = {next(iter(member.roles.values())) for member in files} - {LABEL}
        numbered = len(prefixes) > 1 and all(prefix.isdigit() for prefix in prefixes)
        if numbered and len(roles) == len(files) == len(prefixes):
            for prefix in prefixes:
                del joined[parent, prefix]
            joined[parent, ""] = files
    return joined


def walk(folder: Path) -> Iterator[tuple[Path, list[str], list[str]]]:
    """Every folder with its entries and its files, in a stable order; entries taken out are not entered."""
    seen = set()
    for parent, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(parent)  # links are followed, for data sets are often made of links
        if real in seen:  # a link that leads back
            folders.clear()
            continue
        seen.add(real)
        entries = sorted((*folders, *files))
        yield Path(parent), entries, sorted(files)
        folders[:] = sorted(name for name in folders if name in entries and not name.startswith("."))


def _matches(layouts: Mapping[str, Layout], path: Path) -> dict[str, FileMatch]:
    found = {name: layout.match(path) for name, layout in layouts.items()}
    return {name: match for name, match in found.items() if match is not None}


def _roles(matches: Mapping[str, FileMatch], place: FileMatch) -> dict[str, Role]:
    """The file's role in the layouts that count it to the same case as the first one does."""
    case = (place.folder, place.prefix)
    return {name: match.role for name, match in matches.items() if (match.folder, match.prefix) == case}


def _hint(layouts: Mapping[str, Layout], path: Path) -> str:
    hints = (layout.hint(path) for layout in layouts.values())
    known = next((hint for hint in hints if hint), None)
    return known or "the name fits no known layout (expected an ending like _flair, _t1ce, _t2w or _seg)"


def _case(layouts: Mapping[str, Layout], name: str, folder: Path, members: list[_Member]) -> Case | str:
    """The case that files make up, or why they do not."""
    layout = next((key for key in layouts if all(key in member.roles for member in members)), None)
    if layout is None:
        return f"case {name} left out, because no layout fits all of its files"
    files: dict[Role, list[Path]] = defaultdict(list)
    for member in members:
        files[member.roles[layout]].append(member.path)
    for role, paths in files.items():
        if len(paths) > 1:
            what = "label" if role == LABEL else f"{role.title} volume"
            listed = " and ".join(path.name for path in paths)
            return f"case {name} left out, because {listed} both are its {what}; keep one of them"
    if set(files) == {LABEL}:
        return "label without any volume of the same case"
    images = {modality: ImageFile(files[modality][0]) for modality in MODALITIES if modality in files}
    label = files[LABEL][0] if LABEL in files else None
    return Case(name, folder, layout, images, label, layouts[layout].convention(name))


def _beside(
    case: Case, skipped: list[Skipped], members: Mapping[tuple[Path, str], list[_Member]]
) -> tuple[str, ...]:
    """Skipped volumes in a case's folder, in words; of a folder of several cases those named like it."""
    volumes = [entry for entry in skipped if entry.path.parent == case.folder and image_suffix(entry.path)]
    prefixes = [prefix for parent, prefix in members if parent == case.folder]
    if len(prefixes) > 1:
        volumes = [entry for entry in volumes if _nearest(stem(entry.path), prefixes) == case.name]
    return tuple(f"{entry.path.name} beside it was skipped: {entry.reason}." for entry in volumes)


def _nearest(name: str, prefixes: list[str]) -> str:
    """The longest prefix that a name begins with."""
    return max((prefix for prefix in prefixes if name.startswith(prefix)), key=len, default="")
